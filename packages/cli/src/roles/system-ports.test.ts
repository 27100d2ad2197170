import assert from "node:assert/strict";
import { test } from "node:test";
import { systemRandom } from "./system-ports.ts";

test("random bytes of every length are as many as asked for, in memory of their own, and never come twice", () => {
  const seen = new Set<string>();
  for (let round = 0; round < 2_000; round++)
    for (const length of [8, 10, 31, 32, 33, 64]) {
      const bytes = systemRandom.bytes(length);
      assert.equal(bytes.length, length);
      assert.equal(bytes.buffer.byteLength, length, "the memory is not shared with the next");
      assert.ok(bytes.some((byte) => byte !== 0));
      seen.add(Buffer.from(bytes).toString("latin1"));
    }
  assert.equal(seen.size, 2_000 * 6);
});
