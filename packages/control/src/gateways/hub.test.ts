import assert from "node:assert/strict";
import { test } from "node:test";
import type { DownMessage } from "@sallyport/protocol/channel/messages.ts";
import { type CrossingAnswer, Hub, type NodeAddress, type NodeLink, openQuestionsMax } from "./hub.ts";

class TestLink implements NodeLink {
  readonly address: NodeAddress;
  readonly sent: DownMessage[] = [];
  readonly ends: string[] = [];
  room = Number.POSITIVE_INFINITY;

  constructor(node: string, environment = "production") {
    this.address = { tenant: "main", environment, group: `${environment}-eu`, node };
  }

  send(message: DownMessage): boolean {
    this.sent.push(message);
    return this.sent.length <= this.room;
  }

  end(why: string): void {
    this.ends.push(why);
  }
}

const everyone = () => true;
const keys = (seq: number): DownMessage => ({ t: "keys", seq, keys: [] });
const ack = (keySeq: number) => ({ t: "ack", keySeq, revocationSeq: 0, epoch: 1, version: 1 }) as const;
const answerTo = (id: string): CrossingAnswer => ({ t: "answer", id, found: true, leaves: ["{}"], reference: null });
const minute = 60_000;

function connected(hub: Hub, node: string, environment = "production"): TestLink {
  const link = new TestLink(node, environment);
  hub.connect(link, 0);
  return link;
}

test("every message reaches the nodes it concerns, in the order it was sent, and no other node", () => {
  const hub = new Hub();
  const here = connected(hub, "gw-1");
  const there = connected(hub, "gw-2", "staging");
  for (let seq = 1; seq <= 50; seq++) hub.send(({ environment }) => environment === "production", keys(seq));
  assert.deepEqual(
    here.sent,
    Array.from({ length: 50 }, (_, i) => keys(i + 1)),
  );
  assert.deepEqual(there.sent, []);
});

test("a node that reads too slowly is disconnected, and the others do not notice", () => {
  const hub = new Hub();
  const slow = connected(hub, "gw-slow");
  const quick = connected(hub, "gw-quick");
  slow.room = 2;
  for (let seq = 1; seq <= 3; seq++) hub.send(everyone, keys(seq));
  assert.deepEqual(slow.ends, ["the node reads too slowly"]);
  assert.equal(quick.sent.length, 3);
  assert.deepEqual(quick.ends, []);
});

test("a second connection of a node ends the first, whose late end does not take the place of the second", () => {
  const hub = new Hub();
  const first = connected(hub, "gw-1");
  const second = connected(hub, "gw-1");
  assert.equal(first.ends.length, 1);
  assert.equal(hub.deliver(first, keys(1)), false, "nothing is sent over the replaced link");
  hub.disconnect(first, 0);
  hub.send(everyone, keys(2));
  assert.deepEqual(second.sent, [keys(2)]);
  assert.deepEqual(hub.connected(), [second.address]);
});

test("a question is answered by the node that was asked and by no other", async () => {
  const hub = new Hub();
  const asked = connected(hub, "gw-1");
  connected(hub, "gw-2");
  const answer = hub.ask("gw-1", "gw-1-01KAMZZZZZ0000000000000000", minute);
  const [question] = asked.sent;
  assert.equal(question?.t, "question");
  const id = question?.t === "question" ? question.id : "";
  hub.answer("gw-2", { ...answerTo(id), leaves: ["forged"] });
  hub.answer("gw-1", { ...answerTo("999"), leaves: ["of another question"] });
  hub.answer("gw-1", answerTo(id));
  hub.answer("gw-1", { ...answerTo(id), leaves: ["late"] });
  assert.deepEqual(await answer, answerTo(id));
});

