// Crossings that go on, at a real gateway over real sockets: what ends them, how each end looks to caller, provider and record, and what does not.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import type { RevocationKind } from "@sallyport/protocol/channel/messages.ts";
import type { ProblemCode } from "@sallyport/protocol/problem.ts";
import type { StageName } from "@sallyport/protocol/verdict.ts";
import { RunningTime } from "./testing/running-time.ts";
import { standingClock, until } from "./testing/start-test-gateway.ts";
import { ended, type Followed, type FollowOptions, openStreamBench, type StreamBench } from "./testing/stream-bench.ts";
import type { TestEstate } from "./testing/test-estate.ts";

let bench: StreamBench;
before(async () => {
  bench = await openStreamBench();
});
after(() => bench.close());

const lastWord = (code: string, id: string, retryable = false): string =>
  `event: sallyport-ended\ndata: ${JSON.stringify({ code, correlationId: id, retryable })}\n\n`;

interface Ending {
  readonly code: ProblemCode;
  readonly stage: StageName;
  /** What the caller is told. */
  readonly face?: string;
  readonly retryable?: boolean;
  readonly outcome?: string;
  /** From what ended it. */
  readonly withinMs?: number;
}

/** What is revoked is over in a second. */
const revoked = { withinMs: 1_000 };

/** Judged three ways: what the caller reads, that the provider hears of it, and the reason of the record. */
async function judgeEnd(one: Followed, said: Ending): Promise<void> {
  const provider = bench.providers.at(-1);
  const running = new RunningTime();
  assert.equal(await ended(one), "cut", "an answer that was ended never looks whole");
  const tookMs = running.end();
  assert.ok(tookMs < (said.withinMs ?? Number.POSITIVE_INFINITY), `it took ${tookMs} ms`);
  assert.equal(one.text(), `data: 1\n\n${lastWord(said.face ?? said.code, one.id, said.retryable)}`);
  await until(() => provider?.isClosed() === true, "the provider hears of it");
  const { code, stage, outcome, status } = { code: null, stage: null, ...(await bench.outcome(one.id)) };
  assert.deepEqual([outcome, code, stage, status], [said.outcome ?? "denied", said.code, said.stage, 200]);
}

async function begun(options: FollowOptions = {}): Promise<Followed> {
  const one = await bench.follow(bench.orders, options);
  assert.equal(one.status, 200);
  await until(() => one.text() === "data: 1\n\n", "its first event");
  return one;
}

/** It still brings what its provider sends. */
async function goesOn(one: Followed, provider = bench.providers.at(-1)): Promise<void> {
  const before = one.text();
  provider?.response.write("data: 2\n\n");
  await until(() => one.text() === `${before}data: 2\n\n`, "another event");
  assert.equal(one.end(), null);
}

test("a stream that nothing ends is passed on as it comes, and its end is the provider's", async () => {
  const one = await begun();
  await goesOn(one);
  bench.providers.at(-1)?.response.end();
  assert.equal(await ended(one), "whole");
  const outcome = await bench.outcome(one.id);
  assert.equal(outcome.outcome, "success");
  assert.ok(!("code" in outcome), "nothing ended it");
});

for (const kind of ["jti", "session", "subject", "grant"] satisfies RevocationKind[]) {
  test(`a ${kind} that is revoked ends the streams that stand on it, and no other`, async () => {
    const other = await bench.follow(bench.portal, { claims: { sid: "another", sub: "usr_ben" } });
    const provider = bench.providers.at(-1);
    // What is revoked stays so: each test has names of its own.
    const names = { jti: `token-${kind}`, session: `session-${kind}`, subject: `usr_${kind}`, grant: `grt_${kind}` };
    const { jti, session: sid, subject: sub, grant } = names;
    const one = await begun({ claims: { jti, sid, sub, gid: ["grt_other", grant] } });
    bench.bed.feed.revoke(kind, names[kind]);
    await judgeEnd(one, { code: "token-revoked", stage: "identify", face: "unauthenticated", ...revoked });
    await goesOn(other, provider);
    other.close();
  });
}

