import assert from "node:assert/strict";
import { test } from "node:test";
import type { Actor } from "@sallyport/protocol/principal.ts";
import { revocablesOf } from "@sallyport/protocol/token/access-token.ts";
import { claimActor, claimGrants } from "@sallyport/protocol/token/claim-types.ts";
import fc from "fast-check";
import { defaultTokens } from "../../registry/config/tokens-schema.ts";
import type { IdentityGrant } from "../directory.ts";
import {
  actorsOf,
  decideExchange,
  type ExchangeRequest,
  type ExchangeRule,
  type SubjectToken,
} from "./decide-exchange.ts";

const issuer = "https://id.example/main/production";
const now = 1_800_000_000_500;
const jkt = "A".repeat(43);
const otherJkt = "B".repeat(43);
const portal = {
  id: "portal",
  system: "shop",
  keys: [],
  grantTypes: [],
  isPublic: false,
  lives: defaultTokens,
  redirectUris: [],
  certificates: [],
};

const rule: ExchangeRule = {
  subject: "own",
  as: "delegate",
  operations: ["billing:invoice.read", "billing:invoice.create"],
  depth: 1,
  binding: "rebind",
};
const grant: IdentityGrant = {
  integration: "shop-to-billing",
  scopes: ["billing:invoice.read", "billing:invoice.create", "billing:invoice.void"],
  proof: ["dpop", "mtls"],
  exchange: [rule],
};
const subject: SubjectToken = {
  from: "own",
  sub: "usr_ana",
  client: "portal",
  audience: `${issuer}/systems/orders`,
  scopes: null,
  expiresAtMs: now + 200_000,
  id: "jti-1",
  gid: ["grt_1"],
  jkt,
  sid: "ses_1",
  acr: "mfa",
  authTime: 1_799_999_000,
};
interface Over {
  readonly subject?: Partial<SubjectToken>;
  readonly rule?: Partial<ExchangeRule>;
  readonly grant?: Partial<IdentityGrant>;
  readonly request?: Partial<ExchangeRequest>;
}
const requestOf = (over: Over = {}): ExchangeRequest => ({
  issuer,
  client: portal,
  subject: { ...subject, ...over.subject },
  resources: [`${issuer}/systems/billing`],
  scope: undefined,
  binding: { kind: "dpop", jkt },
  grants: (from, to) =>
    from === "shop" && to === "billing" ? [{ ...grant, exchange: [{ ...rule, ...over.rule }], ...over.grant }] : [],
  now,
  ...over.request,
});
const codeOf = (over: Over = {}): string => {
  const verdict = decideExchange(requestOf(over));
  return verdict.kind === "refuse" ? verdict.code : "exchange";
};
const decided = (over: Over = {}) => {
  const verdict = decideExchange(requestOf(over));
  assert.ok(verdict.kind === "exchange", JSON.stringify(verdict));
  return verdict.decision;
};

test("a delegated token names subject, actor, lineage and session, and ends with the subject token", () => {
  const decision = decided();
  assert.equal(decision.subject, "usr_ana");
  assert.deepEqual(decision.act, { sub: "portal" });
  assert.deepEqual(decision.gid, ["grt_1", "xch_jti-1"]);
  assert.deepEqual(decision.scopes, ["billing:invoice.read", "billing:invoice.create"]);
  assert.equal(decision.lifetimeSeconds, 200);
  assert.deepEqual([decision.sid, decision.acr, decision.authTime], ["ses_1", "mfa", 1_799_999_000]);
});

test("exchange is denied by default: no integration, no rule, a rule for another issuer, an integration that ended, two rules", () => {
  assert.equal(codeOf(), "exchange");
  assert.equal(codeOf({ request: { grants: () => [] } }), "exchange-not-granted");
  assert.equal(codeOf({ grant: { exchange: [] } }), "exchange-not-granted");
  assert.equal(codeOf({ subject: { from: "keycloak" } }), "exchange-not-granted");
  assert.equal(codeOf({ grant: { expiresAtMs: now } }), "exchange-not-granted");
  assert.equal(codeOf({ grant: { exchange: [rule, rule] } }), "exchange-not-granted");
  for (const resource of [
    issuer,
    `${issuer}/systems/orders`,
    `${issuer}/systems/billing/`,
    "https://id.example/main/staging/systems/billing",
  ])
    assert.equal(codeOf({ request: { resources: [resource] } }), "exchange-not-granted", resource);
  assert.equal(codeOf({ request: { resources: [] } }), "resource-missing");
  assert.equal(
    codeOf({ request: { resources: [`${issuer}/systems/billing`, `${issuer}/systems/billing`] } }),
    "resource-many",
  );
});

