import assert from "node:assert/strict";
import { generateKeyPairSync, randomBytes, sign } from "node:crypto";
import { after, before, describe, test } from "node:test";
import { forEachDialect } from "@sallyport/kernel/store/for-each-dialect.ts";
import type { Store } from "@sallyport/kernel/store/port.ts";
import { createTokenCrypto, sha256 } from "@sallyport/kernel/token-crypto.ts";
import type { AccessTokenClaims } from "@sallyport/protocol/token/claims.ts";
import { readOutsideKeys } from "@sallyport/protocol/token/outside-jwk.ts";
import { outsideSubject, outsideTokenId } from "@sallyport/protocol/token/outside-subject.ts";
import type { IssuerConfig } from "../../registry/config/estate.ts";
import { type ClientKey, type Directory, directoryOf } from "../directory.ts";
import { clock, random, startEstate, type TestEstate } from "../estate.test-support.ts";
import { assertion, dpopProof, form, send, type TestAnswer, type TestKey, testKey } from "../issuer.test-support.ts";
import { type ClearedDecision, mint } from "../mint.ts";
import type { IdentityCommands } from "../store.ts";
import type { TrustCommands } from "../trust/store.ts";
import { createTrustedIssuers, type TrustedIssuers } from "../trust/trusted-issuers.ts";
import { type ExchangeRule, tokenExchangeGrantType } from "./decide-exchange.ts";
import { tokenExchange } from "./exchange-grant.ts";
import { type ExchangeCommands, isRevokedIn } from "./revoked.ts";
import { accessTokenUrn, jwtUrn } from "./subject-token.ts";

type Commands = IdentityCommands & TrustCommands & ExchangeCommands;
const realm = "https://keycloak.example/realms/shop";
const pair = generateKeyPairSync("rsa", { modulusLength: 2048 });
const published = readOutsideKeys(
  Buffer.from(JSON.stringify({ keys: [{ ...pair.publicKey.export({ format: "jwk" }), kid: "k1", alg: "RS256" }] })),
  ["RS256"],
  { sha256 },
);
const keycloak: IssuerConfig = {
  id: "keycloak",
  url: realm,
  kind: "keycloak",
  algorithms: ["RS256"],
  audiences: ["sallyport"],
  companions: ["account"],
  parties: ["shop-frontend"],
  lifetimeSecondsMax: 3_600,
  keys: { from: "file", keys: published?.keys ?? [] },
  systems: [],
  declaredAt: { file: "issuers/keycloak.yaml", line: 1, column: 1 },
};
const encode = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString("base64url");
const thumbOf = ({ kid }: TestKey): string => kid;

/** A token of the realm for a user of its client `shop-frontend`. */
const outside = (over: Record<string, unknown> = {}): string => {
  const now = Math.floor(Date.now() / 1000);
  const claims = {
    iss: realm,
    sub: "f:1234:ana@acme.example",
    aud: ["sallyport", "account"],
    azp: "shop-frontend",
    typ: "Bearer",
    iat: now,
    exp: now + 60,
    jti: randomBytes(6).toString("hex"),
    sid: "kc",
    acr: "1",
    scope: "openid email",
    ...over,
  };
  const input = `${encode({ alg: "RS256", typ: "JWT", kid: "k1" })}.${encode(claims)}`;
  return `${input}.${sign("sha256", Buffer.from(input), pair.privateKey).toString("base64url")}`;
};

interface Started {
  readonly estate: TestEstate;
  readonly store: Store<Commands>;
}

const orders = testKey();
const billing = testKey();
const analytics = testKey();
const keysOf: Readonly<Record<string, TestKey>> = { orders, billing, analytics };

