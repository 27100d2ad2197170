// Promises a whole issuer on a real socket for tests: keys, clients, a directory that can be changed, and what was recorded. Trusts nothing outside the test.
// Used by *.test.ts of this folder only.
import { createHash, generateKeyPairSync, type KeyObject, randomBytes, sign } from "node:crypto";
import { request as httpsRequest } from "node:https";
import type { CustomFetch } from "openid-client";

export interface TestKey {
  readonly privateKey: KeyObject;
  readonly jwk: Readonly<Record<string, string>>;
  /** RFC 7638. */
  readonly kid: string;
}

export function testKey(): TestKey {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  // An EC key always exports these members.
  const { kty, crv, x, y } = publicKey.export({ format: "jwk" }) as { kty: string; crv: string; x: string; y: string };
  const kid = createHash("sha256").update(JSON.stringify({ crv, kty, x, y })).digest("base64url");
  return { privateKey, jwk: { kty, crv, x, y }, kid };
}

const encode = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString("base64url");

/** A compact JWS exactly as told, right or wrong. */
export function jws(header: Record<string, unknown>, claims: Record<string, unknown>, key: KeyObject): string {
  const input = `${encode(header)}.${encode(claims)}`;
  return `${input}.${sign("sha256", Buffer.from(input), { key, dsaEncoding: "ieee-p1363" }).toString("base64url")}`;
}

export function assertion(
  client: string,
  audience: unknown,
  key: TestKey,
  over: Record<string, unknown> = {},
  header: Record<string, unknown> = {},
): string {
  const now = Math.floor(Date.now() / 1000);
  const claims = {
    iss: client,
    sub: client,
    aud: audience,
    iat: now,
    exp: now + 60,
    jti: randomBytes(12).toString("hex"),
    ...over,
  };
  for (const [name, value] of Object.entries(claims)) if (value === undefined) Reflect.deleteProperty(claims, name);
  return jws({ alg: "ES256", kid: key.kid, ...header }, claims, key.privateKey);
}

export function dpopProof(
  key: TestKey,
  url: string,
  nonce: string | undefined,
  over: Record<string, unknown> = {},
  header: Record<string, unknown> = {},
): string {
  const claims = {
    htm: "POST",
    htu: url,
    iat: Math.floor(Date.now() / 1000),
    jti: randomBytes(12).toString("hex"),
    ...(nonce === undefined ? {} : { nonce }),
    ...over,
  };
  return jws({ typ: "dpop+jwt", alg: "ES256", jwk: key.jwk, ...header }, claims, key.privateKey);
}

export function form(client: string, assertionText: string, over: Record<string, string> = {}): URLSearchParams {
  return new URLSearchParams({
    grant_type: "client_credentials",
    client_id: client,
    client_assertion_type: "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
    client_assertion: assertionText,
    ...over,
  });
}

export interface TestAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: Readonly<Record<string, unknown>>;
  readonly text: string;
}

export interface TestSend {
  readonly method?: string;
  readonly body?: string;
  readonly headers?: Readonly<Record<string, string | string[]>>;
  readonly cert?: string;
  readonly key?: string;
  /** Where it comes from. */
  readonly localAddress?: string;
}

/** One request on its own socket; the server's certificate is pinned by being the only root. */
export function send(url: string, ca: string, options: TestSend = {}): Promise<TestAnswer> {
  const { promise, resolve, reject } = Promise.withResolvers<TestAnswer>();
  const headers: Record<string, string | string[] | number> = { ...options.headers };
  if (
    options.body !== undefined &&
    headers["content-length"] === undefined &&
    headers["transfer-encoding"] === undefined
  ) {
    headers["content-length"] = Buffer.byteLength(options.body);
    headers["content-type"] ??= "application/x-www-form-urlencoded";
  }
  const identity =
    options.cert === undefined || options.key === undefined ? {} : { cert: options.cert, key: options.key };
  // The one root is the very certificate expected, so its name adds nothing; a test may then lie in its Host field.
  const checkServerIdentity = () => undefined;
  const req = httpsRequest(
    url,
    {
      ca,
      checkServerIdentity,
      agent: false,
      method: options.method ?? (options.body === undefined ? "GET" : "POST"),
      headers,
      localAddress: options.localAddress,
      ...identity,
    },
    (res) => {
      const chunks: Buffer[] = [];
      res.on("data", (chunk: Buffer) => chunks.push(chunk));
      res.on("error", reject);
      res.on("end", () => {
        const text = Buffer.concat(chunks).toString();
        let body: Record<string, unknown> = {};
        try {
          body = JSON.parse(text) as Record<string, unknown>;
        } catch {
          body = {};
        }
        resolve({ status: res.statusCode ?? 0, headers: res.headers, body, text });
      });
    },
  );
  req.on("error", reject);
  req.end(options.body);
  return promise;
}

/** The key at `index` of an RFC 7517 set. */
export function jwkOf(set: Readonly<Record<string, unknown>>, index: number): Readonly<Record<string, unknown>> {
  const keys = Array.isArray(set["keys"]) ? set["keys"] : [];
  const jwk: unknown = keys[index];
  return typeof jwk === "object" && jwk !== null ? { ...jwk } : {};
}

/** The private half for libraries over WebCrypto. */
export async function webKey(key: TestKey): Promise<CryptoKey> {
  return crypto.subtle.importKey(
    "jwk",
    key.privateKey.export({ format: "jwk" }),
    { name: "ECDSA", namedCurve: "P-256" },
    false,
    ["sign"],
  );
}

/** A fetch for openid-client that trusts the test listener's certificate and nothing else. */
export function fetchOver(ca: string): CustomFetch {
  return async (url, options) => {
    const headers = Object.fromEntries(new Headers(options.headers).entries());
    const body = options.body === undefined || options.body === null ? {} : { body: String(options.body) };
    const answer = await send(url, ca, { method: options.method, headers, ...body });
    const fields = Object.entries(answer.headers).flatMap(([name, value]) =>
      typeof value === "string" ? [[name, value] as [string, string]] : [],
    );
    return new Response(answer.text, { status: answer.status, headers: fields });
  };
}
