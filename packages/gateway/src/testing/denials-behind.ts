// Promises one refusal for every code of record, exchange and forward, and for a bug, beside its nearest allow: what happens when the log, control,
// the provider or the caller fails after the request was found good. Trusts three-ways.ts to judge them. Specified in DESIGN §4 Records.
import type { ServerResponse } from "node:http";
import { connect } from "node:net";
import { generateSigner } from "@sallyport/kernel/token-crypto.ts";
import type { CountingUpstream } from "./counting-upstream.ts";
import type { OwnBench } from "./denials-at-the-door.ts";
import { until } from "./start-test-gateway.ts";
import { TestFeed } from "./test-estate.ts";
import { type Bench, type DenialCase, fragileMs } from "./three-ways.ts";

const json = { "content-type": "application/json" };
const post = (bench: Bench) =>
  bench.orders.send(`${bench.url}/billing/v1/invoices`, {
    method: "POST",
    headers: json,
    body: JSON.stringify({ amount: 5, customer: "c-1" }),
  });

/** The log's queue is full: an effect is not forwarded, and no leaf can say so. */
export const recordUnavailable: DenialCase = {
  what: "an effect while the log is full",
  status: 503,
  stage: "record",
  unrecorded: true,
  async prepare(bench) {
    await bench.orders.learnNonce(bench.invoice);
    bench.log.full = true;
  },
  refused: post,
  mend(bench) {
    bench.log.full = false;
  },
  allowed: post,
};

const keepThing = (bench: Bench) =>
  bench.orders.send(`${bench.url}/keeper/v1/things/t-1`, { method: "POST", headers: json, body: "{}" });

/** Control gives no key: what has to be kept cannot be, so an effect is not forwarded. */
export const payloadUnavailable: DenialCase = {
  what: "an effect whose payload has to be kept, while control gives no key for it",
  status: 503,
  stage: "record",
  outcome: "system-error",
  prepare(bench) {
    bench.bed.feed.withholdsPayloadKeys = true;
  },
  refused: keepThing,
  mend(bench) {
    bench.bed.feed.withholdsPayloadKeys = false;
  },
  allowed: keepThing,
};

const afterVerdict = { verdict: "allow", outcome: "system-error" } as const;

/** The provider answers like this, once. */
const provider = (
  answer: NonNullable<CountingUpstream["answer"]>,
): Pick<DenialCase, "prepare" | "mend" | "reaches" | "verdict" | "outcome"> => ({
  ...afterVerdict,
  reaches: 1,
  prepare(bench) {
    bench.upstream.answer = answer;
  },
  mend(bench) {
    bench.upstream.answer = null;
  },
});

/** Answers the provider keeps to itself. */
const heldAnswers: ServerResponse[] = [];

export const forwardDenials = {
  "upstream-refused-address": {
    what: "a provider at the metadata address",
    status: 502,
    stage: "forward",
    ...afterVerdict,
    refused: (bench) => bench.orders.send(`${bench.url}/metadata/v1/thing`),
  },
  "upstream-unreachable": {
    what: "a provider at a port where nobody listens",
    status: 502,
    stage: "forward",
    ...afterVerdict,
    refused: (bench) => bench.orders.send(`${bench.url}/away/v1/thing`),
  },
  "upstream-timeout": {
    what: "a provider that never answers",
    status: 504,
    stage: "forward",
    ...provider(() => {}),
    refused: (bench) => bench.orders.send(`${bench.url}/billing/v1/slow`),
    allowed: (bench) => bench.orders.send(`${bench.url}/billing/v1/slow`),
  },
  "upstream-open": {
    what: "a provider that is left alone because it failed: it is not asked",
    status: 503,
    stage: "forward",
    ...afterVerdict,
    async prepare(bench) {
      bench.upstream.answer = (request) => void request.socket.destroy();
      const failed = await bench.orders.send(`${bench.url}/fragile/v1/thing`);
      if (failed.status !== 502) throw new Error(`the provider should have failed: ${failed.status}`);
      bench.upstream.answer = null;
    },
    refused: (bench) => bench.orders.send(`${bench.url}/fragile/v1/thing`),
    mend(bench) {
      bench.bed.clock.shiftMs += fragileMs;
    },
    allowed: (bench) => bench.orders.send(`${bench.url}/fragile/v1/thing`),
  },
  "upstream-overloaded": {
    what: "a provider that has as many requests as it is given: it is not asked",
    status: 503,
    stage: "forward",
    ...afterVerdict,
    async prepare(bench) {
      const reached = bench.upstream.seen.length;
      bench.upstream.answer = (_request, response) => void heldAnswers.push(response);
      void bench.orders.send(`${bench.url}/narrow/v1/thing`);
      await until(() => bench.upstream.seen.length > reached, "the one request it may have");
    },
    refused: (bench) => bench.orders.send(`${bench.url}/narrow/v1/thing`),
    async mend(bench) {
      bench.upstream.answer = null;
      for (const response of heldAnswers.splice(0)) response.end("{}");
      await until(() => bench.bed.gateway.status().inFlight === 0, "its end");
    },
    allowed: (bench) => bench.orders.send(`${bench.url}/narrow/v1/thing`),
  },
  "upstream-protocol": {
    what: "a provider that does not speak HTTP",
    status: 502,
    stage: "forward",
    ...provider((request) => void request.socket.end("SSH-2.0-OpenSSH\r\n\r\n")),
    refused: (bench) => bench.orders.send(bench.invoice),
  },
} satisfies Record<string, DenialCase>;

