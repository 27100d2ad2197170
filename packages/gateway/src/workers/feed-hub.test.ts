// Several workers as one voice towards control: docs/workers.md.
import assert from "node:assert/strict";
import { test } from "node:test";
import type { DownMessage, SnapshotFeed, UpMessage } from "@sallyport/protocol/channel/messages.ts";
import { FeedHub } from "./feed-hub.ts";

/** A channel that keeps what is said and says what a test says. */
function channel() {
  const state = { opened: 0, sent: [] as UpMessage[], on: null as ((message: DownMessage) => void) | null };
  const feed: Pick<SnapshotFeed, "open"> = {
    open(on) {
      state.opened += 1;
      state.on = on;
      return {
        send: async (message) => void state.sent.push(message),
        close: async () => {
          state.on = null;
        },
      };
    },
  };
  return { state, feed: feed as SnapshotFeed }; // the hub opens it and does nothing else with it
}

const ack = (keySeq: number, revocationSeq: number, version: number): UpMessage => ({
  ...{ t: "ack", keySeq, revocationSeq },
  ...{ epoch: 1, version },
});
const turns = () => new Promise((resolve) => setImmediate(resolve));

async function openHub(workers: number) {
  const { state, feed } = channel();
  const delivered: DownMessage[] = [];
  const hub = new FeedHub({
    workers,
    feed,
    deliver: (message) => void delivered.push(message),
    answer: (message) => message.t === "question",
    undelivered: () => assert.fail("everything is delivered here"),
  });
  for (let worker = 0; worker < workers; worker++) {
    assert.equal(state.opened, 0, "not before every worker takes messages");
    hub.open(worker);
  }
  await turns();
  return { hub, state, delivered };
}

test("control hears that something holds when it holds in every worker, and of each the least", async () => {
  const { hub, state } = await openHub(3);
  await hub.send(0, ack(2, 9, 4));
  await hub.send(1, ack(2, 9, 5));
  assert.deepEqual(state.sent, []);
  await hub.send(2, ack(1, 7, 5));
  assert.deepEqual(state.sent, [ack(1, 7, 4)]);
  await hub.send(0, ack(2, 9, 5));
  assert.deepEqual(state.sent.at(-1), ack(1, 7, 5));
  await hub.send(2, ack(2, 9, 5));
  assert.deepEqual(state.sent.at(-1), ack(2, 9, 5));
  assert.equal(state.sent.length, 3);
});

test("attack: a worker that never applies a revocation keeps control from hearing that it holds", async () => {
  const { hub, state } = await openHub(2);
  for (const worker of [0, 1]) await hub.send(worker, ack(1, 1, 1));
  for (let round = 2; round < 10; round++) await hub.send(0, ack(1, round, 1));
  assert.deepEqual(new Set(state.sent.map((one) => (one.t === "ack" ? one.revocationSeq : 0))), new Set([1]));
});

test("a worker that asks again has the channel opened anew, once it takes messages; what a node says once is said once", async () => {
  const { hub, state, delivered } = await openHub(2);
  hub.close(1);
  hub.open(1);
  await turns();
  assert.equal(state.opened, 2);
  state.on?.({ t: "heartbeat", at: 1, keySeq: 1, revocationSeq: 0 });
  state.on?.({ t: "question", id: "q", ask: "crossing", crossing: "x" });
  assert.deepEqual(
    delivered.map(({ t }) => t),
    ["heartbeat"],
  );
  const refused: UpMessage = { t: "refused-snapshot", epoch: 1, version: 1, why: "older" };
  const hopKey: UpMessage = { t: "hop-key", jwk: {}, proof: "p" };
  for (const worker of [0, 1]) {
    await hub.send(worker, refused);
    await hub.send(worker, hopKey);
  }
  assert.deepEqual(state.sent, [refused, hopKey]);
});
