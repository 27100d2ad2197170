// What a provider's own token may say: nothing beyond what its caller was let through for, whatever is asked and whoever acts (docs/identity/next-hop.md).
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Actor } from "@sallyport/protocol/principal.ts";
import { claimActor, claimGrants } from "@sallyport/protocol/token/claim-types.ts";
import fc from "fast-check";
import { defaultTokens } from "../../registry/config/tokens-schema.ts";
import type { IdentityClient, IdentityGrant } from "../directory.ts";
import { actorsOf, type SubjectToken } from "../exchange/decide-exchange.ts";
import { decideNextHop, type NextHopQuestion } from "./decide-next-hop.ts";

const issuer = "https://id.example/main/production";
const gateway = "gateway:edge";
const now = 1_800_000_000_500;
const hopKey = "A".repeat(43);
const client = (id: string, system: string): IdentityClient => ({
  ...{ id, system, keys: [], grantTypes: [], isPublic: false, redirectUris: [], certificates: [] },
  lives: defaultTokens,
});
const clients = new Map([client("portal", "shop"), client("batch", "jobs")].map((one) => [one.id, one]));
const grant: IdentityGrant = {
  integration: "shop-to-billing",
  scopes: ["billing:invoice.read", "billing:invoice.create"],
  proof: ["dpop"],
};
const subject: SubjectToken = {
  from: "own",
  sub: "usr_ana",
  client: "portal",
  audience: `${issuer}/systems/billing`,
  scopes: null,
  expiresAtMs: now + 200_000,
  id: "jti-1",
  gid: ["grt_1"],
  sid: "ses_1",
  acr: "mfa",
  authTime: 1_799_999_000,
};

interface Over {
  readonly subject?: Partial<SubjectToken> | null;
  readonly grant?: Partial<IdentityGrant>;
  readonly rule?: Partial<NextHopQuestion["rule"]>;
  readonly question?: Partial<NextHopQuestion>;
}
const questionOf = (over: Over = {}): NextHopQuestion => ({
  issuer,
  gateway,
  wanted: { provider: "billing", operation: "invoice.read", integration: "shop-to-billing" },
  rule: { actor: "gateway", ...over.rule },
  from: "shop",
  subject: over.subject === null ? null : { ...subject, ...over.subject },
  directory: {
    clients,
    grants: (from, to) => (from === "shop" && to === "billing" ? [{ ...grant, ...over.grant }] : []),
  },
  hopKey,
  now,
  ...over.question,
});
const codeOf = (over: Over = {}): string => {
  const verdict = decideNextHop(questionOf(over));
  return verdict.kind === "refuse" ? verdict.code : verdict.kind;
};
const decided = (over: Over = {}) => {
  const verdict = decideNextHop(questionOf(over));
  assert.ok(verdict.kind === "decided", JSON.stringify(verdict));
  return verdict.decision;
};

test("it says the subject, the gateway as actor before the caller, the one operation, and the lineage of the caller's token", () => {
  const decision = decided();
  assert.deepEqual(decision.subject, { id: "usr_ana", session: "ses_1", acr: "mfa", authTime: 1_799_999_000 });
  assert.deepEqual(decision.act, { sub: gateway, act: { sub: "portal" } });
  assert.deepEqual([decision.client, decision.scopes], [gateway, ["billing:invoice.read"]]);
  assert.deepEqual(decision.grants, ["grt_1", "cli_portal", "xch_jti-1"]);
  assert.deepEqual(decision.binding, { kind: "dpop", jkt: hopKey });
  assert.equal(decision.lifetimeSeconds, 200);
});

test("`actor: caller` leaves the gateway out, and nobody is named twice", () => {
  assert.deepEqual(decided({ rule: { actor: "caller" } }).act, { sub: "portal" });
  const machine = { sub: "portal", gid: [] };
  assert.equal(decided({ rule: { actor: "caller" }, subject: machine }).act, undefined);
  assert.deepEqual(decided({ subject: machine }).act, { sub: gateway });
  const act = { sub: "portal", act: { sub: "app" } };
  assert.deepEqual(decided({ subject: { act } }).act, { sub: gateway, act });
});

test("denied by default: another integration, operation, provider or system, an integration that ended, no token", () => {
  const wanted = { provider: "billing", operation: "invoice.read", integration: "shop-to-billing" };
  for (const change of [{ provider: "ledger" }, { operation: "invoice.void" }, { integration: "other" }])
    assert.equal(codeOf({ question: { wanted: { ...wanted, ...change } } }), "next-hop-not-granted");
  assert.equal(codeOf({ question: { from: "jobs" } }), "next-hop-not-granted");
  assert.equal(codeOf({ grant: { expiresAtMs: now } }), "next-hop-not-granted");
  assert.equal(codeOf({ subject: null }), "subject-token-missing");
  assert.equal(codeOf({ question: { hopKey: null } }), "exchange-unbound");
});

test("attack: a token for another provider, of another system's client or of another issuer is nothing a gateway could have been shown here", () => {
  assert.equal(codeOf({ subject: { audience: `${issuer}/systems/ledger` } }), "subject-not-yours");
  assert.equal(codeOf({ subject: { audience: `${issuer}/systems/shop` } }), "subject-not-yours");
  assert.equal(codeOf({ subject: { client: "batch" } }), "subject-not-yours");
  assert.equal(codeOf({ subject: { client: "gone" } }), "subject-not-yours");
  assert.equal(codeOf({ subject: { client: gateway } }), "subject-not-yours");
  assert.equal(codeOf({ subject: { from: "keycloak", client: null, audience: null } }), "subject-not-yours");
});

