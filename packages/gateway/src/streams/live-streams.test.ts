// The registry of crossings that go on: who is asked about when, in what turns, and that nobody is asked for whom nothing changed.
import assert from "node:assert/strict";
import { test } from "node:test";
import { type Deny, deny } from "@sallyport/protocol/verdict.ts";
import type { Exchange } from "../exchange.ts";
import { LiveStreams } from "./live-streams.ts";
import { SentEvents } from "./sent-events.ts";
import { StreamIndex } from "./stream-index.ts";

const revoked = deny("identify", "token-revoked");

/** As much of an exchange as the registry reads. */
function exchangeOf(n: number, jti: string): Exchange {
  const part = {
    id: `gw-${n}`,
    startedMonotonicMs: 0,
    signedToken: { kind: "outside", signed: { tokenId: jti, subject: `usr_${n}` } },
    principal: { expiresAtMs: Number.MAX_SAFE_INTEGER, tokenId: jti },
    caller: null,
    grant: { integration: { id: "orders-to-news" } },
    lease: null,
    operation: null,
    system: null,
  };
  // The registry and stream-times.ts read nothing else.
  return part as unknown as Exchange;
}

function registry(ask: (exchange: Exchange) => Deny | null) {
  const asked: string[] = [];
  const streams = new LiveStreams({
    clock: { now: () => 1_000, monotonic: () => 1_000 },
    stalenessMs: () => 0,
    ask: (exchange) => {
      asked.push(exchange.id);
      return ask(exchange);
    },
  });
  return { streams, asked };
}

const turns = async (n: number): Promise<void> => {
  for (let i = 0; i < n; i++) await new Promise((resolve) => setImmediate(resolve));
};

test("a revocation asks about those that stand on it and about nobody else among ten thousand", async () => {
  const { streams, asked } = registry(() => revoked);
  const ended: string[] = [];
  for (let n = 0; n < 10_000; n++) {
    const exchange = exchangeOf(n, n % 1_000 === 7 ? "stolen" : `token-${n}`);
    streams.add({ exchange, end: () => ended.push(exchange.id) });
  }
  streams.revoked([{ kind: "jti", value: "stolen" }]);
  await turns(50);
  assert.deepEqual(asked, [
    "gw-7",
    "gw-1007",
    "gw-2007",
    "gw-3007",
    "gw-4007",
    "gw-5007",
    "gw-6007",
    "gw-7007",
    "gw-8007",
    "gw-9007",
  ]);
  assert.deepEqual(ended, asked);
  assert.equal(streams.size, 9_990);
  streams.close();
});

test("ten thousand that have to be asked are asked in slices: whatever else waits has its turn in between", async () => {
  const { streams, asked } = registry(() => {
    const untilMs = performance.now() + 0.05;
    while (performance.now() < untilMs) {
      // As long as a real question takes.
    }
    return null;
  });
  for (let n = 0; n < 2_000; n++) streams.add({ exchange: exchangeOf(n, `token-${n}`), end: () => assert.fail() });
  streams.changed();
  let others = 0;
  while (asked.length < 2_000) {
    await turns(1);
    others++;
    assert.ok(others < 100_000, "they are all asked in the end");
  }
  assert.ok(others >= 5, `${others} turns of others: it was not one long one`);
  assert.equal(new Set(asked).size, 2_000, "each once, though it was found again and again");
  streams.close();
});

test("one that ends itself is forgotten: under each of its keys, and where it waited to be asked", async () => {
  const { streams, asked } = registry(() => revoked);
  const leave = streams.add({ exchange: exchangeOf(1, "one"), end: () => assert.fail("it has ended") });
  streams.revoked([{ kind: "jti", value: "one" }]);
  leave();
  await turns(5);
  assert.deepEqual(asked, []);
  assert.equal(streams.size, 0);
  const index = new StreamIndex<object>();
  const [a, b, c] = [{}, {}, {}];
  for (const one of [a, b, c]) index.put(one, ["client\norders", "client\norders", "kid\nk"]);
  index.remove(a);
  index.put(b, ["kid\nk"]);
  assert.deepEqual(index.of("client\norders"), [c, c]);
  assert.deepEqual(new Set(index.of("kid\nk")), new Set([b, c]));
  index.remove(b);
  index.remove(c);
  assert.equal(index.keys, 0, "and no list of a key stays behind");
});

test("the last event is said between two events alone, however their lines end, and never in coded content", () => {
  const upstream = { isCoded: false, contentLength: null };
  const said = (text: string, changes: Partial<Record<keyof typeof upstream, unknown>> = {}): boolean => {
    const exchange = { id: "gw-1", upstream: { ...upstream, ...changes } } as unknown as Exchange;
    const sent = new SentEvents(exchange);
    for (const octet of text) sent.take(Buffer.from(octet));
    return sent.lastWord(revoked) !== null;
  };
  for (const whole of [
    "",
    "data: 1\n\n",
    "data: 1\r\n\r\n",
    "data: 1\r\r",
    "data: 1\n\r\n",
    "data: 1\r\n\n",
    ": idle\n\n",
  ])
    assert.equal(said(whole), true, JSON.stringify(whole));
  for (const half of ["data: 1", "data: 1\n", "data: 1\r\n", "data: 1\r", "data: 1\n\nevent: a\n"])
    assert.equal(said(half), false, JSON.stringify(half));
  assert.equal(said("data: 1\n\n", { isCoded: true }), false);
  assert.equal(said("data: 1\n\n", { contentLength: 10_000 }), false);
});
