import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import type { IncomingMessage } from "node:http";
import { after, before, describe, test } from "node:test";
import { forEachDialect } from "@sallyport/kernel/store/for-each-dialect.ts";
import { directoryWith, startEstate, type TestEstate } from "./estate.test-support.ts";
import { assertion, dpopProof, form, type TestKey, testKey } from "./issuer.test-support.ts";
import { MachineRequests } from "./machine-request.ts";
import { privateKeyJwt } from "./private-key-jwt.ts";
import type { IdentityCommands } from "./store.ts";

const now = () => Math.floor(Date.now() / 1000);

/** Requests whose answers must not depend on the way they go, by name. `over`: form parameters; "" and arrays as they are sent. */
interface Case {
  readonly text: string;
  readonly over?: readonly (readonly [string, string])[];
  readonly client?: string;
}

function casesOf(issuer: string, orders: TestKey): Record<string, Case> {
  const of = (over: Record<string, unknown> = {}, header: Record<string, unknown> = {}) =>
    assertion("orders", issuer, orders, over, header);
  const resource = `${issuer}/systems/billing`;
  return {
    "the plain request": { text: of() },
    "a scope that is granted": { text: of(), over: [["scope", "billing:invoice.read"]] },
    "two operations": { text: of(), over: [["scope", "billing:invoice.read billing:invoice.create"]] },
    "a scope that is not granted": { text: of(), over: [["scope", "billing:invoice.erase"]] },
    "a scope with two spaces": { text: of(), over: [["scope", "billing:invoice.read  billing:invoice.create"]] },
    "a scope in capitals": { text: of(), over: [["scope", "BILLING:INVOICE.READ"]] },
    "an empty scope": { text: of(), over: [["scope", ""]] },
    "the resource twice": { text: of(), over: [["resource", resource]] },
    "two resources": { text: of(), over: [["resource", `${issuer}/systems/reports`]] },
    "the grant type twice": { text: of(), over: [["grant_type", "client_credentials"]] },
    "the assertion twice": { text: of(), over: [["client_assertion", of()]] },
    "a secret beside it": { text: of(), over: [["client_secret", "x"]] },
    "another client": { text: of(), client: "analytics" },
    "no kid": { text: of({}, { kid: undefined }) },
    "another kid": { text: of({}, { kid: "nobody" }) },
    "a foreign key under our kid": { text: assertion("orders", issuer, { ...testKey(), kid: orders.kid }) },
    "type JWT": { text: of({}, { typ: "JWT" }) },
    "type client-authentication+jwt": { text: of({}, { typ: "client-authentication+jwt" }) },
    "type at+jwt": { text: of({}, { typ: "at+jwt" }) },
    "a header of its own": { text: of({}, { "x-own": 1 }) },
    crit: { text: of({}, { crit: ["exp"] }) },
    "ended just now": { text: of({ exp: now() - 5 }) },
    "ended before": { text: of({ exp: now() - 60 }) },
    "a day long": { text: of({ exp: now() + 86_400 }) },
    "issued a little ahead": { text: of({ iat: now() + 5 }) },
    "issued ahead": { text: of({ iat: now() + 60 }) },
    "no iat": { text: of({ iat: undefined }) },
    "no jti": { text: of({ jti: undefined }) },
    "an empty jti": { text: of({ jti: "" }) },
    "a broken nbf": { text: of({ nbf: "soon" }) },
    "nbf ahead": { text: of({ nbf: now() + 60 }) },
    "exp with a fraction": { text: of({ exp: now() + 30.5 }) },
    "the token endpoint as audience": { text: assertion("orders", `${issuer}/token`, orders) },
    "an array as audience": { text: assertion("orders", [issuer], orders) },
    "a claim of its own": { text: of({ role: "admin" }) },
    padded: { text: `${of()}=` },
  };
}