function directoryWith(own: Partial<Omit<ExchangeRule, "carries">> = {}): Directory {
  const rule = {
    subject: "own",
    as: "delegate",
    operations: ["invoice.read", "invoice.create"],
    depth: 1,
    binding: "keep",
    ...own,
  } as const;
  const integration = (
    from: string,
    to: string,
    operations: readonly string[],
    exchange: readonly (typeof rule)[] = [],
  ) => ({
    id: `${from}-to-${to}`,
    from,
    to,
    proof: ["dpop", "mtls"] as const,
    operations: operations.map((name) => ({ name })),
    ...(exchange.length === 0 ? {} : { exchange }),
  });
  const system = (id: string) => ({ id, clients: [{ id, keys: [] }], certificates: [] });
  return directoryOf({
    systems: ["orders", "billing", "analytics", "ledger"].map(system),
    integrations: [
      integration(
        "orders",
        "billing",
        ["invoice.read", "invoice.create", "invoice.void"],
        [rule, { ...rule, subject: "keycloak", binding: "rebind" }],
      ),
      integration(
        "billing",
        "ledger",
        ["entry.write"],
        [{ ...rule, operations: ["entry.write"], binding: "rebind", depth: own.depth ?? 1 }],
      ),
      integration("analytics", "billing", ["invoice.read"]),
    ],
    isActive: () => true,
    rows: new Map(Object.entries(keysOf).map(([id, key]): [string, ClientKey[]] => [id, [{ jwk: key.jwk }]])),
  });
}

async function start(store: Store<Commands>): Promise<Started> {
  let estate: TestEstate | null = null;
  const trustedBy = (issuer: string): TrustedIssuers => {
    const environment = issuer.endsWith("/production") ? "production" : "staging";
    const fetchJwks = () => Promise.reject(new Error("keys are in a file"));
    const trusted = createTrustedIssuers(issuer, {
      tenant: "main",
      environment,
      store,
      clock,
      random,
      fetchJwks,
      issuerKeysChanged: () => assert.fail("keys are in a file"),
      fault: (error) => assert.fail(String(error)),
    });
    trusted.use([keycloak], []);
    return trusted;
  };
  estate = await startEstate(store, ({ issuer }) => ({
    grants: [
      tokenExchange({
        issuer,
        keys: () => estate?.production.ring.view().keys ?? [],
        trusted: trustedBy(issuer),
        crypto: createTokenCrypto(),
        read: async (text) => text,
        isRevoked: (token) => isRevokedIn(store, { tenant: "main", environment: "production" }, token),
      }),
    ],
  }));
  estate.production.directory = directoryWith();
  return { estate, store };
}

