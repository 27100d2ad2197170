import assert from "node:assert/strict";
import { generateKeyPairSync, randomBytes, sign } from "node:crypto";
import { after, before, describe, test } from "node:test";
import { forEachDialect } from "@sallyport/kernel/store/for-each-dialect.ts";
import type { Store } from "@sallyport/kernel/store/port.ts";
import { sha256 } from "@sallyport/kernel/token-crypto.ts";
import type { Leaf } from "@sallyport/protocol/audit/leaf.ts";
import { outsideSubject, outsideTokenId } from "@sallyport/protocol/token/outside-subject.ts";
import * as oauth from "oauth4webapi";
import type { IssuerConfig } from "../../registry/config/estate.ts";
import { clock, random, startEstate, type TestEstate } from "../estate.test-support.ts";
import { type ExchangeCommands, isRevokedIn } from "../exchange/revoked.ts";
import { assertion, dpopProof, send, type TestAnswer, type TestKey, testKey } from "../issuer.test-support.ts";
import type { IdentityCommands } from "../store.ts";
import { jwtBearer, jwtBearerGrantType } from "./assertion-grant.ts";
import type { TrustCommands } from "./store.ts";
import { createTrustedIssuers, type TrustedIssuers } from "./trusted-issuers.ts";

const ci = "https://ci.example/oidc";
const kube = "https://kubernetes.default.svc";
const rsa = generateKeyPairSync("rsa", { modulusLength: 2048 });
const jwks = Buffer.from(
  JSON.stringify({ keys: [{ ...rsa.publicKey.export({ format: "jwk" }), kid: "r1", alg: "RS256" }] }),
);
const encode = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString("base64url");

function jwt(claims: Record<string, unknown>, header: Record<string, unknown> = {}): string {
  const input = `${encode({ alg: "RS256", kid: "r1", typ: "JWT", ...header })}.${encode(claims)}`;
  return `${input}.${sign("sha256", Buffer.from(input), rsa.privateKey).toString("base64url")}`;
}

const at = { file: "issuers/ci.yaml", line: 1, column: 1 };
const base = {
  algorithms: ["RS256"],
  audiences: [],
  companions: [],
  parties: null,
  lifetimeSecondsMax: 3_600,
  keys: { from: "uri", uri: "https://ci.example/jwks", allowPrivate: false },
  declaredAt: at,
} as const;
const issuers: readonly IssuerConfig[] = [
  {
    ...base,
    id: "ci",
    url: ci,
    kind: "assertion",
    systems: [{ system: "orders", subject: "repo:acme/shop:ref:refs/heads/main", claims: { repository_id: "42" } }],
  },
  {
    ...base,
    id: "kube",
    url: kube,
    kind: "kubernetes",
    systems: [
      {
        system: "analytics",
        subject: "system:serviceaccount:shop:analytics",
        claims: { "/kubernetes.io/serviceaccount/uid": "u-1" },
      },
    ],
  },
];

type Commands = IdentityCommands & TrustCommands & ExchangeCommands;

interface Started {
  readonly store: Store<Commands>;
  readonly estate: TestEstate;
  readonly trusted: TrustedIssuers;
  readonly state: { fetches: number; fails: boolean };
}

async function start(store: Store<Commands>): Promise<Started> {
  const state = { fetches: 0, fails: false };
  const made: TrustedIssuers[] = [];
  const estate = await startEstate(store, ({ issuer, place }) => {
    const trusted = createTrustedIssuers(issuer, {
      tenant: "main",
      environment: issuer.endsWith("/production") ? "production" : "staging",
      store,
      clock,
      random,
      fault: () => undefined,
      issuerKeysChanged: () => assert.fail("none of its tokens may be presented at gateways"),
      fetchJwks: async () => {
        state.fetches++;
        if (state.fails) throw new Error("connect-failed");
        return jwks;
      },
    });
    made.push(trusted);
    return { openGrants: [jwtBearer({ trusted, isRevoked: (token) => isRevokedIn(store, place, token) })] };
  });
  const [trusted] = made;
  assert.ok(trusted !== undefined);
  trusted.use(issuers, []);
  return { store, estate, trusted, state };
}