test("an answer of another kind than was asked for is no answer", async () => {
  const hub = new Hub();
  const asked = connected(hub, "gw-1");
  const observed = hub.askObserved("gw-1", 5, minute);
  const [question] = asked.sent;
  assert.ok(question?.t === "question");
  assert.deepEqual(question, { t: "question", id: question.id, ask: "observed", sinceMs: 5, shadows: true });
  hub.answer("gw-1", answerTo(question.id));
  const answer = { t: "observed", id: question.id, sinceMs: 5, uncounted: 0, groups: [] } as const;
  hub.answer("gw-1", answer);
  assert.deepEqual(await observed, answer);
});

test("a question to a node that is away, is evicted or never answers is answered with nothing", async () => {
  const hub = new Hub();
  assert.equal(await hub.ask("gw-1", "x", minute), null, "away");
  connected(hub, "gw-1");
  assert.equal(await hub.ask("gw-1", "x", 1), null, "silent");
  const waiting = hub.ask("gw-1", "x", minute);
  hub.evict("gw-1", "revoked");
  assert.equal(await waiting, null, "evicted");
});

test("questions open at once are bounded, and closing answers them all", async () => {
  const hub = new Hub();
  const link = connected(hub, "gw-1");
  const open = Array.from({ length: openQuestionsMax }, () => hub.ask("gw-1", "x", minute));
  assert.equal(await hub.ask("gw-1", "one too many", minute), null);
  assert.equal(link.sent.length, openQuestionsMax);
  hub.close();
  assert.deepEqual(new Set(await Promise.all(open)), new Set([null]));
  assert.deepEqual(link.ends, ["control is stopping"]);
});

test("a key counts as known only when every live node of the environment has acknowledged it", () => {
  const hub = new Hub();
  const lowest = (now = 0) => hub.lowestKeySeq("main", "production", now, minute);
  assert.equal(lowest(), Number.POSITIVE_INFINITY, "no node at all");
  const one = connected(hub, "gw-1");
  assert.equal(lowest(), 0, "connected, has said nothing");
  hub.acknowledge(one.address, ack(7), 0);
  assert.equal(lowest(), 7);
  const staging = connected(hub, "gw-staging", "staging");
  assert.equal(lowest(), 7, "a node of another environment does not hold it back");
  const two = connected(hub, "gw-2");
  hub.acknowledge(two.address, ack(5), 0);
  assert.equal(lowest(), 5);
  assert.equal(hub.lowestKeySeq("other", "production", 0, minute), Number.POSITIVE_INFINITY);
  assert.deepEqual(hub.acknowledged(staging.address.node), null);
});

test("a connected node that acknowledged long ago goes on counting when its connection is lost, until its staleness bound", () => {
  const hub = new Hub();
  const link = connected(hub, "gw-1");
  hub.acknowledge(link.address, ack(3), 0);
  const lost = 10 * minute;
  hub.disconnect(link, lost);
  assert.equal(hub.lowestKeySeq("main", "production", lost + minute, minute), 3);
  assert.equal(hub.lowestKeySeq("main", "production", lost + minute + 1, minute), Number.POSITIVE_INFINITY);
});

test("a node the store knows counts before it was heard in this run, and its own word replaces the guess", () => {
  const hub = new Hub();
  const link = new TestLink("gw-1");
  hub.expect(link.address, 0);
  assert.equal(hub.lowestKeySeq("main", "production", 0, minute), 0);
  hub.acknowledge(link.address, ack(4), 1);
  hub.expect(link.address, 2);
  assert.equal(hub.lowestKeySeq("main", "production", 2, minute), 4);
});

test("attack: an evicted node's acknowledgement under way does not hold the others back", () => {
  const hub = new Hub();
  const link = connected(hub, "gw-1");
  hub.acknowledge(link.address, ack(1), 0);
  hub.evict("gw-1", "revoked");
  hub.acknowledge(link.address, ack(1), 1);
  hub.disconnect(link, 1);
  assert.deepEqual(link.ends, ["revoked"]);
  assert.equal(hub.acknowledged("gw-1"), null);
  assert.equal(hub.lowestKeySeq("main", "production", 1, minute), Number.POSITIVE_INFINITY);
});
