// Who may have a receipt, decided by the leaf alone.
import assert from "node:assert/strict";
import { test } from "node:test";
import { sampleLeaf } from "@sallyport/kernel/log/sample-leaves.ts";
import { parseLeaf, printLeafText } from "@sallyport/protocol/audit/leaf-format.ts";
import type { Principal } from "@sallyport/protocol/principal.ts";
import { decideReceipt, type Names, noReceipt } from "./decide.ts";

const orders: Principal = {
  tenant: "main",
  environment: "production",
  caller: "orders",
  proof: { kind: "dpop", jkt: "x" },
  scopes: null,
  expiresAtMs: 0,
};
const pseudonyms: Readonly<Record<string, string>> = {
  "caller orders": "2026:abcdefghijklmnopqrstuQ",
  "subject anna": "2026:abcdefghijklmnopqrstuA",
};
const names: Names = (pseudonym, domain, value) => pseudonyms[`${domain} ${value}`] === pseudonym;

const crossing = parseLeaf(sampleLeaf("crossing", 1));
const leafOf = (changes: object) => printLeafText({ ...crossing, ...changes } as typeof crossing);
const decide = (changes: object, asker: Partial<Principal> = {}, receipt: string | null = "receipt") =>
  decideReceipt({ decided: leafOf(changes), receipt }, { ...orders, ...asker }, names);

const ofAnna = { subject: "2026:abcdefghijklmnopqrstuA" };
const byKeycloak = { ...ofAnna, issuer: "keycloak", token: "2026:abcdefghijklmnopqrstug" };

test("the principal that made the crossing has its receipt, or is told to wait", () => {
  assert.equal(decide({}), "receipt");
  assert.equal(decide(ofAnna, { subject: "anna" }), "receipt");
  assert.equal(decide(byKeycloak, { subject: "anna", issuer: "keycloak" }), "receipt");
  const pending = decide({}, {}, null);
  assert.ok(typeof pending !== "string" && pending.code === "receipt-pending");
});

test("attack: every other principal, a user of the same name of another issuer too, is told the same: there is none", () => {
  const others: [object, Partial<Principal>][] = [
    [{}, { caller: "portal" }],
    [{ caller: null, verdict: "deny", code: "token-expired", stage: "identify", outcome: "denied" }, {}],
    [{}, { subject: "anna" }],
    [ofAnna, {}],
    [ofAnna, { subject: "ben" }],
    [byKeycloak, { subject: "anna" }],
    [byKeycloak, { subject: "anna", issuer: "entra" }],
    [ofAnna, { subject: "anna", issuer: "keycloak" }],
    [{ mode: "observe", verdict: "deny", code: "not-granted", stage: "bind" }, {}],
    [{ caller: "2025:abcdefghijklmnopqrstuQ" }, {}],
  ];
  for (const [leaf, asker] of others)
    for (const receipt of ["receipt", null])
      assert.equal(decide(leaf, asker, receipt), noReceipt, JSON.stringify(leaf));
  const admin = Buffer.from(sampleLeaf("admin", 1)).toString("latin1");
  assert.equal(decideReceipt({ decided: admin, receipt: "receipt" }, orders, names), noReceipt);
  assert.equal(decideReceipt({ decided: null, receipt: null }, orders, names), noReceipt);
});
