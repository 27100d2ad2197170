import assert from "node:assert/strict";
import { test } from "node:test";
import { crc32c } from "./crc32c.ts";

/** Bit by bit, as RFC 3720 defines it. */
function slowly(bytes: Uint8Array): number {
  let crc = 0xffff_ffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let k = 0; k < 8; k++) crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1;
  }
  return ~crc >>> 0;
}

test("the checksums are those of RFC 3720 appendix B.4", () => {
  assert.equal(crc32c(new Uint8Array(32)), 0x8a91_36aa);
  assert.equal(crc32c(new Uint8Array(32).fill(0xff)), 0x62a8_ab43);
  assert.equal(crc32c(Uint8Array.from({ length: 32 }, (_, i) => i)), 0x46dd_794e);
  assert.equal(crc32c(Uint8Array.from({ length: 32 }, (_, i) => 31 - i)), 0x113f_db5c);
});

test("every length and every place in memory gives what the definition gives, in a view that begins anywhere too", () => {
  const memory = Uint8Array.from({ length: 160 }, (_, i) => (i * 89 + (i >> 3) * 151) & 255);
  for (let start = 0; start < 8; start++) {
    const view = memory.subarray(start);
    for (let from = 0; from < 8; from++)
      for (let to = from; to <= view.length; to++)
        assert.equal(crc32c(view, from, to), slowly(view.subarray(from, to)), `${start} ${from} ${to}`);
  }
});
