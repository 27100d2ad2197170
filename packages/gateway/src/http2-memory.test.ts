// What attacks by frames leave behind in a gateway, and what one connection can make it hold: octets, measured after a collection of garbage.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { frameBudgets } from "@sallyport/kernel/http2/frame-budget.ts";
import { continuationsMax } from "@sallyport/kernel/http2/frame-guard.ts";
import { errorCode, frame, frameFlag, frameType, preface } from "@sallyport/kernel/http2/frames.ts";
import { type CountingUpstream, startCountingUpstream } from "./testing/counting-upstream.ts";
import { marketplace } from "./testing/marketplace-estate.ts";
import { openTestLog } from "./testing/open-test-log.ts";
import {
  blockOf,
  dataFrame,
  type Fields,
  headersFrame,
  numberFrame,
  RawHttp2,
  settingsFrame,
} from "./testing/raw-http2.ts";
import { startTestGateway, type TestGateway, until } from "./testing/start-test-gateway.ts";
import { issueTestLeaf, newTestCa, ordersUri, tlsListener, withCertificates } from "./testing/test-certificates.ts";

setFlagsFromString("--expose-gc");
// Node has no other way to ask for a collection without a flag of the process.
const collect = runInNewContext("gc") as () => void;

const bounded = { timeout: 240_000 };
const workloads = newTestCa("workloads");
const { cert, key } = issueTestLeaf(workloads, { uri: ordersUri });
let upstream: CountingUpstream;
let bed: TestGateway;

before(async () => {
  upstream = await startCountingUpstream();
  bed = await startTestGateway({
    estate: withCertificates(marketplace(upstream.url), workloads),
    openLog: openTestLog,
    listeners: [tlsListener(workloads)],
  });
});
after(async () => {
  await bed?.close();
  await upstream?.close();
});

/** Octets in use, once what is no longer used is gone. */
async function held(): Promise<number> {
  for (let turn = 0; turn < 3; turn++) {
    await new Promise((resolve) => setImmediate(resolve));
    collect();
  }
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

const connect = (begin?: Buffer): Promise<RawHttp2> =>
  RawHttp2.open(`https://localhost:${bed.addresses[0]?.port}`, { ca: workloads.certificatePem, cert, key }, begin);

const head = (method: string, path: string): Fields => [
  [":method", method],
  [":scheme", "https"],
  [":path", path],
  [":authority", "localhost"],
];
const read = head("GET", "/billing/v1/invoices/1");
const effect: Fields = [...head("POST", "/billing/v1/invoices"), ["content-type", "application/json"]];
const many = (count: number, one: Buffer): Buffer => Buffer.concat(Array.from({ length: count }, () => one));
const control = (type: number, payload: number, stream = 0): Buffer =>
  frame({ type, flags: 0, stream }, Buffer.alloc(payload));
const begun = frame({ type: frameType.headers, flags: frameFlag.endStream, stream: 1 }, blockOf(read));

/** What is sent, and the code the connection ends with. */
const attacks: readonly (readonly [string, Buffer, number])[] = [
  [
    "rapid reset",
    Buffer.concat(
      Array.from({ length: frameBudgets.reset.burst + 100 }, (_, i) => [
        headersFrame(2 * i + 1, read),
        numberFrame(frameType.rstStream, 2 * i + 1, errorCode.cancel),
      ]).flat(),
    ),
    errorCode.enhanceYourCalm,
  ],
  [
    "continuation flood",
    Buffer.concat([begun, many(continuationsMax + 1, control(frameType.continuation, 100, 1))]),
    errorCode.enhanceYourCalm,
  ],
  ["ping flood", many(frameBudgets.ping.burst + 50, control(frameType.ping, 8)), errorCode.enhanceYourCalm],
  ["settings flood", many(frameBudgets.settings.burst + 10, settingsFrame()), errorCode.enhanceYourCalm],
  [
    "priority flood",
    many(frameBudgets.priority.burst + 50, control(frameType.priority, 5, 1)),
    errorCode.enhanceYourCalm,
  ],
  ["stream-id reuse", Buffer.concat([headersFrame(5, read), headersFrame(3, read)]), errorCode.streamClosed],
  [
    "an oversized frame",
    Buffer.concat([headersFrame(1, effect, 0), dataFrame(1, Buffer.alloc(16_385))]),
    errorCode.frameSize,
  ],
  ["data after end", Buffer.concat([headersFrame(1, read), dataFrame(1, "late")]), errorCode.streamClosed],
];
const rounds = 40;
/** Of one connection: far less than any of these attacks sent. */
const leftBytesMax = 8 * 1024;

describe("attacks by frames leave nothing behind", bounded, () => {
  for (const [name, frames, code] of attacks)
    test(`${name}: ${rounds} connections end with code ${code}, and no crossing and no octets of them are left`, async () => {
      const round = async (): Promise<void> => {
        const raw = await connect();
        await raw.acknowledge();
        raw.send(frames);
        assert.equal(await raw.ended(), code);
        raw.close();
      };
      for (let i = 0; i < rounds / 4; i++) await round();
      const quiet = () => until(() => bed.gateway.status().inFlight === 0, "nothing is under way");
      await quiet();
      const before = await held();
      for (let i = 0; i < rounds; i++) await round();
      upstream.seen.length = 0;
      await quiet();
      // A connection that is still being closed is no leak: what leaks does not go, however long one waits.
      let left = Number.POSITIVE_INFINITY;
      const isGone = async () => {
        left = ((await held()) - before) / rounds;
        return left < leftBytesMax;
      };
      await until(isGone, "what connections held to go").catch(() => undefined);
      assert.ok(left < leftBytesMax, `${Math.round(left)} octets a connection`);
    });
});

test(
  "zero window: answers of 200 MB that nobody takes are not held, and the connection is served as soon as it takes them",
  bounded,
  async () => {
    const streams = 50;
    const answer = Buffer.alloc(4_000_000, "x");
    upstream.answer = (_request, response) => void response.end(answer);
    const raw = await connect(Buffer.concat([preface, settingsFrame([[4, 0]])]));
    await raw.acknowledge();
    const before = await held();
    const ids = Array.from({ length: streams }, (_, i) => 2 * i + 1);
    const reached = upstream.seen.length;
    raw.send(...ids.map((id) => headersFrame(id, read)));
    await until(() => upstream.seen.length === reached + streams, "all are with the provider");
    await raw.until(() => ids.every((id) => raw.stream(id).blocks.length === 1));
    const heldBytes = (await held()) - before;
    assert.ok(heldBytes < streams * 512 * 1024, `${heldBytes} octets for ${streams} streams`);
    raw.send(numberFrame(frameType.windowUpdate, 1, 5_000_000), numberFrame(frameType.windowUpdate, 0, 5_000_000));
    assert.equal((await raw.answer(1)).text.length, answer.length);
    raw.close();
    upstream.answer = null;
    await until(() => bed.gateway.status().inFlight === 0, "nothing is held for it");
  },
);
