// A provider that says what tokens for it look like, at a real control plane and a real gateway in processes of their own, called with the SDK as ever.
import assert from "node:assert/strict";
import { test } from "node:test";
import { looksNested } from "@sallyport/kernel/nested-token.ts";
import { isHandle } from "@sallyport/protocol/token/handle.ts";
import { Installation, until } from "./installation.test-support.ts";

for (const [form, isOfForm] of [
  ["opaque", isHandle],
  ["encrypted", looksNested],
] as const)
  test(`tokens: ${form}: a caller crosses, an operator sees what the token says, a revocation ends it`, {
    timeout: 120_000,
  }, async () => {
    const installation = await Installation.open();
    try {
      const billing = "systems/billing.yaml";
      installation.writeEstate({ [billing]: `${installation.files()[billing]}tokens: ${form}\n` });
      await installation.startControl();
      installation.trustRoots();
      await installation.startGateway();
      const { fetch, token } = installation.caller();
      for (let n = 0; n < 3; n += 1) {
        const response = await fetch("/billing/v1/invoices/in-1");
        assert.equal(response.status, 200, await response.clone().text());
      }
      const text = await token();
      assert.ok(isOfForm(text), "what the SDK was given");
      const operator = installation.operator();
      const inspect = () =>
        operator.call<{
          readonly state: string;
          readonly claims: { readonly client_id: string; readonly jti: string };
        }>("POST", "/v1/tokens/inspect", { token: text });
      const { state, claims } = await inspect();
      assert.deepEqual([state, claims.client_id], ["active", "orders"]);
      const revocation = { environment: "production", kind: "jti", value: claims.jti, reason: "a test" };
      await operator.call("POST", "/v1/revocations", revocation);
      assert.equal((await inspect()).state, "revoked");
      // The SDK gets itself another one when the gateway refuses this.
      assert.equal((await fetch("/billing/v1/invoices/in-1")).status, 200);
    } finally {
      await installation.close();
    }
  });

test("tokens signed with RSA for one audience: made, held by a real gateway, used and taken back by a change of the file", {
  timeout: 120_000,
}, async () => {
  const installation = await Installation.open();
  try {
    const billing = "systems/billing.yaml";
    const plain = installation.files()[billing] ?? "";
    const legacy = `tokens: { algorithm: RS256, reason: A test of old verifiers, until: ${new Date(Date.now() + 86_400_000).toISOString().slice(0, 10)} }\n`;
    installation.writeEstate({ [billing]: `${plain}${legacy}` });
    await installation.startControl();
    installation.trustRoots();
    await installation.startGateway();
    const caller = installation.caller();
    const algorithmOf = (token: string) =>
      JSON.parse(Buffer.from(token.split(".")[0] ?? "", "base64url").toString()).alg as string;
    const crossed = async () => (await caller.fetch("/billing/v1/invoices/in-1").catch(() => null))?.status === 200;
    await until(
      "a call with a token of RSA",
      async () => (await crossed()) && algorithmOf(await caller.token()) === "RS256",
    );
    const environment = "production";
    await installation.operator().call("POST", "/v1/keys/rotate", { environment });
    assert.equal((await installation.caller().fetch("/billing/v1/invoices/in-1")).status, 200);
  } finally {
    await installation.close();
  }
});
