// What `bots` of a listener comes to, and what is no sense.
import assert from "node:assert/strict";
import { test } from "node:test";
import { formatFinding } from "./finding.ts";
import { load, soundEstate } from "./sound-estate.ts";

const loaded = (bots: string, more = "") => {
  const files: Readonly<Record<string, string>> = soundEstate();
  const listener = `listeners:\n  public:\n    url: https://api.acme.example\n    bots: ${bots}\n${more}`;
  return load({ ...files, "sallyport.yaml": listener });
};
const botsOf = (bots: string) => loaded(bots).estate.environments[0]?.listeners[0]?.bots;
const errorsOf = (bots: string, more?: string) =>
  loaded(bots, more)
    .findings.filter(({ severity }) => severity === "error")
    .map(formatFinding)
    .join("\n");

test("without rules those that no well-meaning caller meets, and the agents that are named", () => {
  assert.deepEqual(botsOf("{ mode: shadow }"), {
    ...{ mode: "shadow", rules: ["scanner-agent", "probe-path", "unknown-route"], agents: [] },
  });
  assert.deepEqual(botsOf('{ mode: enforce, agents: ["Acme-Scraper", curl/] }'), {
    ...{ mode: "enforce", rules: ["scanner-agent", "named-agent", "probe-path", "unknown-route"] },
    agents: ["acme-scraper", "curl/"],
  });
  assert.deepEqual(botsOf("{ mode: enforce, rules: [absent-agent] }")?.rules, ["absent-agent"]);
});

test("what is no sense is an error with the fix", () => {
  for (const [bots, message] of [
    ["{ mode: block }", "bots.mode"],
    ["{ mode: shadow, rules: [scanners] }", "bots.rules[0]"],
    ["{ mode: shadow, rules: [named-agent] }", "add `agents`"],
    ["{ mode: shadow, rules: [probe-path], agents: [curl] }", "add `named-agent` to `rules`"],
    ['{ mode: shadow, agents: ["a.*b"] }', "not the name of an agent"],
    ["{ mode: shadow, agents: [x] }", "three characters at least"],
  ] as const)
    assert.ok(errorsOf(bots).includes(message), `${bots}: ${errorsOf(bots)}`);
  const asks = "    authorizer: { proxy: nginx, trustedProxies: [10.0.0.1] }\n";
  assert.ok(errorsOf("{ mode: shadow }", asks).includes("the agent there is the proxy that asks"));
});
