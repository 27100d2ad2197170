import assert from "node:assert/strict";
import { test } from "node:test";
import { pipelinedBytesMax } from "./input-bounds.ts";
import { InputBuffers } from "./input-buffers.ts";
import { sharedReadBytes } from "./shared-reads.ts";
import { UnreadInput } from "./unread-input.ts";

/** The memory of every large buffer that an input was seen in. */
class Seen {
  readonly memories = new Set<ArrayBufferLike>();

  look({ octets }: UnreadInput): void {
    if (octets.length > pipelinedBytesMax) this.memories.add(octets.buffer);
  }
}

/** A connection whose caller sends more as soon as there is room: reads of the full length, each behind what is left of the one before. */
function flood(input: UnreadInput, reads: number, seen: Seen): void {
  const read = Buffer.alloc(sharedReadBytes, "r");
  for (let n = 0; n < reads; n++) {
    input.add(read);
    input.keep();
    seen.look(input);
    while (input.size > pipelinedBytesMax) input.readTo(input.from + 1_000);
  }
}

test("memory: a caller that sends faster than it is answered is read into the same buffers again and again", () => {
  const seen = new Seen();
  const input = new UnreadInput(new InputBuffers());
  flood(input, 1_000, seen);
  assert.ok(seen.memories.size <= 3, `${seen.memories.size} buffers for 1,000 reads`);
  assert.equal(input.octets.toString("latin1", input.from, input.end), "r".repeat(input.size));
});

test("memory: what one connection let go of the next one uses, and no more is kept than a few", () => {
  const buffers = new InputBuffers();
  const seen = new Seen();
  for (let n = 0; n < 100; n++) {
    const input = new UnreadInput(buffers);
    flood(input, 3, seen);
    input.clear();
  }
  assert.ok(seen.memories.size <= 3, `${seen.memories.size} buffers for 100 connections`);

  const many = Array.from({ length: 200 }, () => new UnreadInput(buffers));
  for (const input of many) flood(input, 1, seen);
  const held = seen.memories.size;
  for (const input of many) input.clear();
  for (const input of many) flood(input, 1, seen);
  const again = seen.memories.size - held;
  assert.ok(again >= 200 - 32 && again < 200, `${again} made anew`);
});

test("octets that come one by one are not copied each time, and stay in their order", () => {
  const input = new UnreadInput(new InputBuffers());
  const memories = new Set<ArrayBufferLike>();
  const text = Array.from({ length: 3_000 }, (_, n) => String.fromCharCode(97 + (n % 26))).join("");
  for (const letter of text) {
    input.add(Buffer.from(letter));
    input.keep();
    memories.add(input.octets.buffer);
  }
  assert.ok(memories.size <= 4, `${memories.size} buffers`);
  assert.equal(input.octets.toString("latin1", input.from, input.end), text);
});
