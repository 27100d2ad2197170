// Who said no is read from the answer, never guessed: an answer that no gateway made is not called the provider's.
import assert from "node:assert/strict";
import { test } from "node:test";
import { callEnd } from "./run-call.ts";

const end = (status: number, headers: Readonly<Record<string, string>>) =>
  callEnd({ status, headers, body: new Uint8Array(0), totalMs: 1, steps: [], cut: false });
const crossing = "gw-1-01KAMZZZZZ0000000000000000";

test("an error is the provider's with a crossing, the gateway's with a verdict, and a proxy's without either", () => {
  assert.equal(end(200, {}), null);
  assert.match(end(404, { "sallyport-crossing": crossing })?.message ?? "", /^the provider answered 404/);
  const denied = end(403, {
    "sallyport-crossing": crossing,
    "sallyport-verdict": "deny; by=gateway; code=not-granted",
  });
  assert.match(denied?.message ?? "", /^denied by the gateway, not-granted/);
  assert.match(end(500, { "content-type": "text/html" })?.message ?? "", /^something before the gateway answered 500/);
});
