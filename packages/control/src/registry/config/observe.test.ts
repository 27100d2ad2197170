// The words that leave enforcement out: never without an end, never further than 180 days, and said at every load.
import assert from "node:assert/strict";
import { test } from "node:test";
import { createSliceCompiler } from "@sallyport/kernel/policy/compile-slice.ts";
import { compileSnapshot } from "../../snapshot/compile-snapshot.ts";
import { environmentsOfRows, rowsOfEstate } from "../estate-rows.ts";
import { diffEstates } from "./diff.ts";
import { formatFinding } from "./finding.ts";
import { billingWith, integrationFile, load, soundEstate } from "./sound-estate.ts";

const sound = soundEstate();
const said = (files: Readonly<Record<string, string>>) => {
  const { estate, findings } = load({ ...sound, ...files });
  const [production] = estate.environments;
  assert.ok(production !== undefined);
  return {
    estate,
    production,
    findings: findings.map(formatFinding),
    broken: production.broken.map(({ object }) => object),
  };
};
const observed = "mode: observe\nuntil: 2027-01-31\nreason: forty live flows\n";
const untilMs = Date.parse("2027-02-01T00:00:00Z");
const environment = (rules: string) => ({
  "sallyport.yaml": `environments:\n  production:\n    ${rules.trim().replaceAll("\n", "\n    ")}\n`,
});

test("a system, an integration and an environment may observe, each with its end and its reason, and each is said in a warning", () => {
  const mode = { mode: "observe", untilMs, reason: "forty live flows" };
  const system = said(billingWith(observed));
  assert.deepEqual(system.production.systems.find(({ id }) => id === "billing")?.mode, mode);
  assert.deepEqual(system.findings, [
    "systems/billing.yaml:6:7 warning $.mode: nothing is enforced here until 2027-01-31: what would be denied is recorded and passes. Fix: see `sallyport observe` for what enforcement would deny, then remove `mode`",
  ]);
  assert.deepEqual(system.broken, []);
  const files = {
    ...integrationFile(`operations: [invoice.read]\n${observed}`, "second"),
    "systems/orders.yaml": "system: orders\nidentity: { client: orders, keys: [orders.jwks.json] }\n",
  };
  const integration = said(files);
  assert.deepEqual(integration.production.integrations[0]?.mode, mode);
  assert.deepEqual(integration.broken, []);
  const whole = said(environment(observed));
  assert.deepEqual(whole.production.mode, mode);
  assert.deepEqual([whole.broken, whole.findings.length], [[], 1]);
});

test("observe without an end or a reason, or an end without observe, breaks the object: it is not served", () => {
  for (const rest of ["", "until: 2027-01-31\n", "reason: because\n"]) {
    const { findings, broken } = said(billingWith(`mode: observe\n${rest}`));
    assert.match(
      findings[0] ?? "",
      /^systems\/billing\.yaml:6:7 error \$\.mode: `mode: observe` needs `until` and `reason`/,
    );
    assert.ok(broken.includes("system/billing"));
  }
  for (const stray of ["until: 2027-01-31\n", "mode: enforce\nreason: because\n"]) {
    const { findings, broken } = said(billingWith(stray));
    assert.match(findings[0] ?? "", /belongs to `mode: observe`/);
    assert.ok(broken.includes("system/billing"));
  }
  assert.ok(said(environment("mode: observe\n")).broken.includes("environment/production"));
  assert.match(said(billingWith("mode: ignore\n")).findings[0] ?? "", /not one of `enforce`, `observe`/);
});

test("observe and passthrough last at most 180 days, and the bound is said with the last day that is allowed", () => {
  const last = "2027-05-21";
  const passthrough = (day: string) => billingWith(`passthrough: { until: ${day}, reason: a monolith }\n`);
  assert.deepEqual(said(billingWith(observed.replace("2027-01-31", last))).broken, []);
  assert.deepEqual(said(passthrough(last)).broken, []);
  for (const files of [
    billingWith(observed.replace("2027-01-31", "2027-05-22")),
    passthrough("2027-05-22"),
    passthrough("9999-12-31"),
  ]) {
    const { findings, broken } = said(files);
    assert.match(
      findings.find((text) => text.includes(" error ")) ?? "",
      /lasts at most 180 days\. Fix: write at most 2027-05-21;/,
    );
    assert.ok(broken.includes("system/billing"));
  }
});

test("an end that has passed is said, and what it ended is served and enforced", () => {
  const { production, findings, broken } = said(billingWith(observed.replace("2027-01-31", "2026-11-21")));
  assert.deepEqual(findings, [
    "systems/billing.yaml:7:8 warning $.until: `mode: observe` has ended: denials are denials again. Fix: remove `mode`, `until` and `reason`, or write a later day",
  ]);
  assert.deepEqual(broken, []);
  assert.equal(production.systems[0]?.mode?.mode, "observe", "the gateway's clock decides, not control's");
  const passed = said(billingWith("passthrough: { until: 2026-11-21, reason: x }\n"));
  assert.match(passed.findings[0] ?? "", /`passthrough` has ended/);
});

