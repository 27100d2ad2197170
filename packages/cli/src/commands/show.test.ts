// `show` as it is typed: every value with the file and line it was written at, or the rule that gave it; and its exit codes.
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { runBinary } from "../program.test-support.ts";

const bounded = { timeout: 120_000 };
const estate = mkdtempSync(join(tmpdir(), "sallyport-show-"));
after(() => rmSync(estate, { recursive: true, force: true }));
mkdirSync(join(estate, "systems"));
const files = {
  "systems/billing.yaml":
    "system: billing\nurl: https://billing.acme.example\noperations:\n  invoice.read: GET /v1/invoices/{id}\n",
  "systems/orders.yaml":
    "system: orders\nidentity: { client: orders }\nuses:\n  - to: billing\n    purpose: Charge a customer when an order ships\n    operations: [invoice.read]\n",
  "systems/stock.yaml": "system: stock\nurl: nonsense\noperations:\n  item.read: GET /items/{id}\n",
};
for (const [file, text] of Object.entries(files)) writeFileSync(join(estate, file), text);
const show = (...words: readonly string[]) => runBinary(["show", ...words, "--config", estate]);

test(
  "a value that is written shows its line, one that is not its default or what it follows from",
  bounded,
  async () => {
    const [system, integration, operation] = await Promise.all([
      show("billing"),
      show("orders-to-billing"),
      show("billing:invoice.read", "--json"),
    ]);
    assert.deepEqual([system.exit, integration.exit, operation.exit], [0, 0, 0]);
    assert.match(system.out, /^# system billing in production$/m);
    assert.match(system.out, /^url: https:\/\/billing\.acme\.example +# systems\/billing\.yaml:2$/m);
    assert.match(system.out, /^owner: team:default +# default$/m);
    assert.match(integration.out, /^owner: team:default +# owner of orders$/m);
    assert.match(integration.out, /^ +rate: "100\/s" +# default$/m);
    const { kind, id, environment, broken, values } = JSON.parse(operation.out);
    assert.deepEqual([kind, id, environment, broken], ["operation", "billing:invoice.read", "production", null]);
    assert.ok(values.length > 5);
    for (const { key, from } of values) assert.ok(from !== undefined, `${key} says where it is from`);
  },
);

test("what is not served is shown as it is written, with why and exit 1", bounded, async () => {
  const { exit, out, err } = await show("stock");
  assert.equal(exit, 1);
  assert.match(out, /^url: nonsense/m);
  assert.match(err, /system stock is not served[\s\S]*systems\/stock\.yaml:2: not a URL/);
});

test("a name that is nobody's, an environment that is not and no estate are exit 2 with the fix", bounded, async () => {
  const [name, environment, nowhere] = await Promise.all([
    show("biling"),
    show("billing", "--environment", "staging"),
    runBinary(["show", "billing", "--data", join(estate, "none")]),
  ]);
  assert.deepEqual([name.exit, environment.exit, nowhere.exit], [2, 2, 2]);
  assert.match(name.err, /did you mean `billing`\?/);
  assert.match(environment.err, /production/);
  assert.match(nowhere.err, /no estate is served here\n {2}fix: name its directory with --config/);
});