forEachDialect((_dialect, open) => {
  describe("a token for an assertion of a trusted issuer", () => {
    let on: Started;
    before(async () => {
      on = await start(await open({ commands: new URL("../commands.test-support.ts", import.meta.url) }));
    });
    after(() => on.estate.close());

    const claimsOf = (over: Record<string, unknown> = {}): Record<string, unknown> => {
      const now = Math.floor(Date.now() / 1000);
      const { issuer } = on.estate.production;
      const jti = randomBytes(8).toString("hex");
      return {
        iss: ci,
        sub: "repo:acme/shop:ref:refs/heads/main",
        aud: issuer,
        iat: now,
        exp: now + 300,
        jti,
        repository_id: "42",
        ...over,
      };
    };
    const podClaims = (over: Record<string, unknown> = {}) =>
      claimsOf({
        iss: kube,
        sub: "system:serviceaccount:shop:analytics",
        aud: [on.estate.production.issuer],
        "kubernetes.io": { namespace: "shop", serviceaccount: { name: "analytics", uid: "u-1" } },
        repository_id: undefined,
        ...over,
      });
    const ask = async (
      text: string,
      over: Record<string, string | string[]> = {},
      bare = false,
    ): Promise<TestAnswer> => {
      const { estate } = on;
      const { issuer } = estate.production;
      const form = new URLSearchParams({
        grant_type: jwtBearerGrantType,
        assertion: text,
        resource: `${issuer}/systems/billing`,
      });
      for (const [name, value] of Object.entries(over)) {
        form.delete(name);
        for (const one of [value].flat()) form.append(name, one);
      }
      const headers: Record<string, string> = bare
        ? {}
        : { dpop: dpopProof(estate.holder, `${issuer}/token`, await estate.nonce()) };
      return send(`${issuer}/token`, estate.ca, { body: form.toString(), headers });
    };
    const lastLeaf = (): Leaf | undefined => on.estate.production.leaves.at(-1);
    const refused = async (answer: Promise<TestAnswer>, code: string, error = "invalid_grant"): Promise<void> => {
      const { status, body, text } = await answer;
      assert.deepEqual([status, body["error"]], [400, error], code);
      assert.ok(!text.includes("access_token"));
      const leaf = lastLeaf();
      assert.ok(leaf?.t === "issuance" && leaf.verdict === "deny");
      assert.equal(leaf.code, code);
    };

    test("a CI job gets a bound token of the mapped system's client, for its grants only, and the log has it", async () => {
      const { body, status } = await ask(jwt(claimsOf()), { scope: "billing:invoice.read" });
      assert.equal(status, 200, JSON.stringify(body));
      assert.equal(body["token_type"], "DPoP");
      const claims = JSON.parse(Buffer.from(String(body["access_token"]).split(".")[1] ?? "", "base64url").toString());
      assert.deepEqual([claims.sub, claims.client_id, claims.scope], ["orders", "orders", "billing:invoice.read"]);
      assert.ok(claims.cnf.jkt.length === 43 && claims.exp - claims.iat <= 300);
      const leaf = lastLeaf();
      assert.ok(leaf?.t === "issuance" && leaf.verdict === "allow");
      await refused(ask(jwt(claimsOf()), { scope: "billing:invoice.void" }), "scope-not-granted", "invalid_scope");
      await refused(
        ask(jwt(claimsOf()), { resource: `${on.estate.production.issuer}/systems/analytics` }),
        "resource-not-granted",
        "invalid_target",
      );
    });

    test("oauth4webapi drives the grant, nonce and all", async () => {
      const { estate } = on;
      const as: oauth.AuthorizationServer = {
        issuer: estate.production.issuer,
        token_endpoint: `${estate.production.issuer}/token`,
      };
      const client: oauth.Client = { client_id: "orders" };
      const DPoP = oauth.DPoP(client, await oauth.generateKeyPair("ES256"));
      const customFetch = async (url: string, options: oauth.CustomFetchOptions<string, unknown>) => {
        const answer = await send(url, estate.ca, { body: String(options.body), headers: options.headers });
        const headers = Object.entries(answer.headers).flatMap(([name, value]) =>
          [value ?? []].flat().map((one): [string, string] => [name, one]),
        );
        return new Response(answer.text, { status: answer.status, headers });
      };
      const request = () =>
        oauth.genericTokenEndpointRequest(
          as,
          client,
          oauth.None(),
          jwtBearerGrantType,
          { assertion: jwt(claimsOf()), resource: `${as.issuer}/systems/billing` },
          {
            DPoP,
            // The library's types know fetch; the body is text.
            [oauth.customFetch]: customFetch as never,
          },
        );
      const process = async () => oauth.processGenericTokenEndpointResponse(as, client, await request());
      const token = await process().catch((error: unknown) => {
        if (!oauth.isDPoPNonceError(error)) throw error;
        return process();
      });
      assert.equal(token.token_type, "dpop");
    });

    test("an unbound token is not given away", () =>
      refused(ask(jwt(claimsOf()), {}, true), "proof-not-accepted", "invalid_request"));

    test("an assertion is used once, also by many at once; a service account token is a file that is shown again", async () => {
      const text = jwt(claimsOf());
      const answers = await Promise.all(Array.from({ length: 8 }, () => ask(text)));
      assert.equal(answers.filter(({ status }) => status === 200).length, 1);
      await refused(ask(text), "assertion-replayed");
      const pod = jwt(podClaims());
      assert.equal((await ask(pod)).status, 200);
      assert.equal((await ask(pod)).status, 200);
    });

    test("a refused request costs nobody the assertion", async () => {
      const text = jwt(claimsOf());
      await refused(ask(text, { scope: "billing:invoice.void" }), "scope-not-granted", "invalid_scope");
      assert.equal((await ask(text)).status, 200);
    });

    test("workload trust too loose: another repository of that name, a branch, a prefix, another service account of that name", async () => {
      await refused(ask(jwt(claimsOf({ repository_id: "43" }))), "assertion-no-rule");
      await refused(ask(jwt(claimsOf({ repository_id: undefined }))), "assertion-no-rule");
      await refused(ask(jwt(claimsOf({ sub: "repo:acme/shop:ref:refs/heads/evil" }))), "assertion-no-rule");
      await refused(ask(jwt(claimsOf({ sub: "repo:acme/shop:ref:refs/heads/main2" }))), "assertion-no-rule");
      const reborn = { "kubernetes.io": { serviceaccount: { name: "analytics", uid: "u-2" } } };
      await refused(ask(jwt(podClaims(reborn))), "assertion-no-rule");
    });

    test("a token for somebody else, of somebody else, of another kind, too long or too late", async () => {
      const { issuer } = on.estate.production;
      await refused(ask(jwt(claimsOf({ aud: "https://other.example" }))), "assertion-token-audience");
      await refused(ask(jwt(claimsOf({ aud: [issuer, "https://other.example"] }))), "assertion-token-audience");
      await refused(ask(jwt(claimsOf({ aud: on.estate.staging.issuer }))), "assertion-token-audience");
      await refused(ask(jwt(claimsOf({ iss: `${ci}/` }))), "assertion-token-issuer-unknown");
      await refused(ask(jwt(claimsOf({ nonce: "n" }))), "assertion-token-type");
      await refused(ask(jwt(claimsOf({ exp: Math.floor(Date.now() / 1000) + 7_200 }))), "assertion-token-claims");
      await refused(ask(jwt(claimsOf({ iat: 1, exp: 2 }))), "assertion-token-expired");
      await refused(ask(`${jwt(claimsOf())}=`), "assertion-token-malformed");
      await refused(ask("x".repeat(13_000)), "assertion-token-malformed");
    });

    test("an unknown algorithm or issuer never makes control fetch keys", async () => {
      const before = on.state.fetches;
      await refused(
        ask(jwt(claimsOf({ iss: "https://evil.example" }), { kid: "x" })),
        "assertion-token-issuer-unknown",
      );
      await refused(ask(jwt(claimsOf(), { alg: "HS256", kid: "x" })), "assertion-token-algorithm");
      assert.equal(on.state.fetches, before);
    });

    test("one client's own assertion is no outside one, and an outside one authenticates no client", async () => {
      const { estate } = on;
      const { issuer } = estate.production;
      await refused(ask(assertion("orders", issuer, estate.orders)), "assertion-token-issuer-unknown");
      const outside = jwt(claimsOf());
      const answer = await estate.token({ assertion: outside });
      assert.ok([400, 401].includes(answer.status) && answer.body["access_token"] === undefined);
      // A client that is authenticated besides is not quietly ignored.
      await refused(
        ask(outside, { client_assertion: assertion("orders", issuer, estate.orders) }),
        "request-malformed",
        "invalid_request",
      );
      await refused(ask(outside, { client_id: "analytics" }), "assertion-client");
      assert.equal((await ask(outside, { client_id: "orders" })).status, 200);
    });

    test("attack: a stolen token that is bound to a key is traded for nothing without it, one that somebody else acts with not at all", async () => {
      const thumbprint = (of: TestKey) => ({ cnf: { jkt: of.kid } });
      const stolen = claimsOf(thumbprint(testKey()));
      await refused(ask(jwt(stolen)), "assertion-binding");
      await refused(ask(jwt(claimsOf({ cnf: { "x5t#S256": testKey().kid } }))), "assertion-binding");
      const both = { cnf: { jkt: on.estate.holder.kid, "x5t#S256": testKey().kid } };
      await refused(ask(jwt(claimsOf(both))), "assertion-binding");
      assert.equal((await ask(jwt(claimsOf(thumbprint(on.estate.holder))))).status, 200, "its holder");
      await refused(ask(jwt(claimsOf({ act: { sub: "somebody-else" } }))), "assertion-actor");
    });

    test("attack: a token that was revoked, by its id or with its subject, is traded for none that is younger than the revocation", async () => {
      const revoke = (kind: "jti" | "subject", value: string, notBefore: number) =>
        on.store.run("revoke", {
          ...{ tenant: "main", environment: "production", kind, value, notBefore },
          ...{ until: notBefore + 600_000, actor: "operator:test" },
        });
      const claims = claimsOf({ jti: "pasted-into-a-ticket" });
      await revoke(
        "jti",
        outsideTokenId({ issuer: ci, jti: "pasted-into-a-ticket", text: "" }, { sha256 }),
        clock.now(),
      );
      await refused(ask(jwt(claims)), "assertion-revoked");
      const pod = podClaims({ iat: Math.floor(clock.now() / 1000) - 60 });
      assert.equal((await ask(jwt(pod))).status, 200);
      await revoke("subject", outsideSubject(kube, String(pod["sub"]), { sha256 }), clock.now() - 20_000);
      await refused(ask(jwt(pod)), "assertion-revoked");
      assert.equal((await ask(jwt(podClaims()))).status, 200, "the next one that the kubelet writes");
      assert.equal((await ask(jwt(claimsOf()))).status, 200, "another one of the same issuer");
    });

    test("parameters that stand twice, none at all, and no form", async () => {
      const text = jwt(claimsOf());
      await refused(ask(text, { assertion: [text, text] }), "request-malformed", "invalid_request");
      await refused(ask(text, { scope: ["a", "b"] }), "request-malformed", "invalid_request");
      await refused(ask(text, { resource: [] }), "resource-missing", "invalid_target");
      await refused(ask(text, { assertion: [] }), "assertion-missing", "invalid_request");
      const { issuer } = on.estate.production;
      const answer = await send(`${issuer}/token`, on.estate.ca, {
        body: "{}",
        headers: { "content-type": "application/json" },
      });
      assert.equal(answer.status, 400);
    });

    test("client_credentials goes on as before, and an environment that trusts nobody does not know the grant", async () => {
      const { estate } = on;
      assert.equal((await estate.token()).status, 200);
      const { issuer } = estate.staging;
      const body = new URLSearchParams({
        grant_type: jwtBearerGrantType,
        assertion: jwt(claimsOf({ aud: issuer })),
      }).toString();
      const answer = await estate.post(issuer, body);
      assert.equal(answer.status >= 400 && answer.status < 500, true);
      assert.ok(JSON.stringify(estate.production.served.metadata()).includes(jwtBearerGrantType));
      assert.ok(!JSON.stringify(estate.staging.served.metadata()).includes(jwtBearerGrantType));
    });

    test("an issuer whose keys cannot be fetched lets nobody in", async () => {
      const { trusted, state } = on;
      state.fails = true;
      const keys = { from: "uri", uri: "https://ci.example/moved", allowPrivate: false } as const;
      trusted.use(
        issuers.map((issuer) => ({ ...issuer, keys })),
        [],
      );
      await refused(ask(jwt(claimsOf())), "assertion-token-key-unknown");
      state.fails = false;
      trusted.use(issuers, []);
      assert.equal((await ask(jwt(claimsOf()))).status, 200);
      assert.deepEqual(on.estate.faults, []);
    });
  });
});