test("one environment may enforce what the file observes in the others", () => {
  const files = {
    "sallyport.yaml": "environments: [production, staging]\n",
    ...billingWith(`${observed}environments:\n  production: { mode: enforce }\n  staging:\n`),
  };
  const { estate, broken } = said(files);
  const modes = estate.environments.map(({ name, systems }) => [
    name,
    systems.find(({ id }) => id === "billing")?.mode?.mode,
  ]);
  assert.deepEqual(modes, [
    ["production", "enforce"],
    ["staging", "observe"],
  ]);
  assert.deepEqual(broken, []);
});

test("passthrough needs a place to pass to, and a system with nothing else is served", () => {
  const passthrough = "passthrough: { until: 2027-01-31, reason: a monolith }\n";
  assert.match(
    said({ "systems/old.yaml": `system: old\n${passthrough}` }).findings[0] ?? "",
    /`passthrough`, but no `url` to pass to/,
  );
  const { production, broken } = said({ "systems/old.yaml": `system: old\nurl: http://old.internal\n${passthrough}` });
  assert.deepEqual(broken, []);
  assert.deepEqual(production.systems.find(({ id }) => id === "old")?.passthrough, { untilMs, reason: "a monolith" });
  assert.match(
    said({ "systems/old.yaml": "system: old\nurl: http://old.internal\npassthrough: { until: 2027-01-31 }\n" })
      .findings[0] ?? "",
    /`reason` is missing/,
  );
});

test("side door attack: passthrough to a url where another system declares its operations is refused, also below or above its path", () => {
  for (const url of [
    "http://billing.internal:8080",
    "http://billing.internal:8080/v1",
    "http://BILLING.internal:8080",
  ]) {
    const { findings, broken } = said({
      "systems/old.yaml": `system: old\nurl: ${url}\npassthrough: { until: 2027-01-31, reason: a monolith }\n`,
    });
    assert.match(
      findings.find((text) => text.includes(" error ")) ?? "",
      /systems\/old\.yaml:3:1 error \$\.passthrough: the url also serves `billing`/,
    );
    assert.deepEqual(broken, ["system/old"]);
  }
  const beside = said({
    "systems/old.yaml":
      "system: old\nurl: http://billing.internal:80801\npassthrough: { until: 2027-01-31, reason: x }\n".replace(
        "80801",
        "8081",
      ),
  });
  assert.deepEqual(beside.broken, []);
});

test("the snapshot carries them, and needs a gateway that knows them; without them it needs nothing new", () => {
  const files = { ...billingWith(`${observed}passthrough: { until: 2027-01-31, reason: a monolith }\n`) };
  const compiled = (given: Readonly<Record<string, string>>) => {
    const snapshot = compileSnapshot(
      {
        environment: said(given).production,
        states: new Map(),
        tenant: "main",
        region: "default",
        group: "production",
        issuer: "https://id.example/main/production",
        epoch: 0,
        version: 1,
        now: Date.parse("2026-11-22T00:00:00Z"),
        lifetimeMs: 86_400_000,
        minKeySeq: 0,
        minRevocationSeq: 0,
      },
      createSliceCompiler(),
    );
    const blob = (name: string) =>
      JSON.parse(Buffer.from(snapshot.blobs.get(snapshot.manifest.objects[name] ?? "") ?? "").toString("utf8"));
    return { estate: blob("estate"), billing: blob("system/billing") };
  };
  const { estate, billing } = compiled(files);
  assert.deepEqual(estate.needs, ["observe", "passthrough"]);
  assert.deepEqual(billing.mode, { mode: "observe", untilMs, reason: "forty live flows" });
  assert.deepEqual(billing.passthrough, { untilMs, reason: "a monolith" });
  assert.equal("needs" in compiled({}).estate, false);
});

test("the store keeps them, a plan names them, and of two estates in one environment the stricter holds", () => {
  const { estate, production } = said({
    ...environment(observed),
    ...billingWith("passthrough: { until: 2027-01-31, reason: x }\n"),
  });
  assert.deepEqual(environmentsOfRows(rowsOfEstate(estate)), [production]);
  const changes = diffEstates(said({}).estate, estate).objects;
  assert.deepEqual(
    changes.map(({ object, members }) => [object, members]),
    [
      ["rules", ["mode"]],
      ["system/billing", ["passthrough"]],
    ],
  );
  const other = { ...said({}).estate, name: "second" };
  const [both] = environmentsOfRows(
    [...rowsOfEstate(estate), ...rowsOfEstate(other)].filter(({ kind }) => kind === "environment"),
  );
  assert.equal(both?.mode, undefined);
});
