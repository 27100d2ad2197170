// Promises a fetch with roots and a client certificate of one's own, over node:https: what the global one does not offer without a dependency.
// Trusts OpenSSL for the peer's identity, which cannot be switched off here. Redirects are never followed. Specified in docs/sdk.md, "TLS".
import { X509Certificate } from "node:crypto";
import type { IncomingMessage } from "node:http";
import { Agent, request as httpsRequest } from "node:https";
import { Readable } from "node:stream";
import { encodeBase64url } from "@sallyport/protocol/token/base64url.ts";
import type { Fetch } from "./http.ts";
import { nodeCrypto } from "./node-crypto.ts";

export interface TlsOptions {
  /** Roots to trust (PEM), these and no others; default: those of Node. */
  readonly ca?: string | readonly string[];
  /** Client certificate with its chain (PEM), and its private key (PEM): mutual TLS. */
  readonly cert?: string;
  readonly key?: string;
}

const socketsMax = 64;
const idleMs = 30_000;
/** Statuses whose answers have no body (Fetch §2.2.3). */
const nullBody: ReadonlySet<number> = new Set([101, 103, 204, 205, 304]);

/** Base64url SHA-256 of a certificate: `x5t#S256` (RFC 8705 §3.1). Of a chain, the first. */
export function certificateThumbprint(pem: string): string {
  return encodeBase64url(nodeCrypto.sha256(new X509Certificate(pem).raw));
}

/** Makes a fetch for https URLs. Bodies stream both ways; answers are not decompressed, and none is asked for compressed. */
export function tlsFetch(tls: TlsOptions): Fetch {
  const { ca, cert, key } = tls;
  if ((cert === undefined) !== (key === undefined))
    throw new TypeError("A client certificate needs its key: pass cert and key.");
  const agent = new Agent({
    keepAlive: true,
    maxSockets: socketsMax,
    timeout: idleMs,
    ...(ca === undefined ? {} : { ca: [ca].flat() }),
    ...(cert === undefined || key === undefined ? {} : { cert, key }),
  });
  return async (input, init) => {
    const wanted = new Request(input, { ...init, redirect: init?.redirect ?? "manual" });
    const url = new URL(wanted.url);
    if (url.protocol !== "https:") throw new TypeError(`A TLS fetch is for https; this is ${url.protocol}//`);
    if (wanted.redirect === "follow") throw new TypeError('Redirects are not followed: use "manual" or "error".');
    const headers = Object.fromEntries(wanted.headers);
    headers["accept-encoding"] ??= "identity";
    // A body of known length is sent whole; a stream in chunks.
    const length = lengthOf(init?.body);
    if (length !== null && wanted.body !== null) headers["content-length"] = String(length);
    const message = await new Promise<IncomingMessage>((resolve, reject) => {
      const { method, signal } = wanted;
      const outgoing = httpsRequest(url, { agent, method, headers, signal });
      outgoing.once("response", resolve);
      outgoing.once("error", reject);
      if (wanted.body === null) outgoing.end();
      // The types of the web's and of Node's streams differ in name only.
      else
        Readable.fromWeb(wanted.body as Parameters<typeof Readable.fromWeb>[0])
          .once("error", reject)
          .pipe(outgoing);
    });
    const status = message.statusCode ?? 0;
    if (wanted.redirect === "error" && status >= 300 && status < 400 && message.headers.location !== undefined) {
      message.destroy();
      throw new TypeError("The answer is a redirect.");
    }
    return responseOf(message, status);
  };
}

function lengthOf(body: unknown): number | null {
  if (typeof body === "string") return Buffer.byteLength(body);
  if (body instanceof URLSearchParams) return Buffer.byteLength(body.toString());
  if (body instanceof ArrayBuffer || ArrayBuffer.isView(body)) return body.byteLength;
  return body instanceof Blob ? body.size : null;
}

function responseOf(message: IncomingMessage, status: number): Response {
  const headers = new Headers();
  for (let i = 0; i < message.rawHeaders.length; i += 2)
    headers.append(message.rawHeaders[i] ?? "", message.rawHeaders[i + 1] ?? "");
  const init = { status, statusText: message.statusMessage ?? "", headers };
  if (nullBody.has(status)) {
    message.resume();
    return new Response(null, init);
  }
  // As above: one stream under two names.
  return new Response(Readable.toWeb(message) as ReadableStream<Uint8Array>, init);
}
