import assert from "node:assert/strict";
import { test } from "node:test";
import { generateSigner } from "@sallyport/kernel/token-crypto.ts";
import fc from "fast-check";
import { defaultTokens } from "../registry/config/tokens-schema.ts";
import { type Binding, decideIssuance } from "./decide-issuance.ts";
import { systemOfResource } from "./decide-target.ts";
import type { IdentityGrant } from "./directory.ts";
import { type ClearedDecision, mint, mintOperator } from "./mint.ts";

const issuer = "https://id.example/main/production";
const jkt = "A".repeat(43);
const now = 1_700_000_000_500;
const { signer } = generateSigner("ES256");
let fill = 0;
const ports = {
  clock: { now: () => now, monotonic: () => 0 },
  random: { bytes: (length: number) => new Uint8Array(length).fill(fill++) },
  record: { issued: async () => undefined, refused: async () => null, flush: async () => undefined },
};
const decision = (over: Partial<ClearedDecision> = {}): ClearedDecision => ({
  issuer,
  client: "orders",
  audience: `${issuer}/systems/billing`,
  scopes: ["billing:a"],
  ceiling: new Set(["billing:a"]),
  integrations: ["orders-to-billing"],
  clearance: { grantType: "client_credentials", policies: ["grant:orders-to-billing"] },
  binding: { kind: "dpop", jkt },
  lifetimeSeconds: 300,
  ...over,
});

test("mint refuses as a bug: no grant, scope beyond it, a long life, a foreign audience, an unbound token without an exception that outlives it", async () => {
  const bugs: Partial<ClearedDecision>[] = [
    { lifetimeSeconds: 301 },
    { lifetimeSeconds: 0 },
    { lifetimeSeconds: 1.5 },
    { scopes: ["billing:b"] },
    { ceiling: new Set() },
    { audience: "https://id.example/main/staging/systems/billing" },
    { audience: issuer },
    { client: "" },
    { binding: { kind: "none" } },
    { binding: { kind: "none" }, bearerUntilMs: now + 1_000 },
    { binding: { kind: "dpop", jkt: "short" } },
    { binding: { kind: "mtls", x5t: "" } },
  ];
  await mint(decision(), signer, ports);
  await mint(decision({ binding: { kind: "none" }, bearerUntilMs: now + 301_000 }), signer, ports);
  for (const bug of bugs)
    await assert.rejects(mint(decision(bug), signer, ports), { code: "ERR_ASSERTION" }, JSON.stringify(bug));
});

test("a token for a subject names its grant, may live ten minutes and carries how the subject was authenticated", async () => {
  const subject = {
    id: "usr_1",
    session: "ses_1",
    acr: "urn:sallyport:acr:mfa",
    amr: ["pwd", "otp"],
    authTime: 1_700_000_000,
  };
  const good = { subject, grants: ["grt_1"], act: { sub: "orders" }, lifetimeSeconds: 600 };
  const { claims } = await mint(decision(good), signer, ports);
  const { sub, client_id, gid, sid, acr, amr, auth_time, act, exp, iat } = claims;
  assert.deepEqual(
    { sub, client_id, gid, sid, acr, amr, auth_time, act, life: exp - iat },
    {
      sub: "usr_1",
      client_id: "orders",
      gid: ["grt_1"],
      sid: "ses_1",
      acr: subject.acr,
      amr: subject.amr,
      auth_time: subject.authTime,
      act: { sub: "orders" },
      life: 600,
    },
  );
  for (const bug of [{ ...good, lifetimeSeconds: 601 }, { subject }, { lifetimeSeconds: 301, grants: ["grt_1"] }])
    await assert.rejects(mint(decision(bug), signer, ports), { code: "ERR_ASSERTION" }, JSON.stringify(bug));
});

