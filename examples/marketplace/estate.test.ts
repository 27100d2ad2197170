import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { createSliceCompiler } from "@sallyport/kernel/policy/compile-slice.ts";
import { createPolicyEngine } from "@sallyport/kernel/policy/policy-engine.ts";
import { loadEstate } from "../../packages/control/src/registry/config/load.ts";
import { checkPolicies, compilePolicies } from "../../packages/control/src/snapshot/compile-policies.ts";
import { type EstateValues, writeEstate } from "./estate.ts";

const here = join(dirname(fileURLToPath(import.meta.url)), "estate");
const io = { now: () => Date.parse("2026-11-22T00:00:00Z") };

const jwks = (environment: string, client: string) =>
  JSON.parse(readFileSync(join(here, "keys", environment, `${client}.jwks.json`), "utf8"));
const clients = (environment: string) => ({
  portal: jwks(environment, "portal"),
  orders: jwks(environment, "orders"),
  billing: jwks(environment, "billing"),
});
const upstreams = (port: number) => ({
  orders: `http://127.0.0.1:${port}`,
  billing: `http://127.0.0.1:${port + 1}`,
  payments: `https://127.0.0.1:${port + 2}`,
});
const values: EstateValues = {
  listeners: { production: { url: "https://127.0.0.1:9443" } },
  upstreams: { production: upstreams(9000), staging: upstreams(9100) },
  jwks: { production: clients("production"), staging: clients("staging") },
  roots: {
    production: readFileSync(join(here, "trust/production/marketplace-ca.pem"), "utf8"),
    staging: readFileSync(join(here, "trust/staging/marketplace-ca.pem"), "utf8"),
  },
  operators: { ada: jwks("production", "portal") },
};

test("the documented estate loads without a finding", () => {
  const { estate, findings } = loadEstate(here, io);
  assert.deepEqual(findings, []);
  assert.deepEqual(checkPolicies(estate, createSliceCompiler()), []);
  for (const environment of estate.environments) {
    assert.deepEqual(environment.broken, []);
    // Customers, and so what is done for them, are in production alone.
    const isProduction = environment.name === "production";
    const forCustomers = isProduction ? ["portal-to-billing"] : [];
    const forCarriers = isProduction ? ["courier-to-orders"] : [];
    assert.deepEqual(
      environment.integrations.map(({ id }) => id),
      [
        ...["analytics-to-billing", "billing-to-payments", ...forCarriers],
        ...["orders-to-billing", ...forCustomers, "portal-to-orders"],
      ],
    );
  }
});

test("the estate of a run has its ports, keys and roots, and keeps the comments", () => {
  const dir = mkdtempSync(join(tmpdir(), "sallyport-estate-"));
  try {
    writeEstate(dir, values);
    const { estate, findings } = loadEstate(dir, io);
    assert.deepEqual(findings, []);
    const production = estate.environments.find(({ name }) => name === "production");
    const payments = production?.systems.find(({ id }) => id === "payments");
    assert.deepEqual(payments?.upstream, {
      url: "https://127.0.0.1:9002",
      allowPrivate: true,
      trust: "marketplace-ca",
    });
    assert.equal(production?.listeners.find(({ name }) => name === "production")?.url, "https://127.0.0.1:9443");
    assert.deepEqual(
      estate.operators.map(({ id }) => id),
      ["ada"],
    );
    assert.match(readFileSync(join(dir, "systems/billing.yaml"), "utf8"), /# Invoices\. It has two consumers/);
  } finally {
    rmSync(dir, { recursive: true });
  }
});

const questions = [
  ["billing:report.read", "analytics", "analytics-to-billing", { region: "eu" }, "allow"],
  ["billing:report.read", "analytics", "analytics-to-billing", { region: "us" }, "deny"],
  ["billing:invoice.read", "orders", "orders-to-billing", { owner: "shop-north" }, "allow"],
  ["billing:invoice.read", "orders", "orders-to-billing", { owner: "shop-south" }, "deny"],
  ["billing:discount.read", "orders", "orders-to-billing", { percent: 20 }, "allow"],
  ["billing:discount.read", "orders", "orders-to-billing", { percent: 40 }, "deny"],
  ["billing:discount.read", "orders", "orders-to-billing", { percent: 9_007_199_254_740_991 }, "error"],
] as const;

for (const [action, caller, integration, attributes, kind] of questions) {
  test(`policies answer ${kind} to ${caller} on ${action} with ${JSON.stringify(attributes)}`, () => {
    const { estate } = loadEstate(here, io);
    const production = estate.environments[0];
    assert.ok(production);
    const slice = compilePolicies(production, createSliceCompiler()).slices.get(action);
    assert.ok(slice);
    const system = production.systems.find(({ id }) => id === caller);
    const context = {
      integration,
      environment: "production",
      zone: "internal",
      proof: "dpop",
      scopes: [],
      stalenessMs: 0,
    };
    const decision = createPolicyEngine({ memoEntriesMax: 16 })
      .load(slice)
      .decide({
        principal: { id: caller, attributes: system?.attributes ?? {} },
        resource: { system: "billing", attributes },
        context,
      });
    assert.equal(decision.kind, kind);
  });
}
