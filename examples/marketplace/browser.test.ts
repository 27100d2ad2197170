import assert from "node:assert/strict";
import { test } from "node:test";
import { codeOf, formsOf } from "./browser.ts";

test("the authenticator app shows the codes of RFC 6238 Appendix B", () => {
  // "12345678901234567890" in base32, grouped as the page groups it; the last six of the eight digits of the table.
  const seed = "GEZD GNBV GY3T QOJQ GEZD GNBV GY3T QOJQ";
  assert.equal(codeOf(seed, 0, 59_000), "287082");
  assert.equal(codeOf(seed, -1, 1_111_111_111_000), "081804");
  assert.equal(codeOf(seed, 0, 1_111_111_111_000), "050471");
});

test("a form is read as a browser would: where it leads and what it holds, entities resolved", () => {
  const page =
    '<form method="post" action="/a/login"><input type="hidden" name="form" value="a&amp;b"><input name="name"></form>';
  assert.deepEqual(formsOf(page), [{ action: "/a/login", fields: { form: "a&b", name: "" } }]);
});
