import assert from "node:assert/strict";
import { test } from "node:test";
import type { Explanation } from "@sallyport/control/explain/explanation.ts";
import { exitCode } from "../exit.ts";
import { runAgainst } from "../program.test-support.ts";

const token = ["why", "--from", "portal", "--op", "token:issue", "--for", "billing"];
const ofUser = ["--acr", "mfa", "--auth-age", "5m"];
const explanation: Explanation = {
  question: { environment: "production", from: "portal", operation: "token:issue", attributes: {} },
  ...{ allowed: true, observed: null, code: null, stage: null, integration: null },
  ...{ steps: [], nearest: [], missing: [], policies: [], fix: null },
};
const place = { "POST /v1/explain": explanation };

test("the country and the risk of a question reach control as they were said, and not at all where they were not", async () => {
  const bare = { environment: "production", from: "portal", operation: "token:issue", attributes: {}, for: "billing" };
  const user = { acr: "mfa", authAgeSeconds: 300 };
  const factors = ["--risk-factor", "country-changed", "old-log-in"];
  for (const [more, said] of [
    [[], {}],
    [["--country", "DE"], { country: "DE" }],
    [[...ofUser, "--risk", "50"], { user, risk: 50 }],
    [[...ofUser, "--risk", "100", ...factors], { user, risk: 100, riskFactors: ["country-changed", "old-log-in"] }],
  ] as const) {
    const { exit, asked } = await runAgainst(place, [...token, ...more]);
    assert.deepEqual([exit, asked], [0, [{ route: "POST /v1/explain", body: { ...bare, ...said } }]]);
  }
});

test("a country, a risk or a factor that is none is refused before anybody is asked, and so is the risk of nobody", async () => {
  for (const more of [
    ["--country", "de"],
    ["--country", "DEU"],
    [...ofUser, "--risk", "101"],
    [...ofUser, "--risk", "-1"],
    [...ofUser, "--risk", "high"],
    ["--risk", "50"],
    ["--risk-factor", "country-changed"],
  ]) {
    const { exit, asked } = await runAgainst(place, [...token, ...more]);
    assert.deepEqual([exit, asked], [exitCode.badUse, []], more.join(" "));
  }
});
