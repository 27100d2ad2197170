import assert from "node:assert/strict";
import { test } from "node:test";
import type { Leaf } from "./leaf.ts";
import { LeafRefused, printLeafText } from "./leaf-format.ts";
import { type Cast, moldLeaf, outcomePrinter, printCast, withToken } from "./leaf-mold.ts";

type Crossing = Extract<Leaf, { t: "crossing" }>;

const outcome = {
  outcome: "success",
  status: 200,
  upstreamStatus: 200,
  bytesIn: 0,
  bytesOut: 120,
  totalUs: 4_711,
  upstreamUs: 1_200,
} as const;
const decided = {
  id: "gw-1-01ARZ3NDEKTSV4RRFFQ69G5FAV",
  at: 1_795_305_600_000,
  tenant: "main",
  environment: "production",
  region: "eu",
  node: "gw-1",
  kind: "api",
  caller: "2026:abcdefghijklmnopqrstuQ",
  subject: null,
  proof: "dpop",
  operation: "billing:invoice.read",
  integration: "orders-to-billing",
  mode: "enforce",
  verdict: "allow",
  code: null,
  stage: null,
  policies: ["grant:orders-to-billing"],
  policySet: "ab".repeat(32),
  inputs: null,
  address: "2026:abcdefghijklmnopqrstuA",
  addressClass: "private",
} as const;
const crossing: Crossing = { t: "crossing", ...decided, ...outcome };
const inputs = "0f".repeat(32);

/** Each changes what a mold holds. */
const others: readonly Partial<Crossing>[] = [
  {},
  { tenant: "acme", region: "us" },
  { subject: "2026:abcdefghijklmnopqrstug", proof: "mtls" },
  { operation: null, integration: null, policies: [], policySet: null },
  { address: null, addressClass: "other" },
  { mode: "observe" },
  { issuer: "keycloak" },
  { issuer: null, token: "2026:abcdefghijklmnopqrstuw" },
  { issuer: "keycloak", token: "2026:abcdefghijklmnopqrstuQ" },
];

test("a leaf from a mold is the leaf printed by itself, for whatever it has in common and whatever differs", () => {
  for (const other of others) {
    const leaf: Crossing = { ...crossing, ...other };
    const mold = moldLeaf({ ...leaf, id: "gw-1-00000000000000000000000000", at: 0, totalUs: 0 });
    for (const end of [outcome, { ...outcome, outcome: "business-error", status: 404, bytesIn: 9 } as const]) {
      const cast: Cast = { mold, id: leaf.id, at: leaf.at, outcome: end };
      for (const hash of [inputs, null])
        assert.equal(printCast(cast, hash), printLeafText({ ...leaf, ...end, inputs: hash }));
    }
  }
});

test("the same for an intent, which has no outcome", () => {
  const leaf: Leaf = { t: "intent", ...decided };
  const cast: Cast = { mold: moldLeaf({ ...leaf, at: 0 }), id: leaf.id, at: leaf.at, outcome: null };
  assert.equal(printCast(cast, inputs), printLeafText({ ...leaf, inputs }));
  assert.throws(() => printCast({ ...cast, outcome }, inputs), LeafRefused);
  assert.throws(() => printCast({ ...cast, mold: moldLeaf(crossing) }, inputs), LeafRefused);
});

test("a denial has no mold, nor has a leaf that is none", () => {
  const denial = { verdict: "deny", code: "policy-denied", stage: "authorize", outcome: "denied" } as const;
  assert.throws(() => moldLeaf({ ...crossing, ...denial }), LeafRefused);
  assert.throws(() => moldLeaf({ ...crossing, inputs }), LeafRefused);
  assert.throws(() => moldLeaf({ ...crossing, operation: "Billing says hello" }), LeafRefused);
});

test("attack: what differs from leaf to leaf is held against its form like everything else", () => {
  const cast: Cast = { mold: moldLeaf(crossing), id: crossing.id, at: crossing.at, outcome };
  const forged: readonly Cast[] = [
    { ...cast, id: 'gw-1-01ARZ3NDEKTSV4RRFFQ69G5FAV","at":1,"x":"' },
    { ...cast, at: -1 },
    { ...cast, at: 0.5 },
    { ...cast, outcome: { ...outcome, status: 7 } },
    { ...cast, outcome: { ...outcome, bytesOut: Number.NaN } },
  ];
  for (const one of forged) assert.throws(() => printCast(one, inputs), LeafRefused);
  assert.throws(() => printCast(cast, "caller's text"), LeafRefused);
});

test("an outcome printed for its place is the leaf printed by itself, and nothing else gets in", () => {
  const place = { tenant: "main", environment: "production", region: "eu", node: "gw-1" };
  const print = outcomePrinter(place);
  const { id, at } = crossing;
  for (const end of [outcome, { ...outcome, outcome: "system-error", status: 0, upstreamStatus: 502 } as const])
    assert.equal(print(id, at, end), printLeafText({ t: "outcome", id, at, ...place, ...end }));
  assert.throws(() => outcomePrinter({ ...place, region: 'eu","x":"' }), LeafRefused);
  assert.throws(() => print(`${id}","at":0`, at, outcome), LeafRefused);
  assert.throws(() => print(id, at + 0.5, outcome), LeafRefused);
  assert.throws(() => print(id, at, { ...outcome, status: 7 }), LeafRefused);
  assert.throws(() => print(id, at, { ...outcome, totalUs: Number.NaN }), LeafRefused);
});

test("a mold of another token gives the leaf of that token, printed by itself", () => {
  const cast = { id: decided.id, at: decided.at };
  for (const issuer of [null, "keycloak"]) {
    const leaf = { ...crossing, issuer, token: "2026:abcdefghijklmnopqrstuQ" };
    const token = "2026:ABCDEFGHIJKLMNOPQRSTUw";
    const text = printCast({ mold: withToken(moldLeaf(leaf), token), ...cast, outcome }, inputs);
    assert.equal(text, printLeafText({ ...leaf, token, inputs }));
    const intent: Leaf = { t: "intent", ...decided, issuer, token: leaf.token };
    const begun = printCast({ mold: withToken(moldLeaf(intent), token), ...cast, outcome: null }, inputs);
    assert.equal(begun, printLeafText({ ...intent, token, inputs }));
  }
});

test("attack: a token's place in a mold takes nothing but a pseudonym, and a mold of no token has no such place", () => {
  const mold = moldLeaf({ ...crossing, issuer: null, token: "2026:abcdefghijklmnopqrstuQ" });
  for (const token of [
    "",
    "2026:short",
    '2026:abcdefghijklmnopqrstuQ","verdict":"deny',
    "2026:abcdefghijklmnopqrst\\Q",
  ])
    assert.throws(() => withToken(mold, token), LeafRefused, token);
  assert.throws(() => withToken(moldLeaf(crossing), "2026:abcdefghijklmnopqrstuQ"), LeafRefused);
});
