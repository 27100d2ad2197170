// Promises a caller that does what a good one does (token, fresh proof, nonce) and, on request, exactly one thing wrong.
// Trusts the test feed's ring key. Formats: docs/formats/token.md.
import { hash, randomBytes } from "node:crypto";
import { type Agent, request as httpRequest, type IncomingHttpHeaders } from "node:http";
import { request as httpsRequest } from "node:https";
import { generateSigner } from "@sallyport/kernel/token-crypto.ts";
import { signAccessToken } from "@sallyport/protocol/token/access-token.ts";
import type { AccessTokenClaims } from "@sallyport/protocol/token/claims.ts";
import type { AccessTokenSigner, TokenSigner } from "@sallyport/protocol/token/crypto.ts";
import { signDpopProof } from "@sallyport/protocol/token/dpop.ts";
import { audienceOf, issuer, type TestFeed } from "./test-estate.ts";

export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
  /** Crossing id the answer names. */
  readonly id: string;
  readonly code: string | undefined;
}

export interface CallOptions {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string | string[]>>;
  readonly body?: string | Buffer;
  /** Whose connections are used; absent: one of its own. */
  readonly agent?: Agent;
  readonly tls?: { readonly ca: string; readonly cert?: string; readonly key?: string };
  /** An address of this machine to call from. */
  readonly from?: string;
  /** Hangs up. */
  readonly signal?: AbortSignal;
}

/** One plain HTTP exchange, over its own connection where no agent is named. */
export function call(url: string, options: CallOptions = {}): Promise<Answer> {
  const target = new URL(url);
  const send = target.protocol === "https:" ? httpsRequest : httpRequest;
  return new Promise((resolve, reject) => {
    const request = send(
      url,
      {
        method: options.method ?? "GET",
        headers: { ...options.headers },
        agent: options.agent ?? false,
        ...(options.from === undefined ? {} : { localAddress: options.from }),
        ...(options.signal === undefined ? {} : { signal: options.signal }),
        ...options.tls,
        ...(options.tls ? { servername: "localhost" } : {}),
      },
      (response) => {
        const chunks: Buffer[] = [];
        response.on("data", (chunk: Buffer) => chunks.push(chunk));
        response.on("error", reject);
        response.on("end", () => {
          const text = Buffer.concat(chunks).toString("utf8");
          const isProblem = response.headers["content-type"] === "application/problem+json";
          const problem: { code?: string } = isProblem && text !== "" ? JSON.parse(text) : {};
          resolve({
            status: response.statusCode ?? 0,
            headers: response.headers,
            text,
            id: String(response.headers["sallyport-crossing"] ?? ""),
            code: problem.code,
          });
        });
      },
    );
    request.on("error", reject);
    request.end(options.body);
  });
}

export interface TokenChanges extends Partial<AccessTokenClaims> {
  readonly signer?: AccessTokenSigner;
}

/** A client with its own DPoP key. */
export class TestCaller {
  readonly key = generateSigner("ES256").signer;
  readonly #feed: TestFeed;
  readonly #client: string;
  readonly #now: () => number;
  nonce: string | undefined;

  constructor(feed: TestFeed, client: string, now: () => number = Date.now) {
    this.#feed = feed;
    this.#client = client;
    this.#now = now;
  }

  token(system: string, { signer, ...changes }: TokenChanges = {}): string {
    const iat = Math.floor(this.#now() / 1000);
    const claims: AccessTokenClaims = {
      iss: issuer,
      sub: this.#client,
      aud: audienceOf(system),
      iat,
      exp: iat + 300,
      jti: randomBytes(12).toString("base64url"),
      client_id: this.#client,
      cnf: { jkt: this.key.kid },
      ...changes,
    };
    return signAccessToken(claims, signer ?? this.#feed.ringSigner);
  }

  proof(
    method: string,
    url: string,
    token: string,
    changes: {
      readonly key?: TokenSigner;
      readonly nonce?: string;
      readonly iat?: number;
      readonly jti?: string;
      readonly ath?: string;
    } = {},
  ): string {
    const nonce = changes.nonce ?? this.nonce;
    const iat = changes.iat ?? Math.floor(this.#now() / 1000);
    return signDpopProof(
      {
        jti: changes.jti ?? randomBytes(16).toString("base64url"),
        method,
        url,
        iat,
        ath: changes.ath ?? hash("sha256", token, "base64url"),
        ...(nonce === undefined ? {} : { nonce }),
      },
      changes.key ?? this.key,
    );
  }

  /** Learns this node's nonce the way RFC 9449 §8 has it: from a refusal. */
  async learnNonce(url: string): Promise<void> {
    const answer = await call(url);
    this.nonce = String(answer.headers["dpop-nonce"]);
  }

  /** One crossing with a fresh token and proof. A nonce that has grown old meanwhile costs a second try, as RFC 9449 §8 has it, and no more. */
  async send(url: string, options: CallOptions & { readonly token?: string } = {}): Promise<Answer> {
    if (this.nonce === undefined) await this.learnNonce(url);
    const usual = this.nonce;
    const answer = await this.#sendOnce(url, options);
    const isOld = answer.status === 401 && /use_dpop_nonce/.test(String(answer.headers["www-authenticate"]));
    return isOld && this.nonce !== usual ? this.#sendOnce(url, options) : answer;
  }

  async #sendOnce(url: string, options: CallOptions & { readonly token?: string }): Promise<Answer> {
    const method = options.method ?? "GET";
    const system = new URL(url).pathname.split("/")[1] ?? "";
    const token = options.token ?? this.token(system);
    const proof = this.proof(method, url, token);
    const headers = { authorization: `DPoP ${token}`, dpop: proof, ...options.headers };
    const answer = await call(url, { ...options, headers });
    // RFC 9449 §8.2: the nonce of an answer is the one to use from then on.
    const next = answer.headers["dpop-nonce"];
    if (typeof next === "string") this.nonce = next;
    return answer;
  }
}
