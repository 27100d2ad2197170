import { strict as assert } from "node:assert";
import { test } from "node:test";
import { decideRevocable, type RevocableQuestion } from "./decide-revocable.ts";

const id = "m3Yk0cJ0S2mWn5yq8cXo0A";
const ask = (kind: RevocableQuestion["kind"], value: string, absent = false) =>
  decideRevocable({ kind, value, clients: ["orders", "portal"], absent });

test("what tokens carry can be revoked", () => {
  const revocable: readonly (readonly [RevocableQuestion["kind"], string])[] = [
    ["jti", id],
    ["grant", `grt_${id}`],
    ["grant", `xch_${id}`],
    ["grant", "cli_orders"],
    ["session", `ses_${id}`],
    ["subject", `usr_${id}`],
    ["subject", `ext_${id}`],
    ["subject", "orders"],
    ["client", "orders"],
  ];
  for (const [kind, value] of revocable) assert.equal(ask(kind, value).kind, "revocable", `${kind} ${value}`);
});

test("a whole token in place of its id is refused and not repeated: revoked would be nothing, and the token would stand in a record", () => {
  const handle = `spt1_${"A".repeat(48)}`;
  const jwt = `eyJhbGciOiJFUzI1NiJ9.${"e".repeat(40)}.${"s".repeat(40)}`;
  for (const kind of ["jti", "grant", "session", "subject", "client"] as const)
    for (const token of [handle, jwt]) {
      const verdict = ask(kind, token);
      assert.equal(verdict.kind, "malformed", `${kind} ${token}`);
      assert.ok(!JSON.stringify(verdict).includes(token));
    }
});

test("a name where an id belongs ends nothing and says so: who is cut off in a hurry is cut off", () => {
  assert.equal(ask("subject", "anna").kind, "malformed");
  assert.equal(ask("session", "anna").kind, "malformed");
  assert.equal(ask("grant", id).kind, "malformed");
  assert.equal(ask("jti", `${id}A`).kind, "malformed");
  const typo = ask("client", "order");
  assert.ok(typo.kind === "unknown" && /`orders`/.test(typo.fix), JSON.stringify(typo));
});

test("a client that is served no more can be revoked by saying so: what was exchanged for its tokens may live", () => {
  assert.equal(ask("client", "gone").kind, "unknown");
  assert.equal(ask("client", "gone", true).kind, "revocable");
  assert.equal(ask("client", "two words", true).kind, "malformed");
});
