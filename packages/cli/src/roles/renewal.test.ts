import assert from "node:assert/strict";
import { test } from "node:test";
import { testAuthority, testCertificate } from "@sallyport/control/gateways/channel.test-support.ts";
import { isHalfOver } from "./gateway.ts";

test("a certificate is due for renewal from half of its life on, also when a chain follows it", () => {
  const now = Date.now();
  const hour = 3_600_000;
  const ca = testAuthority();
  const { cert } = testCertificate(ca, { dns: ["gateway.test"] }, { notBeforeMs: now, notAfterMs: now + 24 * hour });
  const chain = cert + ca.certificatePem;
  assert.equal(isHalfOver(chain, now + 11.9 * hour), false);
  assert.equal(isHalfOver(chain, now + 12.1 * hour), true);
  assert.equal(isHalfOver(chain, now + 48 * hour), true);
});