const watched = (bench: Bench) => bench.orders.send(`${bench.url}/watched/v1/thing`);
const answers = (body: string, headers: Readonly<Record<string, string>> = json) =>
  provider((_request, response) => void response.writeHead(200, headers).end(body));

export const responseDenials = {
  "response-content": {
    what: "an answer that names a member twice, which two readers would read differently",
    status: 502,
    stage: "forward",
    ...answers('{"ok":true,"ok":false}'),
    refused: watched,
    allowed: watched,
  },
  "response-too-large": {
    what: "an answer of more bytes than are held",
    status: 502,
    stage: "forward",
    ...answers(`{"ok":true,"more":"${"x".repeat(300)}"}`),
    refused: watched,
    allowed: watched,
  },
  "response-schema": {
    what: "an answer without a member that its schema requires",
    status: 502,
    stage: "forward",
    ...answers("{}"),
    refused: watched,
    allowed: watched,
  },
  "response-leak": {
    what: "an answer with a secret that the integration is not classified for",
    status: 502,
    stage: "inspect",
    ...answers('{"ok":true,"pin":"canary-1234"}'),
    verdict: "deny",
    outcome: "denied",
    async refused(bench) {
      const answer = await watched(bench);
      if (answer.text.includes("canary") || JSON.stringify(answer.headers).includes("canary"))
        throw new Error("the secret reached the caller");
      return answer;
    },
    allowed: watched,
  },
} satisfies Record<string, DenialCase>;

/** Sends a request by hand and goes away once `gone` holds; says how many bytes came back. */
async function goAway(bench: Bench, head: readonly string[], when: () => boolean): Promise<number> {
  const socket = connect(Number(new URL(bench.url).port), "127.0.0.1");
  let bytes = 0;
  socket.on("data", (chunk) => {
    bytes += chunk.length;
  });
  const recorded = bench.appended.length;
  socket.write(`${head.join("\r\n")}\r\n\r\n`);
  await until(when, "the crossing under way");
  socket.destroy();
  await until(() => bench.appended.length > recorded, "its record");
  return bytes;
}

async function goodHead(bench: Bench, method: string, path: string): Promise<string[]> {
  await bench.orders.learnNonce(bench.invoice);
  const token = bench.orders.token("billing");
  const dpop = bench.orders.proof(method, `${bench.url}${path}`, token);
  const { host } = new URL(bench.url);
  return [`${method} ${path} HTTP/1.1`, `Host: ${host}`, `Authorization: DPoP ${token}`, `DPoP: ${dpop}`];
}

async function refusedWithoutAnswer(bytes: Promise<number>): Promise<null> {
  if ((await bytes) !== 0) throw new Error("a caller that went away was answered");
  return null;
}

/** The status a leaf names is 0: nothing was sent. */
export const clientAborted: readonly DenialCase[] = [
  {
    what: "a caller that goes away in the middle of its body: nothing is forwarded",
    status: 499,
    stage: "inspect",
    outcome: "aborted",
    async refused(bench) {
      const head = await goodHead(bench, "POST", "/billing/v1/invoices");
      const inFlight = () => bench.bed.gateway.status().inFlight === 1;
      const lines = [...head, "Content-Type: application/json", "Content-Length: 1000"];
      return refusedWithoutAnswer(goAway(bench, lines, inFlight));
    },
  },
  {
    what: "a caller that goes away while its provider thinks",
    status: 499,
    stage: "forward",
    ...provider(() => {}),
    outcome: "aborted",
    async refused(bench) {
      const reached = bench.upstream.seen.length;
      const head = await goodHead(bench, "GET", "/billing/v1/invoices/1");
      return refusedWithoutAnswer(goAway(bench, head, () => bench.upstream.seen.length > reached));
    },
  },
];

/** Control has not certified this node's hop key yet. */
export function exchangeUnavailable(): OwnBench {
  const feed = new TestFeed(() => Date.now());
  feed.certifiesHopKeys = false;
  return {
    bench: { feed },
    case: {
      what: "a gateway whose hop key is not certified yet",
      status: 503,
      stage: "exchange",
      ...afterVerdict,
      refused: (bench) => bench.orders.send(bench.invoice),
      async mend(bench) {
        feed.certifiesHopKeys = true;
        feed.push({ t: "hello", node: "gw-test", epoch: 1, at: bench.bed.clock.now() });
        await until(() => bench.bed.gateway.readiness().ready, "a certified hop key");
      },
    },
  };
}

/** A port that throws what nobody expected stands for a bug. */
export function internalBug(): OwnBench {
  const { signer } = generateSigner("ES256");
  let isBroken = false;
  const sign = (data: Uint8Array): Uint8Array => {
    if (isBroken) throw new TypeError("planted: canary-bug-text");
    return signer.sign(data);
  };
  return {
    bench: { changes: { hop: { ...signer, sign } } },
    case: {
      what: "a stage that throws",
      status: 500,
      stage: "receive",
      prepare() {
        isBroken = true;
      },
      async refused(bench) {
        const answer = await bench.orders.send(bench.invoice);
        if (answer.text.includes("canary")) throw new Error("the text of a bug reached the caller");
        return answer;
      },
      mend() {
        isBroken = false;
      },
    },
  };
}