test("no token leaves before its record is durable, and none at all when the record fails", async () => {
  const order: string[] = [];
  const durable = Promise.withResolvers<void>();
  const minting = mint(decision(), signer, {
    ...ports,
    record: { ...ports.record, issued: () => durable.promise },
  }).then(() => order.push("token"));
  await Promise.resolve();
  order.push("durable");
  durable.resolve();
  await minting;
  assert.deepEqual(order, ["durable", "token"]);
  await assert.rejects(
    mint(decision(), signer, {
      ...ports,
      record: { ...ports.record, issued: async () => Promise.reject(new Error("log-full")) },
    }),
    /log-full/,
  );
});

test("an operator token is for the listener that issued it, bound, and at most five minutes long", async () => {
  const good = {
    issuer: "https://admin.example/operators",
    audience: "https://admin.example",
    operator: "ana",
    kid: "k".repeat(43),
    jkt,
    lifetimeSeconds: 300,
    address: "192.0.2.1",
  };
  assert.equal((await mintOperator(good, signer, ports)).claims.aud, "https://admin.example");
  for (const bug of [{ lifetimeSeconds: 301 }, { jkt: "" }, { issuer }, { audience: `${issuer}/systems/billing` }]) {
    await assert.rejects(mintOperator({ ...good, ...bug }, signer, ports), { code: "ERR_ASSERTION" });
  }
});

const word = fc.constantFrom("a", "b", "c", "d");
const grant = fc.record({
  integration: word,
  scopes: fc.uniqueArray(
    word.map((name) => `billing:${name}`),
    { minLength: 1 },
  ),
  proof: fc.uniqueArray(fc.constantFrom("dpop" as const, "mtls" as const, "bearer" as const), { minLength: 1 }),
  bearerUntilMs: fc.integer({ min: now - 500_000, max: now + 500_000 }),
  expiresAtMs: fc.integer({ min: now - 500_000, max: now + 500_000 }),
});
const binding = fc.constantFrom<Binding>({ kind: "dpop", jkt }, { kind: "mtls", x5t: jkt }, { kind: "none" });

test("whatever is granted and asked: scope stays inside live grants, the token ends with them, and unbound means explicitly allowed", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(grant, { maxLength: 3 }),
      binding,
      fc.option(fc.array(word, { maxLength: 3 })),
      async (grants: IdentityGrant[], bound, asked) => {
        const client = {
          id: "orders",
          system: "orders",
          keys: [],
          grantTypes: ["client_credentials"],
          isPublic: false,
          lives: defaultTokens,
          redirectUris: [],
          certificates: [],
        };
        const scope =
          asked === null || asked.length === 0 ? undefined : asked.map((name) => `billing:${name}`).join(" ");
        const verdict = decideIssuance({
          issuer,
          client,
          resources: [`${issuer}/systems/billing`],
          scope,
          binding: bound,
          grants: () => grants,
          now,
        });
        if (verdict.kind === "refuse") return;
        const { claims } = await mint({ ...verdict.decision, clearance: decision().clearance }, signer, ports);
        const live = grants.filter((one) => (one.expiresAtMs ?? 0) > now);
        for (const one of claims.scope?.split(" ") ?? [])
          assert.ok(live.some((candidate) => candidate.scopes.includes(one)));
        const proof = bound.kind === "none" ? "bearer" : bound.kind;
        const honouring = live.filter(
          (one) => one.proof.includes(proof) && one.expiresAtMs !== undefined && claims.exp * 1000 <= one.expiresAtMs,
        );
        assert.ok(honouring.length > 0);
        if (proof === "bearer")
          assert.ok(honouring.some((one) => one.bearerUntilMs !== undefined && claims.exp * 1000 <= one.bearerUntilMs));
        assert.equal(claims.cnf === undefined, proof === "bearer");
      },
    ),
    { seed: 11, numRuns: 500 },
  );
});

test("a resource names a system of this issuer in exactly one spelling", () => {
  assert.equal(systemOfResource(issuer, `${issuer}/systems/billing`), "billing");
  for (const other of [
    `${issuer}/systems/`,
    `${issuer}/systems/a/b`,
    `${issuer}/systems/A`,
    `${issuer}/systems/a?x`,
    `${issuer}x/systems/a`,
    ` ${issuer}/systems/a`,
  ]) {
    assert.equal(systemOfResource(issuer, other), null, other);
  }
});
