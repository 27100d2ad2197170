import assert from "node:assert/strict";
import { test } from "node:test";
import { GrowingIndex, idHash } from "./segment-index.ts";

test("a finished index lists ids by both halves of their hash and then by leaf, where first halves are equal too", () => {
  // Two pairs of words with equal FNV-1a hashes of 32 bits, and an id that comes twice.
  const words = [
    "liquid",
    "zinke",
    "costarring",
    "altarage",
    "liquid",
    ...Array.from({ length: 500 }, (_, n) => `e${n}`),
  ];
  assert.equal(idHash("liquid")[0], idHash("costarring")[0]);
  assert.equal(idHash("zinke")[0], idHash("altarage")[0]);
  const index = new GrowingIndex();
  words.forEach((word, n) => {
    index.add(61 + 10 * n, word);
  });
  const due = words
    .map((word, n) => [...idHash(word), n] as const)
    .sort((a, b) => a[0] - b[0] || a[1] - b[1] || a[2] - b[2]);
  const bytes = index.print(0);
  const idsAt = 33 + 4 * words.length;
  const printed = due.map((_, i) => [0, 4, 8].map((at) => bytes.readUInt32BE(idsAt + 12 * i + at)));
  assert.deepEqual(printed, due);
});

/** Leaves of one segment; every seventh has no id. */
function fill(index: GrowingIndex, leaves: number, prefix: string): void {
  for (let n = 0; n < leaves; n++) index.add(61 + 500 * n, n % 7 === 0 ? null : `${prefix}${n}`);
}

test("an index that was used for a longer segment before says of the next one what a new index says, and nothing of the former", () => {
  const used = new GrowingIndex();
  fill(used, 20_000, "former-");
  used.clear();
  assert.deepEqual([used.count, used.offsetOf(3), used.candidates("former-3")], [0, 0, []]);
  fill(used, 9_000, "next-");
  const fresh = new GrowingIndex();
  fill(fresh, 9_000, "next-");
  assert.ok(used.print(77).equals(fresh.print(77)));
  assert.deepEqual([used.candidates("next-8999"), used.candidates("former-8999")], [[8_999], []]);
  assert.deepEqual([used.offsetOf(8_999), used.offsetOf(9_000)], [61 + 500 * 8_999, 0]);
});

test("segment after segment an index takes no more memory", () => {
  const index = new GrowingIndex();
  fill(index, 100_000, "a");
  const before = process.memoryUsage().arrayBuffers;
  for (let segment = 0; segment < 3; segment++) {
    index.clear();
    fill(index, 100_000, "b");
  }
  assert.ok(process.memoryUsage().arrayBuffers <= before, `${process.memoryUsage().arrayBuffers} of ${before} bytes`);
});
