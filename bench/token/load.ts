// Promises a closed loop of token requests over kept connections: assertions and proofs are signed before the clock starts, every answer is judged.
// Trusts nothing it is answered. Requests: RFC 6749 §4.4, RFC 7523 §2.2, RFC 9449 §5.
import { createPrivateKey, randomBytes, sign } from "node:crypto";
import { Agent, request } from "node:https";
import { percentile } from "../figures.ts";
import { answerQuestions } from "../gateway/process.ts";

export interface TokenWindow {
  readonly issuer: string;
  readonly ca: string;
  /** Private JWK of the client; it holds the tokens too. */
  readonly key: Readonly<Record<string, string>>;
  readonly durationMs: number;
  /** So many tokens, however long they take; absent: as many as there is time for. */
  readonly tokens?: number | undefined;
  readonly connections: number;
}

export interface TokenResult {
  readonly answers: number;
  readonly elapsedMs: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
}

const reserve = 1.6;
const firstGuessPerMs = 1.5;
const fastest = new Map<string, number>();

interface Signed {
  readonly body: string;
  readonly proof: string;
}

const encode = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString("base64url");

function jws(header: object, claims: object, key: ReturnType<typeof createPrivateKey>): string {
  const input = `${encode(header)}.${encode(claims)}`;
  return `${input}.${sign("sha256", Buffer.from(input), { key, dsaEncoding: "ieee-p1363" }).toString("base64url")}`;
}

function signer({ issuer, key: jwk }: TokenWindow): (nonce: string | undefined) => Signed {
  const key = createPrivateKey({ key: jwk, format: "jwk" });
  const { kty, crv, x, y, kid } = jwk;
  const header = { alg: "ES256", ...(kid === undefined ? {} : { kid }) };
  return (nonce) => {
    const iat = Math.floor(Date.now() / 1000);
    const jti = () => randomBytes(16).toString("base64url");
    const claims = { iss: "orders", sub: "orders", aud: issuer, iat, exp: iat + 60, jti: jti() };
    const body = new URLSearchParams({
      grant_type: "client_credentials",
      client_id: "orders",
      client_assertion_type: "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
      client_assertion: jws(header, claims, key),
      resource: `${issuer}/systems/billing`,
    }).toString();
    const proof = { htm: "POST", htu: `${issuer}/token`, iat, jti: jti(), ...(nonce === undefined ? {} : { nonce }) };
    return { body, proof: jws({ typ: "dpop+jwt", alg: "ES256", jwk: { kty, crv, x, y } }, proof, key) };
  };
}

interface Answer {
  readonly status: number;
  readonly text: string;
  readonly nonce: string | undefined;
}

function post(window: TokenWindow, agent: Agent, { body, proof }: Signed): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const headers = {
      "content-type": "application/x-www-form-urlencoded",
      "content-length": body.length,
      dpop: proof,
    };
    const sent = request(`${window.issuer}/token`, { method: "POST", agent, ca: window.ca, headers }, (response) => {
      let text = "";
      response.setEncoding("utf8").on("data", (chunk: string) => {
        text += chunk;
      });
      const nonce = response.headers["dpop-nonce"];
      response.on("end", () =>
        resolve({ status: response.statusCode ?? 0, text, nonce: typeof nonce === "string" ? nonce : undefined }),
      );
    });
    sent.on("error", reject);
    sent.end(body);
  });
}

async function run(window: TokenWindow): Promise<TokenResult> {
  const make = signer(window);
  const agent = new Agent({ keepAlive: true, maxSockets: window.connections });
  const { nonce } = await post(window, agent, make(undefined));
  const perMs = fastest.get(window.issuer) ?? firstGuessPerMs;
  const count = window.tokens ?? Math.ceil(window.durationMs * perMs * reserve) + window.connections;
  const signed = Array.from({ length: count }, () => make(nonce));
  const times: number[] = [];
  const startedMs = performance.now();
  const worker = async (): Promise<void> => {
    for (let next = signed.pop(); next !== undefined; next = signed.pop()) {
      const at = performance.now();
      if (at - startedMs >= window.durationMs) return;
      const answer = await post(window, agent, next);
      if (answer.status !== 200 || !answer.text.includes('"access_token":"ey'))
        throw new Error(`${answer.status} ${answer.text.slice(0, 300)}`);
      times.push(performance.now() - at);
    }
  };
  await Promise.all(Array.from({ length: window.connections }, worker));
  const elapsedMs = performance.now() - startedMs;
  agent.destroy();
  fastest.set(window.issuer, Math.max(0.05, times.length / elapsedMs));
  return { answers: times.length, elapsedMs, p50Ms: percentile(times, 0.5), p99Ms: percentile(times, 0.99) };
}

answerQuestions({ run }, () => {});
