import assert from "node:assert/strict";
import { test } from "node:test";
import { decisionInputs } from "../authorize/decision-inputs.ts";
import type { Exchange } from "../exchange.ts";
import { referenceOf } from "./reference.ts";
import { printInputs, Repeated } from "./repeated.ts";

type Changes = Partial<Record<keyof Exchange, unknown>> & { readonly attributes?: Record<string, string | number> };

const system = (id: string) => ({
  id,
  object: { attributes: { region: "eu", 'odd "key"': "odd\nvalue" }, zone: "internal" },
});
const grant = (id: string) => ({ integration: { id } });
const operation = (name: string) => ({ system: { id: "billing" }, fullName: `billing:${name}`, object: {} });
const principal = (more: object = {}) =>
  Object.freeze({
    tenant: "main",
    environment: "production",
    caller: "orders",
    client: "orders",
    subject: 'user "7"\\',
    act: { sub: "agent", act: { sub: "tool" } },
    proof: { kind: "dpop", jkt: "k" },
    scopes: ["billing:invoice.read"],
    tokenId: "t-1",
    expiresAtMs: 1_795_305_900_000,
    ...more,
  });

const common: Record<string, unknown> = {
  claim: null,
  principal: principal(),
  operation: operation("invoice.read"),
  grant: grant("orders-to-billing"),
  lease: { estate: {} },
  caller: system("orders"),
  policies: Object.freeze(["grant:orders-to-billing"]),
  source: { address: "192.0.2.7", prefix: "v4:192.0.2", addressClass: "public-v4" },
  wouldDeny: null,
  outside: null,
  lookedUp: null,
  reported: null,
  shadow: null,
  threats: null,
  nextHop: null,
  question: null,
  alsoDenied: [],
};

let crossings = 0;
/** As far as records read it; the parts are shared between crossings where they are not given. */
function exchange({ attributes = {}, ...changes }: Changes = {}): Exchange {
  const number = ++crossings;
  const parts = {
    ...common,
    id: `gw-1-${String(number).padStart(26, "0")}`,
    request: { method: "GET", path: `/v1/invoices/inv-${number}`, clientUrl: `http://gw/v1/invoices/inv-${number}` },
    ...changes,
  };
  const made = parts as unknown as Exchange; // nothing else of an exchange is read here
  const { caller, operation, grant, principal } = made;
  if (caller === null || operation === null || grant === null || principal === null) return made;
  made.decision = decisionInputs({ caller, operation, grant, principal, stalenessMs: 10.4 * number }, attributes);
  return made;
}

const printedOf = (repeated: Repeated, one: Exchange): string => {
  const printed = repeated.find(one);
  assert.ok(printed !== null);
  return printInputs(printed, one);
};
const byItself = (one: Exchange): string => JSON.stringify(referenceOf(one, null));

test("what control reads is byte for byte what JSON has for it, whatever differs between crossings of one kind", () => {
  const repeated = new Repeated();
  const all = [
    exchange(),
    exchange(),
    exchange({ attributes: { amount: 7, owner: 'an "owner"' } }),
    exchange({ request: { method: "HEAD", path: "/a'b", clientUrl: "http://gw/a'b" } }),
    exchange({ request: null }),
    ...['a"b', "a\\b", "a\u007fb", "a\nb", "\ud800", "é", "%22", ""].map((path) =>
      exchange({ request: { method: "GET", path, clientUrl: `http://gw${path}` } }),
    ),
  ];
  for (const one of all) assert.equal(printedOf(repeated, one), byItself(one));
  assert.equal(repeated.find(all[0] ?? exchange()), repeated.find(all[1] ?? exchange()), "printed once");
});

test("attack: a crossing never gets what was printed for another principal, operation, grant, snapshot, caller, address or policy", () => {
  const changes: readonly Changes[] = [
    { principal: principal({ caller: "shop" }) },
    { principal: principal({ scopes: null, acr: "high", authTime: 5 }) },
    { operation: operation("invoice.create") },
    { grant: grant("orders-to-billing-again") },
    { lease: { estate: {} } },
    { caller: { ...system("orders"), object: { attributes: {}, zone: undefined } } },
    { source: { address: "192.0.2.8", prefix: "v4:192.0.2", addressClass: "public-v4" } },
    { policies: Object.freeze(["grant:orders-to-billing", "only-eu"]) },
  ];
  const repeated = new Repeated();
  for (const change of changes) {
    for (const one of [exchange(), exchange(change), exchange()])
      assert.equal(printedOf(repeated, one), byItself(one), JSON.stringify(change));
    assert.notEqual(repeated.find(exchange()), repeated.find(exchange(change)), JSON.stringify(change));
  }
});

