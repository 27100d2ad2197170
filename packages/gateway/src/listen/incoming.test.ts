import assert from "node:assert/strict";
import { Socket } from "node:net";
import { test } from "node:test";
import { type ContentTaker, Incoming } from "./incoming.ts";

const piece = (text: string): Buffer => Buffer.from(text);

function made(...pieces: readonly string[]): Incoming {
  const source = { socket: new Socket(), pauseContent: () => {}, resumeContent: () => {} };
  const head = { method: "POST", url: "/", httpVersion: "1.1", rawHeaders: [], complete: false };
  const incoming = new Incoming(head, source);
  for (const one of pieces) incoming.push(piece(one));
  return incoming;
}

/** Everything that a taker is told. */
function taken(incoming: Incoming): string[] {
  const told: string[] = [];
  const taker: ContentTaker = {
    data: (one) => void told.push(one.toString()),
    end: () => void told.push("(end)"),
    gone: () => void told.push("(gone)"),
  };
  incoming.take(taker);
  return told;
}

test("a content that has come whole in one piece is had at once, and only once", () => {
  const incoming = made("all of it");
  incoming.finish();
  assert.equal(incoming.takeWhole(9)?.toString(), "all of it");
  assert.equal(incoming.takeWhole(9), null);
  assert.deepEqual(taken(incoming), ["(end)"]);
});

test("attack: a content that is not whole, not one piece, too large or begun by another is never had as the whole one", () => {
  const unfinished = made("half of");
  assert.equal(unfinished.takeWhole(100), null);
  assert.deepEqual(taken(unfinished), ["half of"]);

  const lost = made("half of");
  lost.lose();
  assert.equal(lost.takeWhole(100), null);
  assert.deepEqual(taken(lost), ["(gone)"]);

  const halves = ["1".repeat(50_000), "2".repeat(50_000)];
  const two = made(...halves);
  two.finish();
  assert.equal(two.takeWhole(1_000_000), null);
  assert.deepEqual(taken(two), [...halves, "(end)"]);

  const large = made("ten octets");
  large.finish();
  assert.equal(large.takeWhole(9), null);
  assert.deepEqual(taken(large), ["ten octets", "(end)"]);

  const begun = made("first, ");
  assert.deepEqual(taken(begun), ["first, "]);
  begun.leave();
  begun.push(piece("second"));
  begun.finish();
  assert.equal(begun.takeWhole(100), null);
  assert.deepEqual(taken(begun), ["second", "(end)"]);

  const flowed = made();
  taken(flowed);
  flowed.push(piece("first, "));
  flowed.leave();
  flowed.push(piece("second"));
  flowed.finish();
  assert.equal(flowed.takeWhole(100), null);

  const empty = made();
  empty.finish();
  assert.equal(empty.takeWhole(100), null);
  assert.deepEqual(taken(empty), ["(end)"]);
});

test("attack: a content that waits, sent an octet at a time, keeps about as much memory alive as it has octets", () => {
  const incoming = made();
  for (let n = 0; n < 20_000; n++) {
    incoming.push(piece("x"));
    // What others send meanwhile.
    for (let used = 0; used < Buffer.poolSize; used += 16_000) Buffer.allocUnsafe(16_000);
  }
  const memories = new Set<ArrayBufferLike>();
  let octets = 0;
  incoming.take({
    data: (one) => {
      memories.add(one.buffer);
      octets += one.length;
    },
    end: () => {},
    gone: () => {},
  });
  const kept = [...memories].reduce((sum, { byteLength }) => sum + byteLength, 0);
  assert.equal(octets, 20_000);
  assert.ok(kept <= 3 * octets, `${kept} bytes`);
});