describe("on gateways of their own", () => {
  for (const [what, revoke, said] of [
    [
      "an integration that is cut off",
      (bench: StreamBench) => bench.bed.feed.revoke("integration", "orders-to-news"),
      { code: "not-active", stage: "bind" },
    ],
    [
      "a client that is revoked",
      (bench: StreamBench) => bench.bed.feed.revoke("client", "orders"),
      { code: "token-revoked", stage: "identify", face: "unauthenticated" },
    ],
    [
      "a signing key that is revoked",
      (bench: StreamBench) => bench.bed.feed.revoke("kid", bench.bed.feed.ringSigner.kid),
      { code: "token-revoked", stage: "identify", face: "unauthenticated" },
    ],
    [
      "a ring without the key it was signed with",
      (bench: StreamBench) => bench.bed.feed.push({ t: "keys", seq: 9, keys: [] }),
      { code: "token-key-unknown", stage: "identify", face: "unauthenticated" },
    ],
  ] satisfies [string, (bench: StreamBench) => void, Ending][]) {
    test(`${what} ends its streams`, async () => {
      const shared = bench;
      bench = await openStreamBench();
      try {
        const one = await begun();
        revoke(bench);
        await judgeEnd(one, { ...said, ...revoked });
      } finally {
        await bench.close();
        bench = shared;
      }
    });
  }
});

describe("on a clock of its own", () => {
  let shared: StreamBench;
  before(async () => {
    shared = bench;
    bench = await openStreamBench({ clock: standingClock() });
  });
  after(async () => {
    await bench.close();
    bench = shared;
  });

  test("a token that expires ends its stream once no new request would pass with it, and its caller is told so", async () => {
    const one = await begun();
    const iat = Math.floor(bench.bed.clock.now() / 1000) + 1_000;
    const longer = await bench.follow(bench.portal, { claims: { iat: iat - 1_000, exp: iat - 400 } });
    const provider = bench.providers.at(-1);
    bench.bed.clock.shiftMs += 302_000;
    bench.bed.feed.heartbeat();
    await goesOn(one, bench.providers.at(-2));
    bench.bed.clock.shiftMs += 4_000;
    bench.bed.feed.heartbeat();
    assert.equal(await ended(one), "cut");
    assert.ok(one.text().endsWith(lastWord("token-expired", one.id)), one.text());
    const outcome = { code: null, ...(await bench.outcome(one.id)) };
    assert.deepEqual([outcome.outcome, outcome.code], ["denied", "token-expired"]);
    await goesOn(longer, provider);
    longer.close();
  });

  test("a stream ends when control has been silent for longer than its classification bears, and another one goes on", async () => {
    bench.bed.feed.heartbeat();
    bench.orders.nonce = undefined;
    const open = await begun();
    const provider = bench.providers.at(-1);
    const secret = await begun({ path: "/news/v1/secret" });
    bench.bed.clock.shiftMs += 4_000;
    await judgeEnd(secret, { code: "stale-snapshot", stage: "authorize", retryable: true });
    await goesOn(open, provider);
    open.close();
  });
});

/** What a new snapshot changes about one integration. */
const integration =
  (id: string, change: object) =>
  (estate: TestEstate): TestEstate => ({
    ...estate,
    integrations: estate.integrations.map((one) => (one.id === id ? { ...one, ...change } : one)),
  });
const news =
  (change: (system: TestEstate["systems"][number]) => TestEstate["systems"][number]) =>
  (estate: TestEstate): TestEstate => ({
    ...estate,
    systems: estate.systems.map((one) => (one.id === "news" ? change(one) : one)),
  });

