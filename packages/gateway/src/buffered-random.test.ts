import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { test } from "node:test";
import { blockBytes, bufferedRandom, RandomFault } from "./buffered-random.ts";

const sources = {
  "a Buffer, as node:crypto gives it": { bytes: (length: number) => randomBytes(length) },
  "a plain Uint8Array": { bytes: (length: number) => new Uint8Array(randomBytes(length)) },
};

for (const [kind, source] of Object.entries(sources)) {
  test(`what is handed out stays as it was drawn, from ${kind}`, () => {
    const random = bufferedRandom(source);
    const drawn = Array.from({ length: 2 * (blockBytes / 16) }, () => random.bytes(16));
    const texts = new Set(drawn.map((bytes) => Buffer.from(bytes).toString("hex")));
    assert.equal(texts.size, drawn.length, "no value repeats, also over the end of a block");
    assert.ok(!texts.has("0".repeat(32)), "no value was wiped after it was handed out");
  });

  test(`values longer than an eighth of a block come straight from the source, ${kind}`, () => {
    const bytes = bufferedRandom(source).bytes(blockBytes);
    assert.equal(bytes.length, blockBytes);
    assert.ok(bytes.some((byte) => byte !== 0));
  });
}

test("a drawn value is nobody else's memory: wiping the block or another value does not reach it", () => {
  const block = Buffer.alloc(blockBytes, 7);
  block.writeUInt32BE(1, 32);
  const random = bufferedRandom({ bytes: () => block });
  const value = random.bytes(16);
  block.fill(0);
  assert.deepEqual(value, new Uint8Array(16).fill(7));
});

test("attack: a source of zeros, or one that repeats itself, is refused before anything is started on it", () => {
  assert.throws(() => bufferedRandom({ bytes: (length) => new Uint8Array(length) }), RandomFault);
  assert.throws(() => bufferedRandom({ bytes: (length) => new Uint8Array(length).fill(9) }), RandomFault);
});
