import assert from "node:assert/strict";
import { test } from "node:test";
import { observedGroupsMax } from "@sallyport/protocol/channel/messages.ts";
import { parseUpMessage } from "./parse-up.ts";

const group = {
  mode: "observe",
  operation: "billing:invoice.read",
  caller: null,
  addressClass: "private",
  code: "not-granted",
  stage: "bind",
  shape: null,
  count: 1,
  firstMs: 1,
  lastMs: 2,
  examples: ["gw-1-01KAMZZZZZ0000000000000000"],
};
const parsed = (groups: readonly object[]) =>
  parseUpMessage(JSON.stringify({ t: "observed", id: "1", sinceMs: 1, uncounted: 0, groups }));

test("what a node observed is taken in its closed form: declared names, pseudonyms, codes and crossing ids", () => {
  assert.ok(parsed([group]) !== null);
  const undeclared = {
    ...group,
    operation: "billing:(undeclared)",
    mode: "passthrough",
    shape: "2026:abcdefghijklmnopqrstuQ",
  };
  assert.ok(parsed([undeclared, { ...group, code: null, stage: null }]) !== null);
});

test("stolen node attack: text of its own choosing gets into no member that an operator reads", () => {
  const texts = ["\u001b[2J", "a\nb", "x".repeat(300), "<script>", ""];
  for (const member of ["mode", "operation", "caller", "addressClass", "code", "stage", "shape"])
    for (const text of texts) assert.equal(parsed([{ ...group, [member]: text }]), null, `${member} ${text}`);
  for (const id of ["01KAMZZZZZ0000000000000000", "gw-1", "../x"])
    assert.equal(parsed([{ ...group, examples: [id] }]), null);
  assert.equal(parsed([{ ...group, more: 1 }]), null);
  assert.equal(parsed([{ ...group, count: -1 }]), null);
  assert.equal(parsed(Array.from({ length: observedGroupsMax + 1 }, () => group)), null);
});

test("stolen node attack: what it asks control to look for is the name of an issuer and nothing else", () => {
  const asked = (issuer: unknown, more: object = {}) =>
    parseUpMessage(JSON.stringify({ t: "look-for-keys", issuer, ...more }));
  assert.deepEqual(asked("keycloak"), { t: "look-for-keys", issuer: "keycloak" });
  for (const issuer of ["https://169.254.169.254/", "Keycloak", "", "a".repeat(200), null, ["keycloak"]])
    assert.equal(asked(issuer), null);
  assert.equal(asked("keycloak", { uri: "https://169.254.169.254/" }), null);
  assert.equal(asked("keycloak", { kid: "k" }), null);
});

test("stolen node attack: what it says of policies in shadow is ids, words of ours, pseudonyms and counts", () => {
  const shadow = {
    policy: "rules.cedar#1",
    would: "deny",
    operation: "billing:invoice.read",
    caller: "2026:abcdefghijklmnopqrstuQ",
    ...{ count: 1, firstMs: 1, lastMs: 2, examples: ["gw-1-01KAMZZZZZ0000000000000000"] },
  };
  const told = (shadows: readonly object[]) =>
    parseUpMessage(
      JSON.stringify({ t: "observed", id: "1", sinceMs: 1, uncounted: 0, groups: [], shadows, uncountedShadows: 0 }),
    );
  assert.ok(told([shadow]) !== null);
  for (const member of ["policy", "would", "operation", "caller"])
    for (const text of ["\u001b[2J", "a\nb", "x".repeat(300), "<script>", "", null])
      assert.equal(told([{ ...shadow, [member]: text }]), null, `${member} ${text}`);
  assert.equal(told([{ ...shadow, count: -1 }]), null);
  assert.equal(told(Array.from({ length: 513 }, () => shadow)), null);
});