const changes: [string, (estate: TestEstate) => TestEstate, Ending][] = [
  [
    "takes the grant away",
    (estate) => ({ ...estate, integrations: estate.integrations.filter(({ id }) => id !== "orders-to-news") }),
    { code: "not-granted", stage: "bind" },
  ],
  [
    "takes one operation out of the grant",
    integration("orders-to-news", { operations: [{ name: "events.secret" }] }),
    { code: "not-granted", stage: "bind" },
  ],
  [
    "suspends the integration",
    integration("orders-to-news", { state: "suspended" }),
    { code: "not-active", stage: "bind" },
  ],
  [
    "does not accept the proof any more",
    integration("orders-to-news", { proof: ["mtls"] }),
    { code: "proof-not-accepted", stage: "authorize" },
  ],
  [
    "has a policy that forbids it",
    news((system) => ({
      ...system,
      operations: (system.operations ?? []).map((one) => ({
        ...one,
        cedar: `@id("closed") forbid(principal == Workload::"orders", action, resource);`,
      })),
    })),
    { code: "policy-denied", stage: "authorize" },
  ],
  [
    "has its answers looked into",
    news((system) => ({
      ...system,
      operations: (system.operations ?? []).map((one) => ({ ...one, response: { redact: ["$.name"] } })),
    })),
    { code: "response-content", stage: "inspect" },
  ],
  [
    "publishes the operation no more",
    news((system) => ({ ...system, operations: (system.operations ?? []).slice(1) })),
    { code: "no-route", stage: "bind" },
  ],
  [
    "knows the caller's client no more",
    (estate) => ({
      ...estate,
      systems: estate.systems.map((one) => (one.id === "orders" ? { ...one, clients: ["orders-2"] } : one)),
    }),
    { code: "client-unknown", stage: "identify", face: "unauthenticated" },
  ],
  [
    "has the provider at another address",
    news((system) => ({ ...system, url: "http://127.0.0.1:9" })),
    { code: "upstream-unreachable", stage: "forward", retryable: true, outcome: "system-error" },
  ],
];
for (const [what, change, said] of changes) {
  test(`a snapshot that ${what} ends the stream; one that says the same does not, and a new stream begins under it`, async () => {
    const one = await begun();
    await bench.publish();
    await goesOn(one);
    one.close();
    const next = await begun();
    await bench.publish(change);
    await judgeEnd(next, said);
    await bench.publish();
    const again = await begun();
    again.close();
  });
}

test("what was revoked while the provider had not yet answered ends the stream as it begins", async () => {
  const { begin } = bench;
  let answer = (): void => undefined;
  bench.begin = (response) => {
    answer = () => begin(response);
  };
  const reached = bench.upstream.seen.length;
  const jti = "revoked-while-it-waits";
  const following = bench.follow(bench.orders, { claims: { jti } });
  await until(() => bench.upstream.seen.length > reached, "the provider");
  bench.bed.feed.revoke("jti", jti);
  answer();
  bench.begin = begin;
  const one = await following;
  await judgeEnd(one, { code: "token-revoked", stage: "identify", face: "unauthenticated" });
});

test("half an event is not made a whole one: the stream is cut without a last word", async () => {
  const jti = "in-the-middle";
  const one = await begun({ claims: { jti } });
  bench.providers.at(-1)?.response.write("data: transfer 1000");
  await until(() => one.text().endsWith("1000"), "half an event");
  bench.bed.feed.revoke("jti", jti);
  assert.equal(await ended(one), "cut");
  assert.equal(one.text(), "data: 1\n\ndata: transfer 1000");
});

test("an answer that is no event stream is cut without a word of ours in it", async () => {
  const { begin } = bench;
  bench.begin = (response) => {
    response.writeHead(200, { "content-type": "application/octet-stream" });
    response.write(Buffer.alloc(100_000, "a"));
  };
  const jti = "a-long-download";
  const one = await bench.follow(bench.orders, { claims: { jti } });
  bench.begin = begin;
  await until(() => one.text().length === 100_000, "what there is");
  bench.bed.feed.revoke("jti", jti);
  assert.equal(await ended(one), "cut");
  assert.equal(one.text(), "a".repeat(100_000));
  const outcome = { code: null, ...(await bench.outcome(one.id)) };
  assert.deepEqual([outcome.outcome, outcome.code], ["denied", "token-revoked"]);
});

test("a caller that reads nothing is ended as fast as one that does", async () => {
  const { begin } = bench;
  bench.begin = (response) => {
    begin(response);
    for (let i = 0; i < 64; i++) response.write(`data: ${"x".repeat(64 * 1024)}\n\n`);
  };
  const jti = "reads-nothing";
  const one = await bench.follow(bench.orders, { claims: { jti } });
  one.pause();
  bench.begin = begin;
  bench.bed.feed.revoke("jti", jti);
  const outcome = { code: null, ...(await bench.outcome(one.id)) };
  assert.deepEqual([outcome.outcome, outcome.code], ["denied", "token-revoked"]);
  await until(() => bench.bed.gateway.status().inFlight === 0, "its connection");
  one.close();
});
