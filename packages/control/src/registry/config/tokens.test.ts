// What `tokens` may and may not say, and which of several words about a life holds.
import assert from "node:assert/strict";
import { test } from "node:test";
import { directoryOf } from "../../identity/directory.ts";
import { environmentsOfRows, rowsOfEstate } from "../estate-rows.ts";
import { diffEstates } from "./diff.ts";
import { formatFinding } from "./finding.ts";
import { load, soundEstate } from "./sound-estate.ts";
import { defaultTokens } from "./tokens-schema.ts";

const estate = (tokens: string, identity = "") => ({
  ...soundEstate(),
  "sallyport.yaml": `environments:\n  production:\n    tokens: ${tokens}\n`,
  "systems/orders.yaml": `system: orders\nidentity:\n  client: orders\n  keys: [orders.jwks.json]\n${identity}uses:\n  - to: billing\n    purpose: Charge\n    operations: [invoice.read]\n`,
});

test("what is not said is the default, and says nothing in the estate: an upgrade changes no object", () => {
  for (const said of [
    "{}",
    "{ machine: 5m, user: 10m, refresh: 30d, refreshIdle: 14d, algorithm: ES256, rotateEvery: 30d }",
  ])
    assert.equal(load(estate(said)).estate.environments[0]?.tokens, undefined, said);
  const { tokens } = load(estate("{ algorithm: EdDSA, machine: 2m }")).estate.environments[0] ?? {};
  assert.deepEqual(tokens, { ...defaultTokens, algorithm: "EdDSA", machineSeconds: 120 });
});

test("a life beyond what gateways accept, an algorithm that is not served and a ring that never rotates are errors that break the environment", () => {
  for (const [said, message] of [
    ["{ machine: 6m }", "out of range. Fix: choose `30s` to `5m`"],
    ["{ user: 11m }", "out of range. Fix: choose `30s` to `10m`"],
    ["{ machine: 29s }", "out of range. Fix: choose `30s` to `5m`"],
    ["{ refresh: 91d }", "out of range. Fix: choose `5m` to `90d`"],
    ["{ refreshIdle: 0s }", "out of range. Fix: choose `5m` to `90d`"],
    ["{ rotateEvery: 91d }", "out of range. Fix: choose `1d` to `90d`"],
    ["{ rotateEvery: 23h }", "out of range. Fix: choose `1d` to `90d`"],
    ["{ algorithm: none }", "algorithm"],
    ["{ algorithm: HS256 }", "algorithm"],
    ["{ algorithm: RS256 }", "algorithm"],
    ["{ lifetime: 5m }", "unknown key `lifetime`"],
  ] as const) {
    const { estate: loaded, findings } = load(estate(said));
    assert.ok(
      findings.map(formatFinding).join("\n").includes(message),
      `${said}: ${findings.map(formatFinding).join("\n")}`,
    );
    assert.deepEqual(loaded.environments[0]?.systems, [], said);
  }
});

test("a client's own lives hold where they are shorter, and never make a token live longer than its environment says", () => {
  const { environments } = load(
    estate("{ machine: 2m, refresh: 10d }", "  tokens: { machine: 5m, user: 1m, refreshIdle: 2d }\n"),
  ).estate;
  const [production] = environments;
  assert.ok(production !== undefined);
  const lives = directoryOf({ ...production, isActive: () => true }).clients.get("orders")?.lives;
  assert.deepEqual(lives, { machineSeconds: 120, userSeconds: 60, refreshMs: 864_000_000, refreshIdleMs: 172_800_000 });
});

test("of two estates that speak of one environment the shorter lives hold, and another algorithm only where both want it", () => {
  const rows = (name: string, tokens: string) => {
    const { estate: loaded } = load(estate(tokens));
    return rowsOfEstate({ ...loaded, name });
  };
  const merged = (a: string, b: string) => environmentsOfRows([...rows("a", a), ...rows("b", b)])[0]?.tokens;
  assert.deepEqual(merged("{ algorithm: EdDSA, machine: 1m }", "{ user: 3m }"), {
    ...defaultTokens,
    machineSeconds: 60,
    userSeconds: 180,
  });
  assert.equal(merged("{ algorithm: EdDSA }", "{ algorithm: EdDSA }")?.algorithm, "EdDSA");
});

test("a change of lives or algorithm shows in a plan", () => {
  const changes = diffEstates(load(estate("{}")).estate, load(estate("{ machine: 1m }")).estate);
  const rules = changes.objects.find(({ object }) => object === "rules");
  assert.deepEqual(rules, { environment: "production", object: "rules", change: "changed", members: ["tokens"] });
});

test("tokens for a system may be signed with RSA for a reason and until a day; anything less, and anything weaker, is an error", () => {
  const billing = (tokens: string) => {
    const files = soundEstate();
    return load({ ...files, "systems/billing.yaml": `${files["systems/billing.yaml"]}tokens: ${tokens}\n` });
  };
  const systemOf = (tokens: string) => {
    const { estate: loaded, findings } = billing(tokens);
    assert.deepEqual(findings.filter(({ severity }) => severity === "error").map(formatFinding), []);
    return loaded.environments[0]?.systems.find(({ id }) => id === "billing");
  };
  const untilMs = Date.parse("2027-03-01T00:00:00Z");
  const said = "algorithm: PS256, reason: The appliance verifies nothing better, until: 2027-02-28";
  const legacyTokens = { algorithm: "PS256", reason: "The appliance verifies nothing better", untilMs };
  assert.deepEqual(systemOf(`{ ${said} }`)?.legacyTokens, legacyTokens);
  assert.equal(systemOf(`{ ${said} }`)?.tokens, undefined);
  assert.deepEqual(systemOf(`{ form: opaque, ${said} }`)?.legacyTokens, legacyTokens);
  assert.equal(systemOf(`{ form: opaque, ${said} }`)?.tokens, "opaque");
  assert.equal(systemOf("encrypted")?.legacyTokens, undefined);
  for (const bad of [
    "{ algorithm: RS256, until: 2027-02-28 }",
    "{ algorithm: RS256, reason: Old }",
    "{ reason: Old, until: 2027-02-28 }",
    ...["HS256", "none", "RS512", "ES256", "rs256"].map(
      (alg) => `{ algorithm: ${alg}, reason: Old, until: 2027-02-28 }`,
    ),
    "RS256",
  ])
    assert.ok(
      billing(bad).findings.some(({ severity }) => severity === "error"),
      bad,
    );
  const rows = environmentsOfRows(rowsOfEstate(billing(`{ ${said} }`).estate));
  assert.deepEqual(
    rows[0]?.systems.find(({ id }) => id === "billing")?.legacyTokens,
    legacyTokens,
    "kept in the store",
  );
});
