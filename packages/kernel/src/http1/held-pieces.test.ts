import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { HeldPieces } from "./held-pieces.ts";

/** As it comes from a connection: a view of Node's pool, which has gone on by the time of the next one. */
function pooled(octets: Uint8Array): Buffer {
  const piece = Buffer.from(octets);
  for (let used = 0; used < Buffer.poolSize; used += 1_000) Buffer.allocUnsafe(1_000);
  return piece;
}

/** Memory that these keep alive. */
function keptAlive(pieces: readonly Buffer[]): number {
  const memories = new Set(pieces.map(({ buffer }) => buffer));
  return [...memories].reduce((sum, { byteLength }) => sum + byteLength, 0);
}

test("attack: octets that are sent one at a time are held in about as much memory as they are", () => {
  const held = new HeldPieces();
  const octets = Buffer.alloc(20_000, "0123456789");
  for (const octet of octets) held.push(pooled(Uint8Array.of(octet)));
  assert.equal(held.bytes, octets.length);
  const pieces = held.takeAll();
  assert.deepEqual(Buffer.concat(pieces), octets);
  assert.ok(keptAlive(pieces) <= 3 * octets.length, `${keptAlive(pieces)} bytes for ${octets.length}`);
  assert.ok(pieces.length <= 4, `${pieces.length} pieces`);
});

test("attack: nor do pieces of other sizes keep alive much beside themselves, in whatever order", () => {
  for (const sizes of [[1, 1, 5_000], [5_000], [1, 40_000], [20_000, 3]]) {
    const held = new HeldPieces();
    let bytes = 0;
    for (let n = 0; n < 100; n++)
      for (const size of sizes) {
        held.push(pooled(Buffer.alloc(size, n)));
        bytes += size;
      }
    const kept = keptAlive(held.takeAll());
    assert.ok(kept <= 4 * bytes, `${sizes}: ${kept} bytes for ${bytes}`);
  }
});

test("what is one piece is not copied, and the whole is the same buffer again", () => {
  for (const size of [1, 300, 100_000]) {
    const held = new HeldPieces();
    const piece = Buffer.alloc(size, "x");
    held.push(piece);
    assert.equal(held.whole(), piece);
    assert.equal(held.whole(), piece);
    assert.equal(held.shift(), piece);
    assert.equal(held.shift(), undefined);
  }
});

test("a piece that was given out is not written behind", () => {
  const held = new HeldPieces();
  held.push(Buffer.from("ab"));
  held.push(Buffer.from("cd"));
  const given = held.shift();
  held.push(Buffer.from("ef"));
  held.push(Buffer.from("gh"));
  assert.deepEqual([given?.toString(), held.whole().toString()], ["abcd", "efgh"]);
});

test("whatever the pieces and however they are taken, the octets come out once and in order", () => {
  const step = fc.oneof(
    fc.uint8Array({ maxLength: 40 }),
    fc.uint8Array({ minLength: 1, maxLength: 20_000 }),
    fc.constantFrom("shift", "all", "whole", "clear" as const),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const held = new HeldPieces();
      let expected: Buffer = Buffer.alloc(0);
      for (const one of steps) {
        if (typeof one !== "string") {
          held.push(Buffer.from(one));
          expected = Buffer.concat([expected, one]);
        } else if (one === "shift") {
          const piece = held.shift() ?? Buffer.alloc(0);
          assert.deepEqual(piece, expected.subarray(0, piece.length));
          expected = expected.subarray(piece.length);
        } else if (one === "all") {
          assert.deepEqual(Buffer.concat(held.takeAll()), expected);
          expected = Buffer.alloc(0);
        } else if (one === "whole") assert.deepEqual(held.whole(), expected);
        else {
          held.clear();
          expected = Buffer.alloc(0);
        }
        assert.equal(held.bytes, expected.length);
      }
      assert.deepEqual(held.whole(), expected);
    }),
    { seed: 20261201, numRuns: 300 },
  );
});
