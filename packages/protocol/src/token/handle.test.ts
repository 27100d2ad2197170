import assert from "node:assert/strict";
import { test } from "node:test";
import { crc32 } from "node:zlib";
import fc from "fast-check";
import { handlePrefix, isHandle, printHandle } from "./handle.ts";

const secrets = fc.uint8Array({ minLength: 32, maxLength: 32 });

test("a handle is its prefix, 32 bytes and their CRC-32 as gzip counts it", () => {
  fc.assert(
    fc.property(secrets, (secret) => {
      const handle = printHandle(secret);
      assert.match(handle, /^spt1_[A-Za-z0-9_-]{48}$/);
      const bytes = Buffer.from(handle.slice(handlePrefix.length), "base64url");
      assert.deepEqual([...bytes.subarray(0, 32)], [...secret]);
      assert.equal(bytes.readUInt32BE(32), crc32(secret));
      assert.ok(isHandle(handle));
    }),
  );
  assert.throws(() => printHandle(new Uint8Array(31)), RangeError);
});

test("attack: malleable spelling: every other way to write a handle is none, and so is every handle with one character changed", () => {
  const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  fc.assert(
    fc.property(secrets, fc.nat(47), fc.constantFrom(...alphabet), (secret, at, other) => {
      const handle = printHandle(secret);
      const index = handlePrefix.length + at;
      if (handle[index] !== other)
        assert.equal(isHandle(handle.slice(0, index) + other + handle.slice(index + 1)), false);
    }),
  );
  const handle = printHandle(new Uint8Array(32).fill(251));
  const body = handle.slice(handlePrefix.length);
  for (const text of [
    `${handle}=`,
    ` ${handle}`,
    `${handle}\n`,
    handle.toUpperCase(),
    `SPT1_${body}`,
    `spt1_${body.replaceAll("-", "+").replaceAll("_", "/")}`,
    `spt1_${body.slice(0, 24)}.${body.slice(24)}`,
    handle.slice(0, -1),
    `${handle}A`,
    body,
    "spt1_",
    "",
  ])
    assert.equal(isHandle(text), false, JSON.stringify(text));
});
