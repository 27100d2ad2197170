import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { decodeBase64url, decodeByTable, encodeBase64url, encodeByTable, withBase64url } from "./base64url.ts";

test("bytes of every length and value have the one text of RFC 4648 §5, with and without help of the engine", () => {
  for (let length = 0; length <= 300; length++) {
    const bytes = Uint8Array.from({ length }, (_, i) => (i * 151 + length * 7) & 255);
    const text = Buffer.from(bytes).toString("base64url");
    assert.equal(encodeByTable(bytes), text);
    assert.equal(encodeBase64url(bytes), text);
    assert.equal(
      encodeBase64url(Buffer.concat([Buffer.from("x"), bytes]).subarray(1)),
      text,
      "a view of a larger block",
    );
    assert.deepEqual(decodeBase64url(text), bytes);
  }
});

test("no text but the one that would be written is read: padding, white space, the other alphabet, unused bits, with and without help of the engine", () => {
  const judge = (text: string) => {
    const bytes = Buffer.from(text, "base64url");
    const wanted = bytes.toString("base64url") === text ? new Uint8Array(bytes) : null;
    assert.deepEqual(decodeBase64url(text), wanted, JSON.stringify(text));
    if ((text.length & 3) === 1) return;
    const length = (text.length * 3) >> 2;
    const written = decodeByTable(new Uint8Array(length), text);
    assert.equal(written, /^[A-Za-z0-9_-]*$/.test(text) ? length : -1, JSON.stringify(text));
  };
  for (const text of [
    "QQ",
    "QR",
    "QQ==",
    "QUI=",
    "QUI",
    "QUJ",
    "QUJD",
    "QUJD ",
    " QUJD",
    "QU\nJD",
    "QUJD\n",
    "QUJD====",
    "+/+/",
    "-_-_",
    "Q",
    "=",
    "QUJDQ",
    "QUJD\u00e9",
    "QUJ\u0141",
    "QQ=",
    "\t\t\t\t",
    "QQ  ",
  ])
    judge(text);
  const letters = fc.constantFrom(..."ABQUJDz09-_+/= \n\t=.\u00e9\u0141");
  fc.assert(fc.property(fc.string({ unit: letters, maxLength: 24 }), judge), { numRuns: 5_000, seed: 20261130 });
  fc.assert(
    fc.property(
      fc.uint8Array({ maxLength: 64 }),
      fc.nat(),
      fc.constantFrom("", " ", "=", "\n", "A", "+"),
      (bytes, at, extra) => {
        const text = encodeBase64url(bytes);
        judge(text.slice(0, at % (text.length + 1)) + extra + text.slice(at % (text.length + 1)));
      },
    ),
    { numRuns: 2_000, seed: 20261130 },
  );
});

test("bytes that are given away are not those that are lent, and texts longer than the lent place are read as well", () => {
  const first = decodeBase64url("QUJD") ?? assert.fail();
  withBase64url("eHl6", () => null);
  assert.deepEqual(first, Uint8Array.of(0x41, 0x42, 0x43));
  const large = Uint8Array.from({ length: 20_000 }, (_, i) => i & 255);
  assert.deepEqual(decodeBase64url(encodeBase64url(large)), large);
});