test("exchange escalation across clients: a token of another client for another system is worth nothing here", () => {
  assert.equal(codeOf({ subject: { client: "evil" } }), "subject-not-yours");
  assert.equal(codeOf({ subject: { client: "evil", audience: `${issuer}/systems/shop` } }), "exchange");
  assert.equal(codeOf({ subject: { client: "evil", audience: `${issuer}/systems/shop2` } }), "subject-not-yours");
});

test("may_act bypass: only the named party of this issuer may act for the subject", () => {
  assert.equal(codeOf({ subject: { mayAct: { sub: "portal" } } }), "exchange");
  assert.equal(codeOf({ subject: { mayAct: { sub: "portal", iss: issuer } } }), "exchange");
  assert.equal(codeOf({ subject: { mayAct: { sub: "other" } } }), "exchange-may-act");
  assert.equal(codeOf({ subject: { mayAct: { sub: "portal", iss: "https://evil.example" } } }), "exchange-may-act");
  assert.equal(codeOf({ subject: { mayAct: { sub: "other" } }, rule: { as: "impersonate" } }), "exchange-may-act");
});

test("loops and depth: an actor acts once, and no longer a chain than the rule says", () => {
  assert.equal(codeOf({ subject: { sub: "portal" } }), "exchange-loop");
  assert.equal(codeOf({ subject: { act: { sub: "a", act: { sub: "portal" } } } }), "exchange-loop");
  assert.equal(codeOf({ subject: { act: { sub: "portal" } }, rule: { as: "impersonate" } }), "exchange-loop");
  const once = { gid: ["grt_1", "xch_j"], act: { sub: "a" } };
  assert.equal(codeOf({ subject: once }), "exchange-depth");
  assert.equal(codeOf({ subject: once, rule: { depth: 2 } }), "exchange");
  // Impersonation leaves no actor, but every exchange counts.
  assert.equal(codeOf({ subject: { gid: ["grt_1", "xch_j"] }, rule: { as: "impersonate" } }), "exchange-depth");
  const full = { gid: ["g", ...Array.from({ length: 15 }, (_, at) => `x${at}`)] };
  assert.equal(codeOf({ subject: full, rule: { depth: 99 } }), "exchange-depth");
});

test("binding: never unbound, kept means the very key of the subject token, rebound only where the rule says so", () => {
  const keep = { binding: "keep" } as const;
  assert.equal(codeOf({ request: { binding: { kind: "none" } } }), "exchange-unbound");
  assert.equal(
    codeOf({ request: { binding: { kind: "none" } }, grant: { proof: ["bearer"], bearerUntilMs: now + 1e9 } }),
    "exchange-unbound",
  );
  assert.equal(codeOf({ rule: keep }), "exchange");
  assert.equal(codeOf({ rule: keep, request: { binding: { kind: "dpop", jkt: otherJkt } } }), "exchange-binding");
  assert.equal(codeOf({ rule: keep, request: { binding: { kind: "mtls", x5t: jkt } } }), "exchange-binding");
  assert.equal(codeOf({ rule: keep, subject: { x5t: otherJkt } }), "exchange-binding");
  assert.deepEqual(decided({ request: { binding: { kind: "dpop", jkt: otherJkt } } }).binding, {
    kind: "dpop",
    jkt: otherJkt,
  });
  const { jkt: _, ...unbound } = subject;
  const verdict = decideExchange({ ...requestOf({ rule: keep }), subject: unbound });
  assert.equal(verdict.kind === "refuse" ? verdict.code : "", "exchange-binding");
});

test("a subject token that brings nothing here is told so, not that its client asked for too much", () => {
  const said = (over: Over) => {
    const verdict = decideExchange(requestOf(over));
    return verdict.kind === "refuse" ? verdict.description : "";
  };
  assert.match(said({ subject: { scopes: ["orders:order.ship"] } }), /subject token brings nothing/);
  assert.match(said({ request: { scope: "billing:invoice.void" } }), /scope goes beyond/);
});

