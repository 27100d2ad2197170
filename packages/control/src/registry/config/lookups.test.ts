// What `lookups` of an operation may say, and that what is named there is a read that can be asked.
import assert from "node:assert/strict";
import { test } from "node:test";
import { formatFinding } from "./finding.ts";
import { load, soundEstate } from "./sound-estate.ts";

const estate = (lookup: string, attributes = '{ tier: "lookup:customer:$.account.tier" }') => ({
  ...soundEstate(),
  "systems/crm.yaml":
    "system: crm\nurl: https://crm.example\noperations:\n  customer.read: GET /v1/customers/{id}\n  customer.create: POST /v1/customers\n  customer.export: { match: GET /v1/export, response: { contentType: text/csv } }\n",
  "systems/billing.yaml": `system: billing\nurl: https://billing.example\noperations:\n  invoice.create: POST /v1/invoices\n  invoice.read:\n    match: GET /v1/invoices/{id}\n    lookups: { customer: ${lookup} }\n    attributes: ${attributes}\n`,
});
const errorsOf = (lookup: string, attributes?: string) =>
  load(estate(lookup, attributes))
    .findings.filter(({ severity }) => severity === "error")
    .map(formatFinding)
    .join("\n");

const good = '{ operation: "crm:customer.read", with: { id: "path:id" } }';

test("a lookup reaches the estate with its place, its bounds and its defaults", () => {
  assert.equal(errorsOf(good), "");
  const operation = load(estate(good))
    .estate.environments[0]?.systems.find(({ id }) => id === "billing")
    ?.operations.find(({ name }) => name === "invoice.read");
  assert.deepEqual(operation?.lookups, {
    customer: {
      ...{ system: "crm", operation: "customer.read", with: { id: { from: "path", name: "id", type: "string" } } },
      ...{ timeoutMs: 500, keepMs: 10_000, missMs: 1_000 },
    },
  });
  assert.deepEqual(operation?.attributes, {
    tier: { from: "lookup", name: "customer:$.account.tier", type: "string" },
  });
});

test("what cannot be looked up is an error with its place and the fix", () => {
  for (const [lookup, message] of [
    [
      '{ operation: "crn:customer.read", with: { id: "path:id" } }',
      "there is no system `crn` here. Fix: did you mean `crm`?",
    ],
    ['{ operation: "crm:customer.reed", with: { id: "path:id" } }', "`crm` has no operation `customer.reed`"],
    ['{ operation: "crm:customer.create" }', "what is looked up is a read, with GET"],
    ['{ operation: "crm:customer.export" }', "its answers are text/csv, and no JSON"],
    ['{ operation: "crm:customer.read" }', "`with` gives nothing"],
    ['{ operation: "crm:customer.read", with: { id: "path:id", more: "query:more" } }', "`with` gives id, more"],
    ['{ operation: "crm:customer.read", with: { id: "path:other" } }', "no such parameter in the path"],
    ['{ operation: "crm:customer.read", with: { id: "body:$.id" } }', "takes no JSON"],
    ['{ operation: "crm:customer.read", with: { id: "response:$.id" } }', "looked up before there is one"],
    [
      '{ operation: "crm:customer.read", with: { id: "lookup:customer:$.id" } }',
      "nothing of this name is looked up here",
    ],
    ['{ operation: "crm:customer.read", with: { id: "path:id" }, keep: 1h }', "out of range"],
  ] as const)
    assert.ok(errorsOf(lookup).includes(message), `${lookup}: ${errorsOf(lookup)}`);
  assert.match(errorsOf(good, '{ tier: "lookup:other:$.tier" }'), /nothing of this name is looked up here/);
  assert.match(errorsOf(good, "{}"), /no attribute comes from this lookup/);
});
