// A provider that says `tokens: opaque`, at a real control plane and a real gateway in processes of their own, called with the SDK as ever.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { isHandle } from "@sallyport/protocol/token/handle.ts";
import { Installation } from "./installation.test-support.ts";

const bounded = { timeout: 60_000 };
let installation: Installation;

before(async () => {
  installation = await Installation.open();
  const billing = "systems/billing.yaml";
  installation.writeEstate({ [billing]: `${installation.files()[billing]}tokens: opaque\n` });
  await installation.startControl();
  installation.trustRoots();
  await installation.startGateway();
}, bounded);
after(() => installation.close());

test(
  "a caller crosses with a handle, an operator sees what it stands for, a revocation ends it at the gateway",
  bounded,
  async () => {
    const { fetch, token } = installation.caller();
    for (let n = 0; n < 3; n += 1) {
      const response = await fetch("/billing/v1/invoices/in-1");
      assert.equal(response.status, 200, await response.clone().text());
    }
    const handle = await token();
    assert.ok(isHandle(handle), "the SDK's token is a handle");
    const operator = installation.operator();
    const inspect = () =>
      operator.call<{ readonly state: string; readonly claims: { readonly client_id: string; readonly jti: string } }>(
        "POST",
        "/v1/tokens/inspect",
        { token: handle },
      );
    const { state, claims } = await inspect();
    assert.deepEqual([state, claims.client_id], ["active", "orders"]);
    const revocation = { environment: "production", kind: "jti", value: claims.jti, reason: "a test" };
    await operator.call("POST", "/v1/revocations", revocation);
    assert.equal((await inspect()).state, "revoked");
    // The SDK gets itself another handle when the gateway refuses this one.
    assert.equal((await fetch("/billing/v1/invoices/in-1")).status, 200);
  },
);
