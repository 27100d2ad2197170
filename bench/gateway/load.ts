// Promises a closed loop: each connection sends its next request when the last is answered; tokens and proofs are signed before the clock starts.
// Trusts nothing it is answered (raw-connection.ts judges each). Words: roles.ts.
import { hash, randomBytes } from "node:crypto";
import { audienceOf, issuer } from "@sallyport/gateway/testing/test-estate.ts";
import { generateSigner } from "@sallyport/kernel/token-crypto.ts";
import { signAccessToken } from "@sallyport/protocol/token/access-token.ts";
import { signDpopProof } from "@sallyport/protocol/token/dpop.ts";
import { percentile } from "../figures.ts";
import { answerQuestions } from "./process.ts";
import { RawConnection } from "./raw-connection.ts";
import { bearerClient, dpopClient, invoice, invoices, type Target, type Window, type WindowResult } from "./roles.ts";

const tokenSeconds = 290;
/** Signed for each window beyond what the fastest one so far has used. */
const reserve = 1.6;
const firstGuessPerSecond = 12_000;

const tokenKey = generateSigner("ES256").signer;
const callerKey = generateSigner("ES256").signer;
const fastestPerMs = new Map<string, number>();

function token(client: string, isBound: boolean): string {
  const iat = Math.floor(Date.now() / 1000);
  const claims = {
    iss: issuer,
    sub: client,
    aud: audienceOf("billing"),
    iat,
    exp: iat + tokenSeconds,
    jti: randomBytes(12).toString("base64url"),
    client_id: client,
    ...(isBound ? { cnf: { jkt: callerKey.kid } } : {}),
  };
  return signAccessToken(claims, tokenKey);
}

function requestBytes(target: Target, path: string, credentials: string): Buffer {
  const body = target.method === "POST" ? invoice : "";
  const content = body === "" ? "" : `content-type: application/json\r\ncontent-length: ${body.length}\r\n`;
  return Buffer.from(
    `${target.method} ${path} HTTP/1.1\r\nhost: 127.0.0.1:${target.port}\r\nuser-agent: bench\r\naccept: application/json\r\n${credentials}${content}\r\n${body}`,
    "latin1",
  );
}

const pathOf = (target: Target, n: number): string =>
  target.method === "POST" ? "/billing/v1/invoices" : `/billing/v1/invoices/inv-${n % invoices}`;

/** DPoP needs the nonce of the gateway, learnt from a refusal (RFC 9449 §8). */
async function learnNonce(port: number): Promise<string> {
  const answer = await new Promise<string>((resolve, reject) => {
    RawConnection.open(port, { answered: () => reject(new Error("no refusal")), failed: resolve }).then(
      (connection) => connection.send(requestBytes({ port, method: "GET", credential: "fresh-dpop" }, "/", "")),
      reject,
    );
  });
  const nonce = /\r\ndpop-nonce: *([\w-]+)/i.exec(answer)?.[1];
  if (nonce === undefined) throw new Error(`no nonce in: ${answer}`);
  return nonce;
}

async function prepare({ target, durationMs }: Window): Promise<Buffer[]> {
  if (target.keys === true) {
    const count = Math.ceil(durationMs * (fastestPerMs.get("keys") ?? firstGuessPerSecond / 1000) * reserve);
    const bearer = `authorization: Bearer ${token(bearerClient, false)}\r\n`;
    return Array.from({ length: count }, (_, n) => {
      const key = randomBytes(12).toString("base64url");
      return requestBytes(target, pathOf(target, n), `${bearer}idempotency-key: "${key}"\r\n`);
    });
  }
  if (target.credential === "cached-bearer") {
    const credentials = `authorization: Bearer ${token(bearerClient, false)}\r\n`;
    return Array.from({ length: invoices }, (_, n) => requestBytes(target, pathOf(target, n), credentials));
  }
  const fastest = fastestPerMs.get(target.credential) ?? firstGuessPerSecond / 1000;
  const count = Math.ceil(durationMs * fastest * reserve);
  if (target.credential === "fresh-bearer") {
    return Array.from({ length: count }, (_, n) =>
      requestBytes(target, pathOf(target, n), `authorization: Bearer ${token(bearerClient, false)}\r\n`),
    );
  }
  const nonce = await learnNonce(target.port);
  const access = token(dpopClient, true);
  const ath = hash("sha256", access, "base64url");
  const iat = Math.floor(Date.now() / 1000);
  return Array.from({ length: count }, (_, n) => {
    const path = pathOf(target, n);
    const jti = randomBytes(16).toString("base64url");
    const url = `http://127.0.0.1:${target.port}${path}`;
    const proof = signDpopProof({ jti, method: target.method, url, iat, ath, nonce }, callerKey);
    return requestBytes(target, path, `authorization: DPoP ${access}\r\ndpop: ${proof}\r\n`);
  });
}

