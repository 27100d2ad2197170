import assert from "node:assert/strict";
import { test } from "node:test";
import { createNonceBook, nonceStepMs } from "./nonce.ts";

test("a nonce is good in its own step and the next, and in no other, whatever was asked for between", () => {
  let now = 1_795_305_600_000;
  const clock = { now: () => now, monotonic: () => 0 };
  const book = createNonceBook({ secret: new Uint8Array(32).fill(7), domain: "https://one.example", clock });
  const other = createNonceBook({ secret: new Uint8Array(32).fill(7), domain: "https://two.example", clock });
  const first = book.issue();
  assert.ok(book.accepts(first));
  assert.ok(!other.accepts(first), "a nonce of one domain is none of another");
  now += nonceStepMs;
  const second = book.issue();
  assert.notEqual(second, first);
  assert.ok(book.accepts(first));
  now += nonceStepMs;
  assert.ok(!book.accepts(first));
  assert.ok(book.accepts(second));
  now -= 2 * nonceStepMs;
  assert.equal(book.issue(), first, "a clock set back gives what it gave");
  assert.ok(!book.accepts(second));
});
