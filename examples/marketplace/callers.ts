// Promises the three ways a workload calls through a gateway: with a certified OAuth library, with the SDK, and with plain curl over mTLS.
// Trusts openid-client, the SDK and curl. Tokens: docs/formats/token.md.
import { execFile, spawnSync } from "node:child_process";
import { createPrivateKey, webcrypto } from "node:crypto";
import { generateClientKey } from "@sallyport/sdk/node-crypto.ts";
import { type SallyportFetch, sallyportFetch } from "@sallyport/sdk/sallyport-fetch.ts";
import { type AccessToken, TokenClient } from "@sallyport/sdk/token-client.ts";
import * as oauth from "openid-client";
import { call, type Reply, replyOf, replyOfFetch } from "./call.ts";
import type { KeyedCertificate, Workloads } from "./workloads.ts";

export interface Target {
  readonly issuer: string;
  readonly gateway: string;
  /** Id of the provider. */
  readonly system: string;
}

export interface CallerIdentity {
  readonly clientId: string;
  readonly key: ReturnType<typeof generateClientKey>;
}

export type Send = (
  path: string,
  init?: {
    readonly method?: string;
    readonly body?: string;
    readonly headers?: Readonly<Record<string, string>>;
  },
) => Promise<Reply>;

export interface SdkCaller {
  readonly send: Send;
  readonly fetch: SallyportFetch;
  /** The key every proof is made with. */
  readonly dpopKey: ReturnType<typeof generateClientKey>["signer"];
  token(): Promise<AccessToken>;
  /** The next request asks for a new token. */
  renew(): Promise<void>;
}

/** A caller that uses the SDK; its DPoP key is in reach, so that a thief can be played. */
export function sdkCaller({ issuer, gateway, system }: Target, { clientId, key }: CallerIdentity): SdkCaller {
  const dpopKey = generateClientKey().signer;
  const client = new TokenClient({ issuer, clientId, key: key.signer, dpopKey });
  const resource = `${issuer}/systems/${system}`;
  const fetch = sallyportFetch({ client, gateway, resource });
  return {
    fetch,
    dpopKey,
    token: () => client.token({ resource }),
    renew: async () => client.forget(await client.token({ resource })),
    send: (path, init) => replyOfFetch(() => fetch(path, init)),
  };
}

/** A caller that uses openid-client: private_key_jwt, DPoP with the server's nonces, RFC 8414 metadata. */
export async function openidCaller(
  { issuer, gateway, system }: Target,
  { clientId, key }: CallerIdentity,
): Promise<{ readonly send: Send; readonly token: string }> {
  const algorithm = { name: "ECDSA", namedCurve: "P-256" };
  const der = createPrivateKey(key.pem).export({ format: "der", type: "pkcs8" });
  const signing = await webcrypto.subtle.importKey("pkcs8", der, algorithm, false, ["sign"]);
  const config = await oauth.discovery(
    new URL(issuer),
    clientId,
    undefined,
    oauth.PrivateKeyJwt({ key: signing, kid: key.signer.kid }),
    { algorithm: "oauth2" },
  );
  const DPoP = oauth.getDPoPHandle(config, await oauth.randomDPoPKeyPair("ES256"));
  const parameters = { resource: `${issuer}/systems/${system}` };
  const { access_token: token } = await oauth.clientCredentialsGrant(config, parameters, { DPoP });
  return { send: (path, init) => sendProtected({ config, DPoP }, token, new URL(path, gateway), init), token };
}

/** One request with a token and openid-client's proof for it. What the library throws for a challenge is an answer like any other. */
export function sendProtected(
  { config, DPoP }: { readonly config: oauth.Configuration; readonly DPoP: oauth.DPoPHandle },
  token: string,
  url: URL,
  { method = "GET", body, headers }: Parameters<Send>[1] = {},
): Promise<Reply> {
  return replyOfFetch(async () => {
    try {
      return await oauth.fetchProtectedResource(config, token, url, method, body, new Headers(headers), { DPoP });
    } catch (error) {
      if (error instanceof oauth.WWWAuthenticateChallengeError) return error.response;
      throw error;
    }
  });
}

export interface CertificateCaller {
  readonly send: Send;
  /** "curl 8.5.0", or what stands in for it. */
  readonly tool: string;
  /** What to type to do the same. */
  command(path: string): string;
}

/** Plain curl with a client certificate and nothing else; where there is no curl, node:https says so and does the same. */
export function curlCaller(
  gateway: string,
  analytics: Workloads["analytics"],
  rootFile: string,
  root: string,
): CertificateCaller {
  const version = spawnSync("curl", ["--version"], { encoding: "utf8" });
  const certificate = ["--cacert", rootFile, "--cert", analytics.certFile, "--key", analytics.keyFile];
  const command = (path: string) =>
    `curl --cacert ${rootFile} --cert ${analytics.certFile} --key ${analytics.keyFile} ${gateway}${path}`;
  if (version.status !== 0)
    return { send: certificateSend(gateway, analytics, root), tool: "node:https, for want of curl", command };
  const send: Send = (path, { method = "GET", body, headers = {} } = {}) => {
    const fields = Object.entries(headers).flatMap(([name, value]) => ["--header", `${name}: ${value}`]);
    const data = body === undefined ? [] : ["--data-binary", body];
    const args = [
      "--silent",
      "--show-error",
      "--ipv4",
      "--include",
      "--request",
      method,
      "--max-time",
      "10",
      ...certificate,
      ...fields,
      ...data,
    ];
    return runCurl([...args, gateway + path]);
  };
  return { send, tool: version.stdout.split(" ").slice(0, 2).join(" "), command };
}

/** A caller with any certificate, by node:https. */
export function certificateSend(gateway: string, certificate: KeyedCertificate, root: string): Send {
  return (path, init = {}) =>
    call(gateway + path, { ...init, tls: { ca: root, cert: certificate.cert, key: certificate.key } });
}

function runCurl(args: readonly string[]): Promise<Reply> {
  const startedMs = performance.now();
  return new Promise((resolve, reject) => {
    execFile("curl", args, { maxBuffer: 1024 * 1024 }, (error, stdout) => {
      if (error !== null) reject(new Error(`curl ended with ${String(error.code)}`));
      else resolve(readCurl(stdout, performance.now() - startedMs));
    });
  });
}

/** Reads `curl --include`: the head of the last answer, an empty line, the body. Pure. */
export function readCurl(text: string, latencyMs: number): Reply {
  const [head = "", ...rest] = text.split("\r\n\r\n");
  const body = rest.join("\r\n\r\n");
  if (/^HTTP\/1\.1 100\b/.test(head)) return readCurl(body, latencyMs);
  const [statusLine = "", ...fields] = head.split("\r\n");
  const headers = fields.map((field) => {
    const colon = field.indexOf(":");
    return [field.slice(0, colon).toLowerCase(), field.slice(colon + 1).trim()];
  });
  return replyOf({
    status: Number(statusLine.split(" ")[1]),
    headers: Object.fromEntries(headers),
    text: body,
    latencyMs,
  });
}
