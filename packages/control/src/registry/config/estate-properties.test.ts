// What must hold for every estate, not only for the ones we thought of.
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { stringify } from "yaml";
import { diffEstates } from "./diff.ts";
import type { Estate } from "./estate.ts";
import { memoryEstateIo } from "./estate-io.ts";
import { loadEstateFrom } from "./load.ts";

const load = (files: Readonly<Record<string, string>>) => loadEstateFrom(memoryEstateIo(files, () => 0));

const billing = {
  system: "billing",
  url: "https://billing.internal",
  public: { path: "/money", strip: false },
  operations: {
    "invoice.create": {
      match: "POST /v1/invoices",
      body: { schema: { type: "object", required: ["cents"], properties: { cents: { type: "integer" } } } },
    },
    "invoice.read": {
      match: "GET /v1/invoices/{id}",
      attributes: { owner: "path:id" },
      outcome: { "business-error": [404, 409] },
    },
  },
  environments: { production: {}, staging: { url: "https://billing.stg" } },
};
const orders = {
  system: "orders",
  attributes: { region: "eu", tier: 2, trusted: true },
  environments: ["production", "staging"],
  uses: [{ to: "billing", purpose: "Charge", operations: ["invoice.create", "invoice.read"] }],
};

function shuffled(value: unknown, random: () => number): unknown {
  if (Array.isArray(value)) return value.map((item) => shuffled(item, random));
  if (typeof value !== "object" || value === null) return value;
  const entries = Object.entries(value).map(([key, member]) => ({
    key,
    member: shuffled(member, random),
    rank: random(),
  }));
  return Object.fromEntries(entries.sort((a, b) => a.rank - b.rank).map(({ key, member }) => [key, member]));
}

/** Places differ with the format; everything else must not. */
function withoutPlaces(estate: Estate): string {
  return JSON.stringify(estate, (key, value) => (key === "declaredAt" ? undefined : value));
}

const rules = { "sallyport.yaml": "environments: [staging, production]\n" };
const plain = load({ ...rules, "systems/billing.yaml": stringify(billing), "systems/orders.yaml": stringify(orders) });

test("the order of keys and the format of the file change nothing but places", () => {
  assert.deepEqual(
    plain.findings.filter(({ severity }) => severity === "error"),
    [],
  );
  fc.assert(
    fc.property(
      fc.infiniteStream(fc.double({ min: 0, max: 1, noNaN: true })),
      fc.boolean(),
      fc.constantFrom(2, 4),
      (stream, isFlow, indent) => {
        const random = () => stream.next().value;
        const write = (value: unknown) =>
          isFlow
            ? `${JSON.stringify(shuffled(value, random), null, indent)}\n`
            : stringify(shuffled(value, random), { indent });
        const loaded = load({ ...rules, "systems/orders.yaml": write(orders), "systems/billing.yaml": write(billing) });
        assert.equal(withoutPlaces(loaded.estate), withoutPlaces(plain.estate));
        assert.deepEqual(diffEstates(plain.estate, loaded.estate), { objects: [], access: [] });
      },
    ),
    { seed: 20261122, numRuns: 60 },
  );
});

test("a second plan is empty: what was applied and is wanted again changes nothing", () => {
  fc.assert(
    fc.property(
      fc.subarray(["invoice.create", "invoice.read"], { minLength: 1 }),
      fc.subarray(["production", "staging"], { minLength: 1 }),
      (operations, environments) => {
        const changed = { ...orders, environments, uses: [{ ...orders.uses[0], operations }] };
        const files = {
          ...rules,
          "systems/billing.yaml": stringify(billing),
          "systems/orders.yaml": stringify(changed),
        };
        const wanted = load(files).estate;
        // As the store gives it back.
        const applied: Estate = JSON.parse(JSON.stringify(wanted));
        assert.deepEqual(diffEstates(applied, load(files).estate), { objects: [], access: [] });
      },
    ),
    { seed: 20261122, numRuns: 30 },
  );
});

test("lines that moved are no change, and an attribute may be called like the place of one", () => {
  const written = (above: string, attributes: object) =>
    load({
      ...rules,
      "systems/billing.yaml": `${above}${stringify(billing)}`,
      "systems/orders.yaml": stringify({ ...orders, attributes }),
    }).estate;
  const before = written("", { declaredAt: "here" });
  assert.deepEqual(diffEstates(before, written("# a word\n\n", { declaredAt: "here" })), { objects: [], access: [] });
  const { objects } = diffEstates(before, written("", { declaredAt: "there" }));
  assert.deepEqual(
    objects.map(({ object, members }) => [object, members]),
    [
      ["system/orders", ["attributes"]],
      ["system/orders", ["attributes"]],
    ],
  );
});

test("a plan says who loses which operation, and where", () => {
  const less = { ...orders, uses: [{ ...orders.uses[0], operations: ["invoice.read"] }] };
  const wanted = load({
    ...rules,
    "systems/billing.yaml": stringify(billing),
    "systems/orders.yaml": stringify(less),
  }).estate;
  const { access, objects } = diffEstates(plain.estate, wanted);
  const change = {
    caller: "orders",
    operation: "billing:invoice.create",
    integration: "orders-to-billing",
    change: "loses",
  };
  assert.deepEqual(access, [
    { environment: "production", ...change },
    { environment: "staging", ...change },
  ]);
  assert.deepEqual(
    objects.map(({ environment, object, change: kind, members }) => [environment, object, kind, ...members]),
    [
      ["production", "integration/orders-to-billing", "changed", "operations"],
      ["staging", "integration/orders-to-billing", "changed", "operations"],
    ],
  );
});

test("from nothing, everything is created and everyone gains", () => {
  const { access, objects } = diffEstates(null, plain.estate);
  assert.ok(objects.every(({ change }) => change === "created"));
  assert.equal(access.filter(({ change }) => change === "gains").length, 4);
});