test("attack: privilege gain through scope: what the caller's token does not carry, the provider's never says", () => {
  assert.equal(codeOf({ subject: { scopes: ["billing:invoice.create"] } }), "exchange-scope");
  assert.equal(codeOf({ subject: { scopes: [] } }), "exchange-scope");
  const both = { scopes: ["billing:invoice.create", "billing:invoice.read"] };
  assert.deepEqual(decided({ subject: both }).scopes, ["billing:invoice.read"]);
});

test("attack: an actor chain that is too deep, or one in which the gateway acts already", () => {
  const chain = (length: number): Actor => ({ sub: `a${length}`, ...(length > 1 ? { act: chain(length - 1) } : {}) });
  assert.equal(codeOf({ subject: { act: chain(6) } }), "decided");
  assert.equal(codeOf({ subject: { act: chain(7) } }), "exchange-depth");
  assert.equal(codeOf({ rule: { actor: "caller" }, subject: { act: chain(7) } }), "decided");
  assert.equal(codeOf({ rule: { actor: "caller" }, subject: { act: chain(8) } }), "exchange-depth");
  assert.equal(codeOf({ subject: { gid: Array.from({ length: 8 }, (_, n) => `xch_${n}`) } }), "exchange-depth");
  assert.equal(codeOf({ subject: { act: { sub: "portal", act: { sub: gateway } } } }), "exchange-loop");
  assert.equal(codeOf({ subject: { sub: gateway } }), "exchange-loop");
});

test("a bearer token is for a provider that says so, and none outlives its day", () => {
  const bearer = (untilMs: number) => ({ rule: { bearer: { reason: "a test", untilMs } } });
  const decision = decided(bearer(now + 90_000));
  assert.deepEqual([decision.binding, decision.lifetimeSeconds], [{ kind: "none" }, 90]);
  assert.equal(codeOf(bearer(now)), "next-hop-ended");
});

test("client_credentials at the provider's own server need nobody's token, and speak for nobody", () => {
  const outside = {
    ...{ uri: "https://login.example/token", allowPrivate: false, grant: "client-credentials" as const },
    ...{ client: "acme", audience: "https://login.example", scope: [] },
  };
  const rule = { outside, bearer: { reason: "a test", untilMs: now + 86_400_000 } };
  const decision = decided({ rule, subject: null });
  assert.deepEqual([decision.subject, decision.act, decision.grants], [undefined, undefined, undefined]);
  assert.equal(decision.lifetimeSeconds, 300);
  assert.equal(codeOf({ rule, subject: null, question: { from: "jobs" } }), "next-hop-not-granted");
});

test("over generated tokens: never beyond the operation, never later than anything it stands on, and always in a form a verifier takes", () => {
  const id = fc.stringMatching(/^[a-z]{1,6}$/);
  const actor: fc.Arbitrary<Actor> = fc
    .array(id, { minLength: 1, maxLength: 9 })
    .map((names) => names.slice(1).reduce<Actor>((act, sub) => ({ sub, act }), { sub: names[0] ?? "" }));
  const over = fc.record({
    subject: fc.record(
      {
        sub: fc.oneof(fc.constant("portal"), id),
        scopes: fc.option(fc.subarray(["billing:invoice.read", "billing:invoice.create", "orders:x.y"])),
        expiresAtMs: fc.integer({ min: now - 5_000, max: now + 900_000 }),
        gid: fc.uniqueArray(fc.stringMatching(/^(grt|xch|cli)_[a-z]{1,4}$/), { maxLength: 17 }),
        act: actor,
      },
      { requiredKeys: ["sub", "scopes", "expiresAtMs", "gid"] },
    ),
    grant: fc.record({ expiresAtMs: fc.integer({ min: now - 5_000, max: now + 900_000 }) }),
    rule: fc.record({ actor: fc.constantFrom("gateway" as const, "caller" as const) }),
  });
  let made = 0;
  const property = fc.property(over, (generated) => {
    const verdict = decideNextHop(questionOf(generated));
    if (verdict.kind === "refuse") return;
    made++;
    const { scopes, lifetimeSeconds, act, grants, subject: facts } = verdict.decision;
    assert.deepEqual(scopes, ["billing:invoice.read"]);
    assert.ok(generated.subject.scopes === null || generated.subject.scopes.includes("billing:invoice.read"));
    const endMs = (Math.floor(now / 1000) + lifetimeSeconds) * 1000;
    assert.ok(endMs <= Math.min(generated.subject.expiresAtMs, generated.grant.expiresAtMs), "ends no later");
    assert.ok(lifetimeSeconds >= 1 && lifetimeSeconds <= defaultTokens.machineSeconds);
    assert.equal(facts?.id, generated.subject.sub);
    assert.ok(act === undefined || claimActor(JSON.parse(JSON.stringify(act))) !== undefined);
    assert.ok(claimGrants(grants) !== undefined);
    for (const one of generated.subject.gid) assert.ok(grants?.includes(one), "no lineage is lost");
    const before = actorsOf(generated.subject.act);
    assert.deepEqual(actorsOf(act).slice(actorsOf(act).length - before.length), before, "no actor is lost");
  });
  fc.assert(property, { seed: 21, numRuns: 3_000 });
  assert.ok(made > 200, `${made} were let pass`);
});