forEachDialect((_dialect, open) => {
  describe("token exchange", () => {
    let on: Started;
    before(async () => {
      on = await start(await open({ commands: new URL("../commands.test-support.ts", import.meta.url) }));
    });
    after(() => on.estate.close());

    /** A token as `mint` makes it for a user that signed in at `orders`. */
    const userToken = async (over: Partial<ClearedDecision> = {}) => {
      const { issuer, ring, record } = on.estate.production;
      const { signer } = ring.view();
      assert.ok(signer !== null);
      const decision: ClearedDecision = {
        issuer,
        client: "orders",
        audience: `${issuer}/systems/billing`,
        scopes: null,
        ceiling: new Set(["billing:invoice.read"]),
        integrations: ["orders-to-billing"],
        clearance: { grantType: "authorization_code", policies: [] },
        binding: { kind: "dpop", jkt: thumbOf(on.estate.holder) },
        lifetimeSeconds: 120,
        subject: { id: "usr_ana", session: "ses_1", acr: "mfa", authTime: 1_700_000_000 },
        grants: [`grt_${randomBytes(6).toString("hex")}`],
        ...over,
      };
      return mint(decision, signer, { clock, random, record });
    };
    interface Ask {
      readonly client?: string;
      readonly over?: Record<string, string | readonly string[]>;
      readonly holder?: TestKey;
    }
    const ask = async (
      token: string,
      { client = "orders", over = {}, holder = on.estate.holder }: Ask = {},
    ): Promise<TestAnswer> => {
      const { issuer } = on.estate.production;
      const bodyOf = () => {
        const body = form(client, assertion(client, issuer, keysOf[client] ?? orders), {
          grant_type: tokenExchangeGrantType,
          subject_token: token,
          subject_token_type: accessTokenUrn,
          resource: `${issuer}/systems/billing`,
        });
        for (const [name, value] of Object.entries(over)) {
          body.delete(name);
          for (const one of [value].flat()) body.append(name, one);
        }
        return body.toString();
      };
      const challenged = await send(`${issuer}/token`, on.estate.ca, {
        body: bodyOf(),
        headers: { dpop: dpopProof(holder, `${issuer}/token`, undefined) },
      });
      const nonce = challenged.headers["dpop-nonce"];
      if (challenged.body["error"] !== "use_dpop_nonce") return challenged;
      return send(`${issuer}/token`, on.estate.ca, {
        body: bodyOf(),
        headers: { dpop: dpopProof(holder, `${issuer}/token`, String(nonce)) },
      });
    };
    const refused = async (answer: Promise<TestAnswer>, code: string, error = "invalid_request"): Promise<void> => {
      const { status, body } = await answer;
      assert.deepEqual(
        [status, body["error"], body["access_token"]],
        [400, error, undefined],
        `${code}: ${JSON.stringify(body)}`,
      );
      const leaf = on.estate.production.leaves.at(-1);
      assert.ok(leaf?.t === "issuance" && leaf.verdict === "deny");
      assert.equal(leaf.code, code);
    };
    const claimsOf = ({ body }: TestAnswer): AccessTokenClaims =>
      JSON.parse(
        Buffer.from(String(body["access_token"]).split(".")[1] ?? "", "base64url").toString(),
      ) as AccessTokenClaims;

    test("delegates: subject kept, actor named, scope of the rule, end of the subject token, lineage, no refresh token, one record", async () => {
      const subject = await userToken();
      const before = on.estate.production.leaves.length;
      const answer = await ask(subject.token);
      assert.equal(answer.status, 200, JSON.stringify(answer.body));
      assert.deepEqual(
        [answer.body["issued_token_type"], answer.body["token_type"], answer.body["refresh_token"]],
        [accessTokenUrn, "DPoP", undefined],
      );
      const claims = claimsOf(answer);
      assert.deepEqual(
        [claims.sub, claims.client_id, claims.act, claims.sid, claims.acr],
        ["usr_ana", "orders", { sub: "orders" }, "ses_1", "mfa"],
      );
      assert.deepEqual(claims.gid, [...(subject.claims.gid ?? []), `xch_${subject.claims.jti}`]);
      assert.equal(claims.scope, "billing:invoice.read billing:invoice.create");
      assert.ok(claims.exp <= subject.claims.exp);
      assert.equal(claims.cnf?.jkt, thumbOf(on.estate.holder));
      const allowed = on.estate.production.leaves
        .slice(before)
        .filter((leaf) => leaf.t === "issuance" && leaf.verdict === "allow");
      assert.equal(allowed.length, 1);
    });

    test("a stolen user token is worth nothing to another client, nor to its own client without the key it is bound to", async () => {
      const { token } = await userToken();
      await refused(ask(token, { client: "analytics" }), "grant-type-not-allowed", "unauthorized_client");
      const foreign = await userToken({
        client: "analytics",
        audience: `${on.estate.production.issuer}/systems/ledger`,
      });
      await refused(ask(foreign.token), "subject-not-yours");
      await refused(ask(token, { holder: testKey() }), "exchange-binding");
    });

    test("scope escalation: nothing beyond the rule, and nothing is quietly narrowed", async () => {
      const { token } = await userToken();
      await refused(ask(token, { over: { scope: "billing:invoice.void" } }), "exchange-scope", "invalid_scope");
      const narrow = await userToken({ scopes: ["billing:invoice.read"] });
      await refused(
        ask(narrow.token, { over: { scope: "billing:invoice.create" } }),
        "exchange-scope",
        "invalid_scope",
      );
      assert.equal((await ask(narrow.token)).body["scope"], "billing:invoice.read");
      await refused(
        ask(token, { over: { resource: `${on.estate.production.issuer}/systems/ledger` } }),
        "exchange-not-granted",
        "invalid_target",
      );
    });

    test("a chain grows at its head, as far as the depth says, and no actor comes twice", async () => {
      const { estate } = on;
      const { issuer } = estate.production;
      const first = await ask((await userToken()).token);
      const again = { client: "billing", over: { resource: `${issuer}/systems/ledger` } };
      // Only what was exchanged for billing carries no scope of ledger: the rule gives nothing.
      await refused(ask(String(first.body["access_token"]), again), "exchange-depth");
      estate.production.directory = directoryWith({ depth: 2 });
      try {
        await refused(ask(String(first.body["access_token"]), again), "exchange-scope", "invalid_scope");
        const plain = await userToken({ act: { sub: "orders" }, grants: ["grt_9", "xch_9"] });
        const second = await ask(plain.token, again);
        assert.deepEqual(claimsOf(second).act, { sub: "billing", act: { sub: "orders" } });
        await refused(ask(String(second.body["access_token"])), "subject-not-yours");
        await refused(ask((await userToken({ act: { sub: "orders" } })).token), "exchange-loop");
      } finally {
        estate.production.directory = directoryWith();
      }
    });

    test("whatever revokes the subject token, or anything it descends from, ends the exchange and all that came of it", async () => {
      const { store } = on;
      const now = Date.now();
      const place = { tenant: "main", environment: "production" };
      const revoke = (kind: "jti" | "grant" | "session" | "subject" | "client", value: string) =>
        store.run("revoke", {
          ...place,
          kind,
          value,
          notBefore: now + 5_000,
          until: now + 600_000,
          actor: "operator:test",
        });
      for (const kind of ["jti", "grant", "session", "subject", "client"] as const) {
        const id = `${kind}-${randomBytes(4).toString("hex")}`;
        const { issuer } = on.estate.production;
        // Of another client, for the system of the one that exchanges: its client is no claim of what comes of it.
        const of = kind === "client" ? { client: `portal-${id}`, audience: `${issuer}/systems/orders` } : {};
        const named = { subject: { id: `usr_${id}`, session: `ses_${id}` }, grants: [`grt_${id}`] };
        const subject = await userToken({ ...named, ...of });
        const child = await ask(subject.token);
        assert.equal(child.status, 200, kind);
        const value = {
          jti: subject.claims.jti,
          grant: `grt_${id}`,
          session: `ses_${id}`,
          subject: `usr_${id}`,
          client: `portal-${id}`,
        }[kind];
        await revoke(kind, value);
        await refused(ask(subject.token), "subject-revoked");
        const signed = { kind: "signed", claims: claimsOf(child), kid: "k" } as const;
        assert.equal(await isRevokedIn(store, place, signed), true, `a descendant outlived its ${kind}`);
      }
      assert.equal((await ask((await userToken()).token)).status, 200);
    });

    test("what has ended is not prolonged, and what was forged, of another environment or of another kind is no subject token", async () => {
      const { estate } = on;
      const { token } = await userToken();
      const [head = "", payload = ""] = token.split(".");
      const altered = JSON.parse(Buffer.from(payload, "base64url").toString()) as Record<string, unknown>;
      const forged = `${head}.${encode({ ...altered, sub: "usr_root" })}.${token.split(".")[2]}`;
      await refused(ask(forged), "subject-token-signature");
      await refused(ask(`${token}=`), "subject-token-malformed");
      await refused(ask("x"), "subject-token-malformed");
      const input = `${encode({ alg: "ES256", typ: "sallyport-hop+jwt", kid: estate.holder.kid })}.${payload}`;
      const hop = `${input}.${sign("sha256", Buffer.from(input), { key: estate.holder.privateKey, dsaEncoding: "ieee-p1363" }).toString("base64url")}`;
      await refused(ask(hop), "subject-token-type");
      await refused(ask(assertion("orders", estate.production.issuer, orders)), "subject-token-issuer-unknown");
      for (const type of ["id_token", "refresh_token", "saml2"])
        await refused(
          ask(token, { over: { subject_token_type: `urn:ietf:params:oauth:token-type:${type}` } }),
          "subject-token-type",
        );
    });

    test("parameters: an actor token, an audience, a refresh token wanted, a token twice, none", async () => {
      const { token } = await userToken();
      await refused(
        ask(token, { over: { actor_token: token, actor_token_type: accessTokenUrn } }),
        "exchange-actor-token",
      );
      await refused(ask(token, { over: { audience: "billing" } }), "exchange-audience");
      await refused(
        ask(token, { over: { requested_token_type: "urn:ietf:params:oauth:token-type:refresh_token" } }),
        "exchange-token-type",
      );
      await refused(ask(token, { over: { subject_token: [token, token] } }), "request-malformed");
      await refused(ask(token, { over: { subject_token: [] } }), "subject-token-missing");
      await refused(ask(token, { over: { resource: [] } }), "resource-missing", "invalid_target");
      assert.equal(
        (await ask(token, { over: { requested_token_type: jwtUrn, subject_token_type: jwtUrn } })).status,
        200,
      );
    });

    test("a Keycloak access token is exchanged for one of ours: opaque subject, our binding, nothing of its session", async () => {
      const answer = await ask(outside());
      assert.equal(answer.status, 200, JSON.stringify(answer.body));
      const claims = claimsOf(answer);
      assert.match(claims.sub, /^ext_[A-Za-z0-9_-]{22}$/);
      assert.deepEqual([claims.sid, claims.acr, claims.act], [undefined, undefined, { sub: "orders" }]);
      assert.equal(claims.gid?.length, 1);
      assert.ok(claims.exp - claims.iat <= 60);
      assert.equal(claimsOf(await ask(outside())).sub, claims.sub, "one subject has one name");
      assert.notEqual(claimsOf(await ask(outside({ sub: "other" }))).sub, claims.sub);
      await refused(ask(outside({ typ: "ID" })), "subject-token-type");
      await refused(ask(outside({ aud: "account" })), "subject-token-audience");
      await refused(ask(outside({ azp: "evil-client" })), "subject-token-audience");
      await refused(ask(outside({ may_act: { sub: "analytics" } })), "exchange-may-act");
      assert.equal((await ask(outside({ may_act: { sub: "orders" } }))).status, 200);
    });

    test("attack: a revoked user of an outside issuer, or a revoked token of it, is not made young again by an exchange", async () => {
      const { store } = on;
      const notBefore = Date.now();
      const revoke = (kind: "jti" | "subject", value: string) =>
        store.run("revoke", {
          ...{ tenant: "main", environment: "production", kind, value, notBefore },
          ...{ until: notBefore + 600_000, actor: "operator:test" },
        });
      const leaver = outside({ sub: "leaver" });
      assert.equal((await ask(leaver)).status, 200);
      await revoke("subject", outsideSubject(realm, "leaver", { sha256 }));
      await refused(ask(leaver), "subject-revoked");
      const iat = Math.floor(notBefore / 1_000) + 4;
      await refused(ask(outside({ sub: "leaver", iat, exp: iat + 60 })), "subject-revoked");
      assert.equal((await ask(outside({ sub: "stayer" }))).status, 200);
      await revoke("jti", outsideTokenId({ issuer: realm, jti: "leaked", text: "" }, { sha256 }));
      await refused(ask(outside({ jti: "leaked" })), "subject-revoked");
    });

    test("attack: who acts in a token of an outside issuer is not lost in an exchange, nor taken for a client of ours", async () => {
      const nameOf = (sub: string) => outsideSubject(realm, sub, { sha256 });
      const answer = await ask(outside({ act: { sub: "orders", act: { sub: "robot" } } }));
      assert.equal(answer.status, 200, JSON.stringify(answer.body));
      const acts = { sub: nameOf("orders"), act: { sub: nameOf("robot") } };
      assert.deepEqual(claimsOf(answer).act, { sub: "orders", act: acts });
      const chain = (depth: number): object => ({ sub: `a${depth}`, ...(depth > 1 ? { act: chain(depth - 1) } : {}) });
      await refused(ask(outside({ act: chain(8) })), "exchange-depth");
      for (const act of ["robot", null, {}, { sub: "robot", client_id: "x" }, { sub: 1 }, chain(9)])
        await refused(ask(outside({ act })), "subject-actor");
    });

    test("attack: a token without an id is one token in every spelling of its signature", () => {
      const [signed = ""] = /^.*(?=\.)/.exec(outside()) ?? [];
      const id = (text: string) => outsideTokenId({ issuer: realm, jti: undefined, text }, { sha256 });
      assert.equal(id(`${signed}.AAAA`), id(`${signed}.BBBB`));
      assert.notEqual(id(`${signed}.AAAA`), id(`${outside()}`));
    });
  });
});
