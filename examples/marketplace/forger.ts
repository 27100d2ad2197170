// Promises requests that are right in everything but one thing, so that what stops them is that thing. Trusts protocol's printer of proofs.
// Tokens and proofs: docs/formats/token.md.
import { createHmac, randomBytes } from "node:crypto";
import { Agent } from "node:https";
import type { TokenSigner } from "@sallyport/protocol/token/crypto.ts";
import { accessTokenHash, signDpopProof } from "@sallyport/protocol/token/dpop.ts";
import { nodeCrypto } from "@sallyport/sdk/node-crypto.ts";
import { call, type Reply } from "./call.ts";

export interface ForgedRequest {
  readonly path: string;
  readonly token: string;
  /** Whose proof goes with it; null sends the token as a bearer. */
  readonly proofKey: TokenSigner | null;
  /** A proof made before, to be played again. */
  readonly proof?: string;
}

export class Forger {
  readonly #gateway: string;
  readonly #ca: string;
  readonly #agent = new Agent({ keepAlive: true });
  #nonce: string | null = null;

  constructor(gateway: string, ca: string) {
    this.#gateway = gateway;
    this.#ca = ca;
  }

  /** Learns the gateway's nonce as RFC 9449 §8 has it, from the answer to a proof without one. */
  async learnNonce(request: ForgedRequest): Promise<void> {
    const reply = await this.send(request);
    this.#nonce = reply.headers["dpop-nonce"] ?? null;
    if (this.#nonce === null) throw new Error("the gateway offered no DPoP nonce");
  }

  proof({ path, token, proofKey }: ForgedRequest): string {
    if (proofKey === null) throw new TypeError("a proof needs a key");
    return signDpopProof(
      {
        jti: randomBytes(16).toString("base64url"),
        method: "GET",
        url: this.#gateway + path,
        iat: Math.floor(Date.now() / 1000),
        ath: accessTokenHash(token, nodeCrypto),
        ...(this.#nonce === null ? {} : { nonce: this.#nonce }),
      },
      proofKey,
    );
  }

  send(request: ForgedRequest): Promise<Reply> {
    const { path, token, proofKey } = request;
    const dpop = request.proof ?? (proofKey === null ? null : this.proof(request));
    const headers = dpop === null ? { authorization: `Bearer ${token}` } : { authorization: `DPoP ${token}`, dpop };
    return call(this.#gateway + path, { headers, agent: this.#agent, tls: { ca: this.#ca } });
  }

  close(): void {
    this.#agent.destroy();
  }
}

/** The claims of a token, signed by nobody. RFC 7519 §6: header `alg: none`, empty signature unless one is given. */
export function withoutAlgorithm(token: string, signature = ""): string {
  const { header, payload } = partsOf(token);
  return `${encode({ ...header, alg: "none" })}.${payload}.${signature}`;
}

/** The claims of a token under HMAC, keyed with the bytes of the public key: the classic confusion of RS256/ES256 with HS256. */
export function withPublicKeyAsSecret(token: string, publicKey: string): string {
  const { header, payload } = partsOf(token);
  const input = `${encode({ ...header, alg: "HS256" })}.${payload}`;
  return `${input}.${createHmac("sha256", publicKey).update(input).digest("base64url")}`;
}

/** The claims of a token, for a forger to change. */
export function claimsOf(token: string): Readonly<Record<string, unknown>> {
  // Tokens here come from our own issuer; their payload is an object (docs/formats/token.md §3).
  return JSON.parse(Buffer.from(partsOf(token).payload, "base64url").toString("utf8")) as Readonly<
    Record<string, unknown>
  >;
}

function partsOf(token: string): { readonly header: object; readonly payload: string } {
  const [header = "", payload = ""] = token.split(".");
  const parsed: unknown = JSON.parse(Buffer.from(header, "base64url").toString("utf8"));
  if (typeof parsed !== "object" || parsed === null) throw new TypeError("a token's header is an object");
  return { header: parsed, payload };
}

function encode(value: object): string {
  return Buffer.from(JSON.stringify(value), "utf8").toString("base64url");
}
