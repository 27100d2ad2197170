// What `limits` of an integration may say, and what is said of what it may not: docs/limits.md.
import assert from "node:assert/strict";
import { test } from "node:test";
import { lintFiles } from "../lint/lint.test-support.ts";
import { formatFinding } from "./finding.ts";
import { load, soundEstate } from "./sound-estate.ts";

const written = (limits: string): string =>
  `integration: orders-to-billing\nfrom: orders\nto: billing\npurpose: Charge a customer when an order ships\nlimits:\n${limits}operations: [invoice.create, invoice.read]\n`;

function estate(limits: string): Readonly<Record<string, string>> {
  const files = soundEstate();
  return {
    ...files,
    "systems/orders.yaml": "system: orders\nidentity: { client: orders, keys: [orders.jwks.json] }\n",
    "integrations/orders-to-billing.yaml": written(limits),
  };
}

const said = (limits: string): readonly string[] => load(estate(limits)).findings.map(formatFinding);

test("rates and concurrency reach the estate, each with whom and what it counts", () => {
  const { estate: loaded, findings } = load(
    estate(
      "  - { per: integration, concurrency: 2, operations: [invoice.create] }\n  - { per: client, rate: 200/s, burst: 400 }\n  - { per: subject, rate: 5/m, operations: [invoice.read, invoice.create] }\n",
    ),
  );
  assert.deepEqual(findings.filter(({ severity }) => severity === "error").map(formatFinding), []);
  const [found] = loaded.environments[0]?.integrations ?? [];
  assert.deepEqual(found?.limits, [
    { per: "client", rate: 200, periodMs: 1_000, burst: 400 },
    { per: "subject", rate: 5, periodMs: 60_000, burst: 5, operations: ["invoice.create", "invoice.read"] },
  ]);
  assert.deepEqual(found.concurrency, [{ per: "integration", max: 2, operations: ["invoice.create"] }]);
});

test("quotas reach the estate with the zone whose calendar they go by, and the rest of the list keeps its places", () => {
  const { estate: loaded, findings } = load(
    estate(
      "  - { per: client, quota: 10000/day }\n  - { per: client, rate: 200/s }\n  - { per: integration, quota: 5/month, timeZone: europe/berlin, operations: [invoice.create] }\n",
    ),
  );
  assert.deepEqual(findings.filter(({ severity }) => severity === "error").map(formatFinding), []);
  const [found] = loaded.environments[0]?.integrations ?? [];
  assert.deepEqual(found?.quotas, [
    { per: "client", max: 10_000, period: "day", timeZone: "UTC" },
    { per: "integration", max: 5, period: "month", timeZone: "Europe/Berlin", operations: ["invoice.create"] },
  ]);
  assert.deepEqual(found.ratesAt, [1]);
});

test("limits across gateways say what holds while nobody can count together; `local` where they say nothing", () => {
  const { estate: loaded, findings } = load(
    estate(
      "  - { per: client, rate: 200/s, across: gateways }\n  - { per: client, concurrency: 5, across: gateways, onLoss: deny }\n",
    ),
  );
  assert.deepEqual(findings.filter(({ severity }) => severity === "error").map(formatFinding), []);
  const [found] = loaded.environments[0]?.integrations ?? [];
  assert.deepEqual(found?.limits[0]?.across, { onLoss: "local" });
  assert.deepEqual(found?.concurrency?.[0]?.across, { onLoss: "deny" });
});

test("an entry that limits nothing, two things, or what is not granted is an error with its place and the fix", () => {
  for (const [limit, message] of [
    [
      "{ per: client }",
      ":6:5 error $.limits[0]: the limit limits nothing. Fix: write `rate: 200/s`, `concurrency: 20` or `quota: 10000/day`",
    ],
    ["{ per: client, rate: 5/s, quota: 5/day }", "one limit counts one thing. Fix: make it an entry of its own"],
    ["{ per: client, rate: 5/s, timeZone: UTC }", "`timeZone` belongs to `quota`. Fix: remove it"],
    ["{ per: client, quota: 5/day, burst: 4 }", "`burst` belongs to `rate`. Fix: remove it"],
    ["{ per: client, quota: 5/day, across: gateways }", "gateways share a quota where they share a data-plane store"],
    ["{ per: client, rate: 5/s, onLoss: deny }", "`onLoss` belongs to `across: gateways`. Fix: remove it"],
    ["{ per: client, rate: 5/s, across: regions }", "across"],
    ["{ per: client, quota: 5/week }", "write a whole number, `/` and `day` or `month`"],
    ["{ per: client, quota: 0/day }", "not a quota"],
    ["{ per: client, quota: 5/day, timeZone: Europe/Atlantis }", "not a time zone"],
    ['{ per: client, quota: 5/day, timeZone: "+01:00" }', "not a time zone"],
    ["{ per: client, rate: 5/s, concurrency: 2 }", "one limit counts one thing. Fix: make it an entry of its own"],
    ["{ per: client, concurrency: 2, burst: 4 }", "`burst` belongs to `rate`. Fix: remove it"],
    ["{ per: client, rate: 5/s, operations: [invoice.raed] }", "not granted here. Fix: did you mean invoice.read?"],
    [
      "{ per: client, rate: 5/s, operations: [invoice.read, invoice.read] }",
      "the operation is named twice. Fix: keep one",
    ],
    ["{ per: user, rate: 5/s }", "per"],
    ["{ per: client, concurrency: 0 }", "concurrency"],
  ] as const) {
    const errors = said(`  - ${limit}\n`).filter((one) => one.includes(" error "));
    assert.equal(errors.length, 1, `${limit}: ${errors.join("\n")}`);
    assert.ok(errors[0]?.includes(message), `${limit}: ${errors[0]}`);
  }
});

test("lint names the operations that no rate counts, and the entry whose rate stops nothing", () => {
  const found = (rule: string, limits: string) =>
    lintFiles(estate(limits))
      .filter((one) => one.rule === rule)
      .map(({ line, message }) => `${line} ${message}`);
  const partly = "  - { per: client, rate: 5/s, operations: [invoice.read] }\n";
  assert.deepEqual(found("rate-unlimited", partly), ["6 nothing limits how often invoice.create is called"]);
  assert.deepEqual(found("rate-unlimited", `${partly}  - { per: client, rate: 9/s }\n`), []);
  assert.deepEqual(found("rate-unlimited", "  - { per: client, concurrency: 5 }\n"), [
    "6 nothing limits how often it is called",
  ]);
  const second = "  - { per: client, concurrency: 5 }\n  - { per: client, rate: 50000/s }\n";
  assert.deepEqual(found("rate-too-high", second), ["7 50000 a second stops nothing"]);
});

test("a priority of the integration is that of each operation that says nothing itself, and `normal` is nothing said", () => {
  const text = written("  - { per: client, rate: 5/s }\n").replace(
    "operations: [invoice.create, invoice.read]",
    "priority: high\noperations:\n  invoice.create: {}\n  invoice.read: { priority: normal }",
  );
  const { estate: loaded, findings } = load({ ...estate(""), "integrations/orders-to-billing.yaml": text });
  assert.deepEqual(findings.filter(({ severity }) => severity === "error").map(formatFinding), []);
  assert.deepEqual(loaded.environments[0]?.integrations[0]?.operations, [
    { name: "invoice.create", priority: "high" },
    { name: "invoice.read" },
  ]);
});