forEachDialect((_dialect, open) => {
  let estate: TestEstate;
  before(async () => {
    estate = await startEstate(
      await open<IdentityCommands>({ commands: new URL("./commands.test-support.ts", import.meta.url) }),
    );
  });
  after(() => estate.close());

  test("the straight way and oidc-provider's give one request the same answer, whatever it is", async () => {
    const { issuer } = estate.production;
    const ask = async ({ text, over = [], client = "orders" }: Case, more: readonly (readonly [string, string])[]) => {
      const body = form(client, text, { resource: `${issuer}/systems/billing` });
      for (const [name, value] of [...over, ...more]) body.append(name, value);
      const proof = dpopProof(estate.holder, `${issuer}/token`, await estate.nonce());
      const answer = await estate.post(issuer, body.toString(), { headers: { dpop: proof } });
      const { error, error_description, token_type, expires_in, scope } = answer.body;
      return { status: answer.status, error, error_description, token_type, expires_in, scope };
    };
    // A parameter nobody knows: oidc-provider passes over it, and the straight way does not take what it does not know.
    const longWay = [["unknown", "parameter"]] as const;
    const [first, second] = [casesOf(issuer, estate.orders), casesOf(issuer, estate.orders)];
    let tokens = 0;
    for (const [name, request] of Object.entries(first)) {
      const straight = await ask(request, []);
      const other = second[name];
      assert.ok(other !== undefined);
      assert.deepEqual(straight, await ask(other, longWay), name);
      if (straight.status === 200) tokens += 1;
    }
    assert.ok(tokens >= 9, `${tokens} requests got a token`);
  });
});

describe("what the straight way takes", () => {
  const issuer = "https://id.example/main/production";
  const orders = testKey();
  const requests = new MachineRequests({
    issuer,
    directory: directoryWith("production", new Map([["orders", [{ id: "k", jwk: orders.jwk }]]])),
    authentication: privateKeyJwt,
    clock: { now: () => Date.now() },
  });
  const takes = (parameters: Record<string, string | string[]>, headers: Record<string, string> = {}) =>
    // The fields are all it reads of a request.
    requests.proven({ headers } as unknown as IncomingMessage, parameters)?.client.id ?? null;
  const good = () => Object.fromEntries(form("orders", assertion("orders", issuer, orders)));

  test("a form in which everything stands once, with or without client_id", () => {
    assert.equal(takes(good()), "orders");
    const { client_id: _, ...without } = good();
    assert.equal(takes(without), "orders");
    assert.equal(takes({ ...good(), resource: ["a", "b"], scope: "billing:invoice.read" }), "orders");
  });

  test("an assertion without kid only of a client that has one key", () => {
    const nameless = () =>
      Object.fromEntries(form("orders", assertion("orders", issuer, orders, {}, { kid: undefined })));
    assert.equal(takes(nameless()), "orders");
    const forged = assertion("orders", issuer, { ...testKey(), kid: "k" }, {}, { kid: undefined });
    assert.equal(takes(Object.fromEntries(form("orders", forged))), null);
    const keys = [orders, testKey()].map(({ jwk }, n) => ({ id: `k${n}`, jwk }));
    const two = new MachineRequests({
      issuer,
      directory: directoryWith("production", new Map([["orders", keys]])),
      authentication: privateKeyJwt,
      clock: { now: () => Date.now() },
    });
    assert.equal(two.proven({ headers: {} } as unknown as IncomingMessage, nameless()), null);
  });

  test("nothing else: it is left to the long way and to its refusals", () => {
    const others: Record<string, Parameters<typeof takes>> = {
      "an Authorization field": [good(), { authorization: "Basic eA==" }],
      "a parameter it does not know": [{ ...good(), [randomUUID()]: "x" }],
      "one that stands twice": [{ ...good(), scope: ["a", "a"] }],
      "an empty one": [{ ...good(), scope: "" }],
      "another grant": [{ ...good(), grant_type: "refresh_token" }],
      "another assertion type": [{ ...good(), client_assertion_type: "urn:ietf:params:oauth:grant-type:jwt-bearer" }],
      "another client": [{ ...good(), client_id: "analytics" }],
      "a client that is not there": [Object.fromEntries(form("nobody", assertion("nobody", issuer, orders)))],
      "a scope that somebody could read otherwise": [{ ...good(), scope: "a\tb" }],
      "a signature of somebody else": [
        Object.fromEntries(form("orders", assertion("orders", issuer, { ...testKey(), kid: orders.kid }))),
      ],
    };
    for (const [name, request] of Object.entries(others)) assert.equal(takes(...request), null, name);
  });

  test("two keys of one name: neither", () => {
    const other = testKey();
    const keys = [
      { id: "a", jwk: { ...orders.jwk, kid: "same" } },
      { id: "b", jwk: { ...other.jwk, kid: "same" } },
    ];
    const twins = new MachineRequests({
      issuer,
      directory: directoryWith("production", new Map([["orders", keys]])),
      authentication: privateKeyJwt,
      clock: { now: () => Date.now() },
    });
    for (const key of [orders, other]) {
      const text = assertion("orders", issuer, { ...key, kid: "same" });
      const parameters = Object.fromEntries(form("orders", text));
      assert.equal(twins.proven({ headers: {} } as unknown as IncomingMessage, parameters), null);
    }
  });
});