class Run {
  readonly #requests: readonly Buffer[];
  readonly #isOnce: boolean;
  readonly #times: number[] = [];
  #next = 0;
  #open = 0;
  #deadline = 0;
  #errors = 0;
  #firstError: string | null = null;
  #lastAnswerAt = 0;
  readonly #done = Promise.withResolvers<void>();

  constructor(requests: readonly Buffer[], isOnce: boolean) {
    this.#requests = requests;
    this.#isOnce = isOnce;
  }

  async measure(window: Window): Promise<WindowResult> {
    const connections: RawConnection[] = [];
    const starts: (() => void)[] = [];
    for (let i = 0; i < window.connections; i++) starts.push(await this.#connect(window.target, connections));
    const startedAt = performance.now();
    this.#deadline = startedAt + window.durationMs;
    this.#open = starts.length;
    for (const start of starts) start();
    await this.#done.promise;
    for (const connection of connections) connection.close();
    const elapsedMs = this.#lastAnswerAt - startedAt;
    const p50Ms = percentile(this.#times, 0.5);
    const p99Ms = percentile(this.#times, 0.99);
    return { answers: this.#times.length, elapsedMs, p50Ms, p99Ms, errors: this.#errors, firstError: this.#firstError };
  }

  async #connect({ port, expected }: Target, connections: RawConnection[]): Promise<() => void> {
    let sentAt = 0;
    const next = (): void => {
      const now = performance.now();
      const request = this.#take(now);
      sentAt = now;
      if (request === undefined) this.#leave();
      else connection.send(request);
    };
    const connection = await RawConnection.open(port, {
      expected: expected === undefined ? undefined : Buffer.from(expected),
      answered: () => {
        this.#lastAnswerAt = performance.now();
        this.#times.push(this.#lastAnswerAt - sentAt);
        next();
      },
      failed: (why) => {
        this.#errors++;
        this.#firstError ??= why;
        this.#leave();
      },
    });
    connections.push(connection);
    return next;
  }

  /** The next request, or none when the time or what was signed is over. */
  #take(now: number): Buffer | undefined {
    if (now >= this.#deadline) return undefined;
    const n = this.#next++;
    return this.#requests[this.#isOnce ? n : n % this.#requests.length];
  }

  #leave(): void {
    this.#open--;
    if (this.#open === 0) this.#done.resolve();
  }
}

let requests: Buffer[] = [];

answerQuestions(
  {
    issuer: () => ({ kid: tokenKey.kid, jwk: { ...tokenKey.jwk } }),
    /** For clients that need to be let in to do harm. */
    bearer: () => token(bearerClient, false),
    async prepare(window: Window) {
      requests = await prepare(window);
    },
    async run(window: Window): Promise<WindowResult> {
      const { credential, keys } = window.target;
      const signed = keys === true ? "keys" : credential;
      const result = await new Run(requests, signed !== "cached-bearer").measure(window);
      const perMs = result.answers / Math.max(1, result.elapsedMs);
      // Only windows long enough to mean something may size the next.
      if (signed !== "cached-bearer") fastestPerMs.set(signed, Math.max(perMs, fastestPerMs.get(signed) ?? 1));
      requests = [];
      return result;
    },
  },
  () => {},
);
