// What an operator reads of a preflight: that nothing is wrong with one that got its yes, and where to look for one that did not.
import assert from "node:assert/strict";
import { test } from "node:test";
import { explainDenial } from "./explain-denial.ts";

const fixOf = (facts: Readonly<Record<string, string>>) =>
  explainDenial({ code: "credentials-missing", stage: "identify", facts }).fix;

test("a preflight with a yes needs no fix, one without names the key, and other missing credentials are what they were", () => {
  assert.match(fixOf({ preflight: "answered" }), /^nothing to mend/);
  assert.match(fixOf({ preflight: "refused" }), /`cors\.origins`/);
  assert.match(fixOf({}), /^the caller sends a token/);
  assert.match(fixOf({ proxy: "via" }), /^a proxy stands in front/);
});
