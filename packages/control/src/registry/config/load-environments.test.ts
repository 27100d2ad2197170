// What one environment, one end date and one broken rule may and may not touch.
import assert from "node:assert/strict";
import { test } from "node:test";
import { formatFinding } from "./finding.ts";
import { billingWith, integrationFile as integration, load, soundEstate } from "./sound-estate.ts";

const sound = soundEstate();

test("an override that is broken in staging leaves production served", () => {
  const { estate, findings } = load({
    ...sound,
    "sallyport.yaml": "environments: [production, staging]\n",
    ...billingWith("environments:\n  production:\n  staging: { url: ftp://billing }\n"),
  });
  assert.deepEqual(findings.map(formatFinding), [
    "systems/billing.yaml:8:19 error $.environments.staging.url: neither http nor https. Fix: use `https://` or `http://`",
  ]);
  const [production, staging] = estate.environments;
  assert.deepEqual(production?.broken, []);
  assert.equal(production?.systems.length, 2);
  assert.deepEqual(
    staging?.broken.map(({ object }) => object),
    ["system/billing"],
  );
});

test("a value overridden in one environment is nowhere in another one", () => {
  const { estate, findings } = load({
    ...sound,
    "sallyport.yaml": "environments: [production, staging]\n",
    ...billingWith(
      "environments:\n  production:\n  staging:\n    url: https://billing.stg.internal\n    operations:\n      invoice.read: { timeout: 2s }\n",
    ),
  });
  assert.deepEqual(findings, []);
  const [production, staging] = estate.environments;
  assert.equal(JSON.stringify(production).includes("stg"), false);
  const read = staging?.systems[0]?.operations.find(({ name }) => name === "invoice.read");
  assert.deepEqual([read?.path, read?.timeoutMs], ["/v1/invoices/{id}", 2_000]);
});

test("a mistake in the rules of an environment stops all of it: an approval rule may be what was lost", () => {
  const { estate, findings } = load({
    ...sound,
    "sallyport.yaml": "environments:\n  production: { aproval: operator }\n",
  });
  assert.deepEqual(findings.map(formatFinding), [
    "sallyport.yaml:2:17 error $.environments.production.aproval: unknown key `aproval`. Fix: did you mean `approval`?",
  ]);
  assert.deepEqual(estate.environments[0]?.systems, []);
  assert.equal(estate.environments[0]?.approval, "operator");
});

test("a sallyport.yaml that is not YAML serves nothing and does not throw", () => {
  const { estate, findings } = load({ ...sound, "sallyport.yaml": "environments: [production\n" });
  assert.equal(findings[0]?.file, "sallyport.yaml");
  assert.deepEqual(
    estate.environments.map(({ name, systems }) => [name, systems.length]),
    [["production", 0]],
  );
});

test("an expired integration is reported and keeps its end for the compiler", () => {
  const files = {
    "systems/orders.yaml": "system: orders\nidentity: { client: orders }\n",
    ...integration("expires: 2026-01-31\noperations: [invoice.read]\n"),
  };
  const { estate, findings } = load({ ...sound, ...files });
  assert.deepEqual(findings.filter(({ file }) => file !== "systems/orders.yaml").map(formatFinding), [
    "integrations/second.yaml:5:10 warning $.expires: the integration has expired and is not served. Fix: remove the file, or write a later day",
  ]);
  assert.equal(estate.environments[0]?.integrations[0]?.expiresAtMs, Date.parse("2026-02-01T00:00:00Z"));
});

test("a client without a key is served as declared, and a warning says that it gets no token and what to do", () => {
  const client = (identity: string) => ({
    ...sound,
    "systems/orders.yaml": `system: orders\nidentity: ${identity}\n`,
    ...integration("operations: [invoice.read]\n"),
  });
  const { estate, findings } = load(client("{ client: orders }"));
  assert.deepEqual(findings.map(formatFinding), [
    "systems/orders.yaml:2:21 warning $.identity.client: the client has no key, so it gets no token. Fix: run `sallyport client-key new` and add `keys: [orders.jwks.json]`; `sallyport dev` makes keys itself",
  ]);
  assert.deepEqual(estate.environments[0]?.systems.find(({ id }) => id === "orders")?.clients, [
    { id: "orders", keys: [] },
  ]);
});
