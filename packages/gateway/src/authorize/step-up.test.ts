import assert from "node:assert/strict";
import { test } from "node:test";
import { isAcrEnough, stricterStepUp } from "@sallyport/protocol/token/acr.ts";

const [password, mfa, resistant] = ["password", "mfa", "phishing-resistant"].map(
  (level) => `urn:sallyport:acr:${level}` as Parameters<typeof isAcrEnough>[1],
) as [Parameters<typeof isAcrEnough>[1], Parameters<typeof isAcrEnough>[1], Parameters<typeof isAcrEnough>[1]];

test("an operation and its grant both hold: the higher level and the shorter age, in either order", () => {
  const operation = { acr: mfa, maxAgeSeconds: 600 };
  for (const [grant, both] of [
    [undefined, operation],
    [{ acr: resistant }, { acr: resistant, maxAgeSeconds: 600 }],
    [
      { acr: password, maxAgeSeconds: 60 },
      { acr: mfa, maxAgeSeconds: 60 },
    ],
    [{ maxAgeSeconds: 3_600 }, operation],
  ] as const) {
    assert.deepEqual(stricterStepUp(operation, grant), both);
    assert.deepEqual(stricterStepUp(grant, operation), both);
  }
  assert.equal(stricterStepUp(undefined, undefined), undefined);
});

test("a level that is none of ours is worth nothing", () => {
  for (const none of [undefined, "", "mfa", `${resistant}x`, "urn:other"])
    assert.equal(isAcrEnough(none, password), false);
});
