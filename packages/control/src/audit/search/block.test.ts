// A block of the search index believes no part of itself whose checksum does not fit.
import assert from "node:assert/strict";
import { test } from "node:test";
import { BlockDamaged, type BlockRecord, mayHaveId, readGroup, readPlaces, readTerms, writeBlock } from "./block.ts";
import { crossing, recordsOf } from "./records.test-support.ts";

const records = recordsOf(Array.from({ length: 40 }, (_, n) => crossing(n))).map(
  ({ index, leaf }): BlockRecord => ({
    ...{ origin: 1, index, at: 1_000 + index, leaf, intent: null },
    ...{ terms: [7, 8, 1_000 + (index % 5)], id: 100_000 + index },
  }),
);

test("index attack: any one byte turned in any part of a block is noticed before anything of that part is used", () => {
  const { places, terms, ids, groups } = writeBlock(records);
  const parts: readonly (readonly [string, Uint8Array, (part: Uint8Array) => unknown])[] = [
    ["places", places, readPlaces],
    ["terms", terms, (part) => readTerms(part, records.length)],
    ["ids", ids, (part) => mayHaveId(part, 100_000)],
    ["group", groups[0] ?? assert.fail(), readGroup],
  ];
  for (const [name, part, read] of parts) {
    assert.doesNotThrow(() => read(part), name);
    for (let at = 0; at < part.length; at += 1) {
      const turned = Uint8Array.from(part);
      turned[at] = (turned[at] ?? 0) ^ (1 << (at % 8));
      assert.throws(() => read(turned), BlockDamaged, `${name}, byte ${at}`);
    }
  }
});
