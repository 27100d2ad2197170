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