test("the scope table: own without and with scope, outside with and without carries, and a request never quietly narrowed", () => {
  const read = "billing:invoice.read";
  const carries = { "orders:order.ship": [read], "invoices.read": [read] };
  const scopesOf = (over: Over) => {
    const verdict = decideExchange(requestOf(over));
    return verdict.kind === "refuse" ? verdict.code : verdict.decision.scopes.join(" ");
  };
  assert.equal(scopesOf({ subject: { scopes: [read, "orders:order.read"] } }), read);
  assert.equal(scopesOf({ subject: { scopes: ["orders:order.ship"] } }), "exchange-scope");
  assert.equal(scopesOf({ subject: { scopes: ["orders:order.ship"] }, rule: { carries } }), read);
  assert.equal(scopesOf({ subject: { scopes: ["constructor"] }, rule: { carries } }), "exchange-scope");
  const outside = { from: "keycloak", client: null, audience: null };
  const by = { subject: "keycloak" };
  assert.equal(scopesOf({ subject: { ...outside, scopes: ["openid"] }, rule: by }), rule.operations.join(" "));
  assert.equal(
    scopesOf({ subject: { ...outside, scopes: ["openid", "invoices.read"] }, rule: { ...by, carries } }),
    read,
  );
  assert.equal(scopesOf({ subject: { ...outside, scopes: [read] }, rule: { ...by, carries } }), "exchange-scope");
  assert.equal(scopesOf({ subject: { ...outside, scopes: null }, rule: { ...by, carries } }), "exchange-scope");
  assert.equal(scopesOf({ request: { scope: read } }), read);
  assert.equal(scopesOf({ request: { scope: `${read} billing:invoice.void` } }), "exchange-scope");
  assert.equal(scopesOf({ request: { scope: `${read}  x` } }), "scope-malformed");
  assert.equal(scopesOf({ request: { scope: "x ".repeat(500_000) } }), "scope-malformed");
});

test("what an outside issuer says of session and authentication is not handed on", () => {
  const decision = decided({
    subject: { from: "keycloak", client: null, audience: null },
    rule: { subject: "keycloak" },
  });
  assert.deepEqual([decision.sid, decision.acr, decision.authTime], [undefined, undefined, undefined]);
});

const operations = ["a", "b", "c", "d"].map((name) => `billing:${name}`);
const words = [...operations, "orders:x", "openid"];
/** Mostly what is accepted, so that the promises about accepted exchanges are held against many. */
const seldom = <T>(usual: T, other: T) =>
  fc.oneof({ weight: 9, arbitrary: fc.constant(usual) }, { weight: 1, arbitrary: fc.constant(other) });
const actor = fc.oneof(
  { weight: 30, arbitrary: fc.constantFrom("svc-a", "svc-b", "svc-c") },
  { weight: 1, arbitrary: fc.constant("portal") },
);
const chain = fc
  .array(actor, { maxLength: 9 })
  .map((subs) =>
    subs.reduceRight<Actor | undefined>((act, sub) => ({ sub, ...(act === undefined ? {} : { act }) }), undefined),
  );
const generated = fc.record({
  from: fc.constantFrom("own", "keycloak"),
  isRuled: seldom(true, false),
  as: fc.constantFrom("delegate" as const, "impersonate" as const),
  binding: fc.constantFrom("keep" as const, "rebind" as const),
  depth: fc.integer({ min: 1, max: 8 }),
  ceiling: fc.subarray(operations, { minLength: 2 }),
  granted: fc.subarray(operations, { minLength: 2 }),
  carries: fc.option(fc.dictionary(fc.constantFrom(...words), fc.subarray(operations)), { nil: undefined }),
  scopes: fc.option(fc.subarray(words), { nil: null }),
  asked: fc.option(fc.subarray(words, { minLength: 1, maxLength: 2 }), { nil: undefined, freq: 1 }),
  expiresIn: fc.integer({ min: -50_000, max: 700_000 }),
  grantEndsIn: fc.option(fc.integer({ min: -50_000, max: 700_000 }), { nil: undefined }),
  sub: seldom("usr_ana", "portal"),
  act: chain,
  exchanges: fc.integer({ min: 0, max: 9 }).map((many) => Math.floor((many * many) / 9)),
  hasRoot: fc.boolean(),
  proven: fc.oneof({ weight: 9, arbitrary: fc.constant(jkt) }, fc.constant(otherJkt), fc.constant(null)),
  client: seldom("portal", "other"),
  audience: fc.constantFrom("shop", "orders"),
});

