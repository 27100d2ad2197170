import assert from "node:assert/strict";
import { test } from "node:test";
import { memoryEstateIo } from "../registry/config/estate-io.ts";
import { referenceRows } from "../registry/config/reference.ts";
import { QuestionFault } from "./explanation.ts";
import { showObject } from "./show-object.ts";
import { originWords, shownRows } from "./shown.ts";

const files: Readonly<Record<string, string>> = {
  "sallyport.yaml": `estate: shop
environments: [production, staging]
teams:
  shop: { contact: "#shop" }
listeners:
  public: { url: https://api.acme.example }
`,
  "systems/billing.yaml": `system: billing
url: https://billing.example
operations:
  invoice.create: POST /v1/invoices
  invoice.read: { match: "GET /v1/invoices/{id}", data: [pii] }
environments:
  production:
  staging: { url: https://billing.stg.example }
`,
  "systems/orders.yaml": `system: orders
owner: team:shop
environments: [production, staging]
uses:
  - to: billing
    purpose: Charge a customer when an order ships
    operations: [invoice.read]
`,
  "integrations/orders-to-ledger.yaml": `integration: orders-to-ledger
from: orders
to: ledger
purpose: Book what was charged
limits: [{ per: client, concurrency: 3 }, { per: client, rate: 5/s }]
operations:
  entry.create: {}
`,
  "systems/ledger.yaml": "system: ledger\nurl: https://ledger.example\noperations:\n  entry.create: POST /v1/entries\n",
};

function rows(
  name: string,
  environment = "production",
  over: Readonly<Record<string, string>> = {},
): Readonly<Record<string, readonly unknown[]>> {
  const { shown } = showObject(
    memoryEstateIo({ ...files, ...over }, () => Date.UTC(2026, 10, 22)),
    name,
    environment,
  );
  return Object.fromEntries(shownRows(shown).map(({ key, value, from }) => [key, [value, originWords(from)]]));
}

test("what is written shows its file and line, what is not its default or the rule that derives it", () => {
  const system = rows("billing");
  assert.deepEqual(system["url"], ["https://billing.example", "systems/billing.yaml:2"]);
  assert.deepEqual(system["owner"], ["team:default", "default"]);
  assert.deepEqual(system["zone"], ["internal", "default"]);
  assert.deepEqual(system["public.path"], ["/billing", "from the id"]);
  assert.deepEqual(system["operations['invoice.create'].match"], ["POST /v1/invoices", "systems/billing.yaml:4"]);
  assert.deepEqual(system["operations['invoice.read'].classification"], ["confidential", "from its data classes"]);
  const integration = rows("orders-to-billing");
  assert.deepEqual(integration["owner"], ["team:shop", "owner of orders"]);
  assert.deepEqual(integration["operations[0]"], ["invoice.read", "systems/orders.yaml:7"]);
  assert.deepEqual(integration["limits[0].rate"], ["100/s", "default"]);
});

test("an override shows its line and the environment it is for, and only there", () => {
  assert.deepEqual(rows("billing", "staging")["url"], [
    "https://billing.stg.example",
    "systems/billing.yaml:8 for staging",
  ]);
  assert.deepEqual(rows("billing")["url"]?.[1], "systems/billing.yaml:2");
});

test("a grown integration shows what it inherits from the provider, and the burst its rate gives", () => {
  const grown = rows("orders-to-ledger");
  assert.deepEqual(grown["operations['entry.create'].timeout"], ["10s", "from systems/ledger.yaml"]);
  assert.deepEqual(grown["limits[1].burst"], [5, "the rate"]);
  assert.deepEqual(grown["limits[0].concurrency"]?.[0], 3);
  assert.equal(grown["limits[0].burst"], undefined);
});

test("operations, teams, listeners and environments have names of their own", () => {
  assert.deepEqual(rows("billing:invoice.read")["scope"]?.[0], "billing:invoice.read");
  assert.deepEqual(rows("team:shop")["contact"], ["#shop", "sallyport.yaml:4"]);
  assert.deepEqual(rows("listener:public")["url"], ["https://api.acme.example", "sallyport.yaml:6"]);
  assert.deepEqual(rows("environment:staging")["staleness.restricted"], ["3s", "default"]);
  assert.deepEqual(rows("team:default"), {});
});

test("an issuer shows what is believed of it, with its defaults", () => {
  const sso =
    "issuer: sso\nurl: https://sso.example\npreset: keycloak\njwksUri: https://sso.example/certs\ngateways:\n  - system: orders\n    party: orders-web\n    speaksFor: user\n";
  const shown = rows("issuer:sso", "production", { "issuers/sso.yaml": sso });
  assert.deepEqual(shown["lifetime"], ["1h", "default"]);
  assert.deepEqual(shown["gateways[0].party"], ["orders-web", "issuers/sso.yaml:7"]);
  assert.throws(() => rows("issuer:ssso", "production", { "issuers/sso.yaml": sso }), {
    fix: "did you mean `issuer:sso`?",
  });
});

test("every key that has a default shows, also one that is added tomorrow: the walk is over the types", () => {
  const shown = { "systems/<id>.yaml": rows("ledger"), "integrations/<id>.yaml": rows("orders-to-billing") };
  for (const [file, values] of Object.entries(shown)) {
    const defaults = referenceRows().filter(
      (row) => row.file === file && /^[^.[]+$/.test(row.key) && /^["\d tf]/.test(row.fallback),
    );
    assert.ok(defaults.length > 1, file);
    for (const { key, fallback } of defaults)
      if (fallback !== "required") assert.ok(Object.hasOwn(values, key), `${file} ${key}`);
  }
});

test("a broken object is shown as it is written, with why it is not served", () => {
  const io = memoryEstateIo({ ...files, "systems/ledger.yaml": "system: ledger\nurl: nonsense\n" }, () => 0);
  const { broken, shown } = showObject(io, "ledger", "production");
  assert.match(broken ?? "", /^systems\/ledger.yaml:2: not a URL/);
  assert.equal(shownRows(shown).find(({ key }) => key === "url")?.value, "nonsense");
});

test("a name that is nobody's is answered with the nearest", () => {
  const wrong: readonly (readonly [string, RegExp])[] = [
    ["biling", /`billing`/],
    ["billing:invoice.raed", /`billing:invoice.read`/],
    ["orders-to-biling", /`orders-to-billing`/],
    ["team:shp", /`team:shop`/],
    ["__proto__", /use one of/],
    ["../systems/billing", /use one of|did you mean/],
  ];
  for (const [name, fix] of wrong)
    assert.throws(
      () => rows(name),
      (error) => error instanceof QuestionFault && fix.test(error.fix),
      name,
    );
});