/** A principal that no connection keeps: new with each crossing. */
const machine = (more: object = {}) => ({
  ...{ tenant: "main", environment: "production", caller: "orders", client: "orders" },
  ...{
    proof: { kind: "bearer" },
    scopes: null,
    tokenId: `t-${++crossings}`,
    expiresAtMs: 1_795_305_900_000 + crossings,
  },
  ...more,
});

test("of machines with a token for each crossing everything but the principal is printed once, and the principal is the crossing's own", () => {
  const repeated = new Repeated();
  const all = [
    exchange({ principal: machine() }),
    exchange({ principal: machine(), attributes: { amount: 7 } }),
    exchange({ principal: machine({ client: "orders-2" }) }),
    exchange({ principal: machine({ proof: { kind: "bearer", x5t: "another" } }) }),
    exchange({ principal: machine({ tokenId: undefined }) }),
  ];
  for (const one of all) assert.equal(printedOf(repeated, one), byItself(one));
  const [first, second] = all.map((one) => repeated.find(one));
  assert.ok(first && second);
  assert.equal(first.molds, second.molds);
  assert.notEqual(first.principal, second.principal);
});

test("attack: a machine never gets what was printed for another system, scope, proof, operation, grant, snapshot, address or policy", () => {
  const changes: readonly Changes[] = [
    { principal: machine({ caller: "shop" }), caller: system("shop") },
    { principal: machine({ caller: "shop" }) },
    { principal: machine({ environment: "staging" }) },
    { principal: machine({ scopes: ["billing:invoice.read"] }) },
    { principal: machine({ scopes: [] }) },
    { principal: machine({ proof: { kind: "mtls", x5t: "k" } }) },
    { principal: machine({ tokenId: undefined }) },
    { principal: machine(), operation: operation("invoice.create") },
    { principal: machine(), grant: grant("orders-to-billing-again") },
    { principal: machine(), lease: { estate: {} } },
    { principal: machine(), caller: { ...system("orders"), object: { attributes: {}, zone: undefined } } },
    { principal: machine(), source: { address: "192.0.2.8", prefix: "v4:192.0.2", addressClass: "public-v4" } },
    { principal: machine(), policies: Object.freeze(["grant:orders-to-billing", "only-eu"]) },
  ];
  const repeated = new Repeated();
  const plain = () => exchange({ principal: machine() });
  for (const change of changes) {
    for (const one of [plain(), exchange(change), plain()])
      assert.equal(printedOf(repeated, one), byItself(one), JSON.stringify(change));
    assert.notEqual(repeated.find(plain())?.molds, repeated.find(exchange(change))?.molds, JSON.stringify(change));
  }
});

test("attack: what was asked elsewhere for one crossing is never said of another: whatever was is printed by itself", () => {
  const repeated = new Repeated();
  assert.ok(repeated.find(exchange()) !== null);
  const lookup = { name: "owner", system: "crm", found: "anna" };
  const others = [
    { threats: { found: ["sql-injection"] } },
    { nextHop: { tokenId: "n-1" } },
    { shadow: { allow: false } },
  ];
  for (const told of [{ lookedUp: [lookup] }, { reported: "owner" }, { outside: { policy: "p", id: "1" } }, ...others])
    assert.equal(repeated.find(exchange(told)), null, JSON.stringify(told));
});

test("users, actors, issuers outside and whatever else a principal may come to say are printed by themselves", () => {
  const repeated = new Repeated();
  repeated.find(exchange({ principal: machine() }));
  for (const more of [
    ...[{ subject: "usr_1" }, { act: { sub: "agent" } }, { issuer: "keycloak" }, { session: "ses_1" }],
    ...[{ acr: "high" }, { authTime: 5 }, { amr: ["otp"] }, { sealedTo: "a later version" }],
  ])
    assert.equal(repeated.find(exchange({ principal: machine(more) })), null, JSON.stringify(more));
});

test("what may still change, or was not decided, is printed by itself", () => {
  const repeated = new Repeated();
  const without: readonly Changes[] = [
    { principal: { ...principal() } },
    { policies: ["grant:orders-to-billing"] },
    { principal: null },
    { operation: null },
    { lease: null },
  ];
  for (const change of without) assert.equal(repeated.find(exchange(change)), null, JSON.stringify(change));
});

test("more operations than are remembered are still each recorded as their own", () => {
  const repeated = new Repeated();
  for (let turn = 0; turn < 2; turn++)
    for (let n = 0; n < 100; n++) {
      const one = exchange({ operation: operation(`invoice.read${n}`) });
      assert.equal(printedOf(repeated, one), byItself(one));
    }
});
