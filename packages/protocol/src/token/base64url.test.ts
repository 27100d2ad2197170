import assert from "node:assert/strict";
import { test } from "node:test";
import { decodeBase64url, encodeBase64url, encodeByTable } from "./base64url.ts";

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