test("for every input: scope within subject, client, resource and rule; exp not later; actors appended; lineage kept; always bound", () => {
  let exchanged = 0;
  fc.assert(
    fc.property(generated, (on) => {
      const behind = Array.from({ length: on.exchanges }, (_, at) => [
        ...(at % 2 === 0 ? [`cli_c${at}`] : []),
        `xch_${at}`,
      ]);
      const gid = [...(on.hasRoot ? ["grt_1"] : []), ...behind.flat()];
      const { act: _, ...plain } = subject;
      const request = requestOf({
        rule: {
          subject: on.isRuled ? on.from : "partner",
          as: on.as,
          binding: on.binding,
          depth: on.depth,
          operations: on.ceiling,
          ...(on.carries === undefined ? {} : { carries: on.carries }),
        },
        request: {
          subject: {
            ...plain,
            from: on.from,
            sub: on.sub,
            client: on.from === "own" ? on.client : null,
            audience: on.from === "own" ? `${issuer}/systems/${on.audience}` : null,
            scopes: on.scopes,
            expiresAtMs: now + on.expiresIn,
            gid,
            ...(on.act === undefined ? {} : { act: on.act }),
          },
          scope: on.asked?.join(" "),
          binding: on.proven === null ? { kind: "none" } : { kind: "dpop", jkt: on.proven },
        },
        grant: { scopes: on.granted, ...(on.grantEndsIn === undefined ? {} : { expiresAtMs: now + on.grantEndsIn }) },
      });
      const verdict = decideExchange(request);
      if (verdict.kind === "refuse") return;
      exchanged++;
      const { decision } = verdict;
      assert.ok(on.isRuled);
      assert.ok(decision.scopes.length > 0);
      for (const scope of decision.scopes) {
        assert.ok(on.granted.includes(scope) && on.ceiling.includes(scope));
        if (on.asked !== undefined) assert.ok(on.asked.includes(scope));
        const carried = (on.scopes ?? []).some((word) => on.carries?.[word]?.includes(scope));
        const brought =
          on.from === "own"
            ? on.scopes === null || on.scopes.includes(scope) || carried
            : on.carries === undefined || carried;
        assert.ok(brought, `${scope} was not brought`);
      }
      const exp = Math.floor(now / 1000) + decision.lifetimeSeconds;
      assert.ok(exp * 1000 <= now + on.expiresIn && decision.lifetimeSeconds >= 1 && decision.lifetimeSeconds <= 300);
      if (on.grantEndsIn !== undefined) assert.ok(exp * 1000 <= now + on.grantEndsIn);
      const before = actorsOf(on.act);
      assert.deepEqual(actorsOf(decision.act), on.as === "delegate" ? ["portal", ...before] : before);
      assert.ok(!before.includes("portal") && on.sub !== "portal");
      const holder = on.from === "own" && on.client !== "portal" ? [`cli_${on.client}`] : [];
      assert.deepEqual(decision.gid, [...gid, ...holder, "xch_jti-1"]);
      assert.ok(claimGrants(decision.gid) !== undefined, "a verifier reads the lineage");
      assert.ok(decision.act === undefined || claimActor(decision.act) !== undefined, "a verifier reads the chain");
      assert.ok(on.exchanges + 1 <= on.depth);
      assert.ok(decision.binding.kind === "dpop" && (on.binding === "rebind" || decision.binding.jkt === jkt));
      assert.equal(decision.subject, on.sub);
      if (on.from === "own") assert.ok(on.client === "portal" || on.audience === "shop");
    }),
    { seed: 8693, numRuns: 5_000 },
  );
  assert.ok(exchanged > 300, `the generator reaches exchanges (${exchanged})`);
});

test("property: revoking a client ends every token that descends from one of its own, however far, and no token that does not", () => {
  let ended = 0;
  let spared = 0;
  const step = fc.record({
    client: fc.constantFrom("a", "b", "c", "d", "e", "f"),
    as: fc.constantFrom("delegate", "impersonate"),
  });
  fc.assert(
    fc.property(
      fc.array(step, { minLength: 1, maxLength: 8 }),
      fc.constantFrom("portal", "a", "b", "c"),
      (steps, revoked) => {
        let token: SubjectToken = { ...subject, client: "first", gid: [], id: "t0" };
        const holders = new Set(["first"]);
        for (const [at, { client, as }] of steps.entries()) {
          const verdict = decideExchange(
            requestOf({
              subject: { ...token, audience: `${issuer}/systems/shop` },
              rule: { as: as === "delegate" ? "delegate" : "impersonate", depth: 8 },
              request: { client: { ...portal, id: client } },
            }),
          );
          if (verdict.kind === "refuse") {
            assert.equal(verdict.code, "exchange-loop");
            continue;
          }
          const { gid, act } = verdict.decision;
          const { act: _, ...rest } = token;
          token = { ...rest, client, id: `t${at + 1}`, gid, ...(act === undefined ? {} : { act }) };
          holders.add(client);
        }
        const claims = {
          ...{ iss: issuer, sub: token.sub, aud: `${issuer}/systems/billing`, iat: 1, exp: 2, jti: token.id },
          client_id: token.client ?? "",
          gid: claimGrants([...token.gid, "grt_root"]) ?? assert.fail("a verifier reads the lineage"),
        };
        const isEnded = revocablesOf(claims, "k").some(({ kind, value }) => kind === "client" && value === revoked);
        assert.equal(isEnded, holders.has(revoked));
        if (isEnded) ended++;
        else spared++;
      },
    ),
    { seed: 8693, numRuns: 2_000 },
  );
  assert.ok(ended > 300 && spared > 300, `${ended} ended, ${spared} spared`);
});
