import { strict as assert } from "node:assert";
import { test } from "node:test";
import { SallyportFault } from "@sallyport/sdk/fault.ts";
import { CommandEnd } from "../exit.ts";
import { callFault } from "./call-once.ts";

test("a refused token is answered with the question about the token: the one about the crossing may say yes", () => {
  const fixFor = (error: string, environment: string): string => {
    const way = {
      ...{
        environment,
        issuer: "https://id",
        gateway: "https://gw",
        identityRoots: undefined,
        gatewayRoots: undefined,
      },
      ...{ configDirectory: null, dataDirectory: "/data" },
    };
    const fault = new SallyportFault("token-endpoint-refused", { public: `The issuer gave no token: ${error}.` });
    const end = callFault(fault, { way, client: "orders", system: "billing" });
    assert.ok(end instanceof CommandEnd);
    return end.fix;
  };
  const asked = "sallyport why --from orders --op token:issue --for billing";
  assert.equal(fixFor("unauthorized_client", "production"), asked);
  assert.equal(fixFor("unauthorized_client", "staging"), `${asked} --environment staging`);
  assert.ok(fixFor("invalid_target", "production").endsWith(asked));
});
