// A gateway with a file of places, as an operator starts it: a policy asks for the country, and `why` tells what it read.
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { geoFileBytes } from "@sallyport/gateway/testing/geo-file-bytes.ts";
import { Installation, isReady, until } from "../installation.test-support.ts";
import { runBinary } from "../program.test-support.ts";

const policy = (country: string) =>
  `@id("home") forbid (principal, action == Action::"billing:invoice.read", resource) unless { context has country && context.country == "${country}" };\n`;

let installation: Installation;
before(async () => {
  installation = await Installation.open();
});
after(() => installation.close());

test("a policy reads the country of the file, a change of it holds at once, and why shows what was read", {
  timeout: 120_000,
}, async () => {
  const file = join(installation.root, "countries.mmdb");
  writeFileSync(file, geoFileBytes([{ network: "127.0.0.0/8", record: { country: { iso_code: "DE" } } }]));
  installation.writeEstate({ "policies/home.cedar": policy("DE") });
  const data = installation.data("all");
  const served = installation.serve("all", [
    ...installation.controlArguments(),
    ...["--data", data, "--listen", `public=127.0.0.1:${installation.ports.gateway}`, "--geo-file", file],
  ]);
  await served.line(isReady);
  installation.trustRoots(join(data, "control", "ca"));
  const { fetch } = installation.caller();
  const read = () => fetch("/billing/v1/invoices/7");
  assert.equal((await read()).status, 200);

  const operator = join(data, "control", "operator.key.json");
  installation.writeEstate({ "policies/home.cedar": policy("AT") });
  const applied = await runBinary(["--operator", operator, "apply", installation.estate]);
  assert.equal(applied.exit, 0, applied.err);
  let refused = await read();
  await until("the new policy", async () => {
    if (refused.status === 200) refused = await read();
    return refused.status !== 200;
  });
  assert.equal(refused.status, 403);
  const why = await runBinary(["--operator", operator, "why", refused.headers.get("sallyport-crossing") ?? ""]);
  assert.equal(why.exit, 1, why.err);
  assert.match(why.out, /^code +policy-denied$/m);
  assert.match(why.out, /context\.country +DE$/m);
  assert.doesNotMatch(why.out, /addressClass|riskFactors/, "what no policy reads is in no record");
});
