// Promises the headers of one request signed as AWS Signature Version 4 in the Authorization header, over every header that is sent and the content.
// Trusts the clock. Specified in "Authenticating Requests: Using the Authorization Header" of the Amazon S3 API reference; its four examples are vectors.
import { createHash, createHmac } from "node:crypto";
import type { Secret } from "../seal/secret.ts";

export interface S3Credentials {
  readonly accessKeyId: string;
  readonly secretAccessKey: Secret;
  /** Of temporary credentials. */
  readonly sessionToken?: Secret;
}

export interface SignedRequest {
  readonly method: string;
  /** Percent-encoded, beginning with `/`: exactly as it is sent. */
  readonly path: string;
  /** Not encoded yet. */
  readonly query: Readonly<Record<string, string>>;
  /** `host` or `host:port`, as the Host field says it. */
  readonly host: string;
  /** By lower-case name; without host and without those added here. */
  readonly headers: Readonly<Record<string, string>>;
  /** SHA-256 of the content, hexadecimal. */
  readonly contentHash: string;
}

export interface SigningScope {
  readonly credentials: S3Credentials;
  readonly region: string;
  /** Milliseconds since the epoch. */
  readonly now: number;
}

const hmac = (key: Uint8Array, text: string): Buffer => createHmac("sha256", key).update(text, "utf8").digest();
const sha256Hex = (text: string): string => createHash("sha256").update(text, "utf8").digest("hex");

/** RFC 3986 §2.3: everything but the unreserved characters. */
export function uriEncode(text: string): string {
  return encodeURIComponent(text).replace(/[!'()*]/g, (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`);
}

/** The query as it is signed and sent: encoded, in ascending order. */
export function canonicalQuery(query: Readonly<Record<string, string>>): string {
  return Object.entries(query)
    .map(([name, value]) => `${uriEncode(name)}=${uriEncode(value)}`)
    .sort()
    .join("&");
}

/** Everything to send beside Host: the given headers, the date, the content hash, and who vouches for them. */
export function signS3(request: SignedRequest, scope: SigningScope): Readonly<Record<string, string>> {
  const { credentials, region, now } = scope;
  const date = new Date(now).toISOString().replace(/[-:]|\.\d{3}/g, "");
  const day = date.slice(0, 8);
  const { sessionToken } = credentials;
  const headers: Record<string, string> = {
    ...request.headers,
    "x-amz-content-sha256": request.contentHash,
    "x-amz-date": date,
    ...(sessionToken === undefined
      ? {}
      : { "x-amz-security-token": sessionToken.use((bytes) => Buffer.from(bytes).toString("utf8")) }),
  };
  const signed = Object.entries({ ...headers, host: request.host }).sort(([a], [b]) => (a < b ? -1 : 1));
  const names = signed.map(([name]) => name).join(";");
  const canonical = [
    request.method,
    request.path,
    canonicalQuery(request.query),
    ...signed.map(([name, value]) => `${name}:${value.trim()}`),
    "",
    names,
    request.contentHash,
  ].join("\n");
  const place = `${day}/${region}/s3/aws4_request`;
  const text = `AWS4-HMAC-SHA256\n${date}\n${place}\n${sha256Hex(canonical)}`;
  const signature = hmac(signingKey(credentials.secretAccessKey, day, region), text).toString("hex");
  return {
    ...headers,
    authorization: `AWS4-HMAC-SHA256 Credential=${credentials.accessKeyId}/${place},SignedHeaders=${names},Signature=${signature}`,
  };
}

function signingKey(secret: Secret, day: string, region: string): Buffer {
  const start = secret.use((bytes) => Buffer.concat([Buffer.from("AWS4", "latin1"), bytes]));
  const key = hmac(hmac(hmac(hmac(start, day), region), "s3"), "aws4_request");
  start.fill(0);
  return key;
}
