import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { forEachDialect } from "@sallyport/kernel/store/for-each-dialect.ts";
import type { outboxCommands } from "@sallyport/kernel/store/outbox.ts";
import type { Store } from "@sallyport/kernel/store/port.ts";
import { createTokenCrypto } from "@sallyport/kernel/token-crypto.ts";
import type { Revocable } from "@sallyport/protocol/token/access-token.ts";
import { signAccessToken } from "@sallyport/protocol/token/access-token.ts";
import type { AccessTokenClaims } from "@sallyport/protocol/token/claims.ts";
import { introspectionType } from "@sallyport/protocol/token/introspection.ts";
import { createRemoteJWKSet, customFetch, jwtVerify } from "jose";
import * as client from "openid-client";
import { defaultTokens } from "../../registry/config/tokens-schema.ts";
import type { IdentityClient } from "../directory.ts";
import { startEstate, type TestEstate } from "../estate.test-support.ts";
import { assertion, dpopProof, form, send, type TestAnswer, type TestKey, testKey } from "../issuer.test-support.ts";
import type { OAuthCommands } from "../oauth/store.ts";
import { fetchOver } from "../openid-client.test-support.ts";
import type { IdentityCommands } from "../store.ts";
import { introspection } from "./introspection.ts";
import type { JudgePorts } from "./judge-token.ts";
import { tokenMetadata } from "./metadata.ts";
import { revocation } from "./revocation.ts";
import type { TokensCommands } from "./store.ts";

const inactive = { active: false };

forEachDialect((_dialect, open) => {
  let estate: TestEstate;
  let store: Store<TokensCommands & IdentityCommands & OAuthCommands & typeof outboxCommands>;
  let told = 0;
  const keys: Record<string, TestKey> = { billing: testKey(), reports: testKey() };

  before(async () => {
    store = await open({ commands: new URL("./commands.test-support.ts", import.meta.url) });
    const judging = (): JudgePorts => ({
      tenant: "main",
      environment: "production",
      issuer: estate.production.issuer,
      ring: () => estate.production.ring.view(),
      directory: () => estate.production.directory,
      store,
      crypto: createTokenCrypto(),
      read: async (text) => text,
      clock: { now: () => Date.now(), monotonic: () => performance.now() },
    });
    // Each request asks for the ports again: the estate is there by then.
    const late = (make: (ports: JudgePorts) => ReturnType<typeof introspection>, path: string) => ({
      path,
      parameters: ["token", "token_type_hint"],
      handle: (request: Parameters<ReturnType<typeof introspection>["handle"]>[0]) => make(judging()).handle(request),
    });
    estate = await startEstate(store, () => ({
      endpoints: [
        ({ signer }) => late((ports) => introspection({ ...ports, signer }), "/introspect"),
        () =>
          late(
            (ports) =>
              revocation({
                ...ports,
                store,
                revoked: async () => {
                  told += 1;
                },
              }),
            "/revoke",
          ),
      ],
      metadata: () => tokenMetadata(estate.production.issuer, ["ES256"]),
    }));
    const former = estate.production.directory;
    const providers = Object.entries(keys).map(([id, key]): [string, IdentityClient] => [
      id,
      {
        id,
        system: id,
        keys: [{ jwk: key.jwk }],
        grantTypes: ["client_credentials"],
        certificates: [],
        isPublic: false,
        redirectUris: [],
        lives: defaultTokens,
      },
    ]);
    estate.production.directory = {
      ...former,
      version: `${former.version}+`,
      clients: new Map([...former.clients, ...providers]),
    };
    keys["orders"] = estate.orders;
    keys["analytics"] = estate.analytics;
  });
  after(() => estate.close());

  const ask = (path: string, by: string, token: string, headers: Record<string, string> = {}): Promise<TestAnswer> => {
    const { issuer } = estate.production;
    const key = keys[by];
    assert.ok(key !== undefined);
    const body = form(by, assertion(by, issuer, key), { token });
    body.delete("grant_type");
    return send(`${issuer}${path}`, estate.ca, { body: body.toString(), headers });
  };
  const fresh = async (): Promise<string> => String((await estate.token()).body["access_token"]);
  const claimsOf = (token: string): AccessTokenClaims =>
    JSON.parse(Buffer.from(token.split(".")[1] ?? "", "base64url").toString());
  /** A token of this ring with other claims than mint would give. */
  const signed = (over: Partial<AccessTokenClaims>): string => {
    const { signer } = estate.production.ring.view();
    assert.ok(signer !== null);
    const { issuer } = estate.production;
    const iat = Math.floor(Date.now() / 1000);
    const claims = {
      iss: issuer,
      sub: "orders",
      client_id: "orders",
      aud: `${issuer}/systems/billing`,
      iat,
      exp: iat + 300,
    };
    return signAccessToken({ ...claims, jti: `t${told}${Math.random()}`, ...over }, signer);
  };

  test("a service learns of a token made for it what it needs to judge the caller, and the binding it must check", async () => {
    const token = await fresh();
    const answer = await ask("/introspect", "billing", token);
    assert.equal(answer.status, 200, answer.text);
    assert.equal(answer.headers["cache-control"], "no-store");
    assert.deepEqual(answer.body, { active: true, token_type: "DPoP", ...claimsOf(token) });
  });

  test("of a token for somebody else it learns nothing: wrong service, the caller itself and a stranger's text get one answer", async () => {
    const token = await fresh();
    for (const by of ["reports", "analytics", "orders"])
      assert.deepEqual((await ask("/introspect", by, token)).body, inactive, by);
    for (const text of ["x", "a.b.c", `${token}=`, `${token.slice(0, -2)}AA`, "sps1_abc"])
      assert.deepEqual((await ask("/introspect", "billing", text)).body, inactive, text);
    const former = estate.production.directory;
    const billing = former.clients.get("billing");
    assert.ok(billing !== undefined);
    const app: IdentityClient = { ...billing, id: "app", keys: [], isPublic: true };
    estate.production.directory = { ...former, version: "app", clients: new Map([...former.clients, ["app", app]]) };
    const open = new URLSearchParams({ token, client_id: "app" }).toString();
    const asApp = await send(`${estate.production.issuer}/introspect`, estate.ca, { body: open });
    estate.production.directory = former;
    assert.deepEqual(asApp.body, inactive, "a public client of the very audience");
    const bare = new URLSearchParams({ token, client_id: "billing" }).toString();
    assert.equal((await send(`${estate.production.issuer}/introspect`, estate.ca, { body: bare })).status, 401);
  });

  test("a token of another environment, of another time or with a lifetime nobody gives is inactive", async () => {
    const { issuer } = estate.staging;
    const proof = dpopProof(estate.holder, `${issuer}/token`, undefined);
    const first = await estate.token({ issuer, client: "analytics", proof });
    const again = dpopProof(estate.holder, `${issuer}/token`, String(first.headers["dpop-nonce"]));
    const staging = await estate.token({ issuer, client: "analytics", proof: again });
    assert.equal(staging.status, 200, staging.text);
    const now = Math.floor(Date.now() / 1000);
    const tokens = [
      String(staging.body["access_token"]),
      signed({ iat: now - 400, exp: now - 100 }),
      signed({ iat: now + 100, exp: now + 300 }),
      signed({ exp: now + 3_600 }),
    ];
    for (const token of tokens) assert.deepEqual((await ask("/introspect", "billing", token)).body, inactive);
    assert.equal((await ask("/introspect", "billing", signed({}))).body["active"], true, "the nearest that is good");
  });

  test("revoked by its id, client, key, subject, session or any grant of its lineage it is inactive, and no other token is", async () => {
    const { signer } = estate.production.ring.view();
    const revoke = (kind: Revocable["kind"], value: string, notBefore = Date.now()) =>
      store.run("revoke", {
        ...{ tenant: "main", environment: "production", kind, value, notBefore, until: notBefore + 90_000_000 },
        actor: "operator:ada",
      });
    const active = async (token: string) => (await ask("/introspect", "billing", token)).body["active"];
    const cases = [
      ["jti", "gone", signed({ jti: "gone" }), signed({ jti: "here" })],
      ["grant", "g2", signed({ gid: ["g1", "g2", "g3"] }), signed({ gid: ["g1", "g3"] })],
      ["session", "s1", signed({ sid: "s1" }), signed({ sid: "s2" })],
      ["subject", "usr_a", signed({ sub: "usr_a" }), signed({ sub: "usr_b" })],
      ["client", "analytics", signed({ client_id: "analytics" }), signed({ client_id: "orders" })],
    ] as const;
    for (const [kind, value, token, neighbour] of cases) {
      assert.equal(await active(token), true, kind);
      await revoke(kind, value);
      assert.equal(await active(token), false, kind);
      assert.equal(await active(neighbour), true, kind);
    }
    const now = Math.floor(Date.now() / 1000);
    await revoke("subject", "usr_c", Date.now() - 30_000);
    assert.equal(await active(signed({ sub: "usr_c", iat: now - 60 })), false, "issued before the revocation");
    assert.equal(await active(signed({ sub: "usr_c", iat: now - 10 })), true, "issued after it");
    await revoke("kid", signer?.kid ?? "", Date.now() - 86_400_000);
    assert.equal(await active(signed({})), true, "a key entry of yesterday ends nothing of today");
  });

  test("a suspended integration makes its tokens inactive before their time", async () => {
    const token = await fresh();
    const former = estate.production.directory;
    estate.production.directory = { ...former, grants: () => [] };
    const { body } = await ask("/introspect", "billing", token);
    estate.production.directory = former;
    assert.deepEqual(body, inactive);
    assert.equal((await ask("/introspect", "billing", token)).body["active"], true);
  });

  test("asked for a JWT it is signed for who asked, and passes for no token (RFC 9701)", async () => {
    const { issuer } = estate.production;
    const token = await fresh();
    const accept = { accept: `application/${introspectionType}` };
    const answer = await ask("/introspect", "billing", token, accept);
    assert.equal(answer.headers["content-type"], `application/${introspectionType}`);
    const jwks = createRemoteJWKSet(new URL(`${issuer}/jwks`), { [customFetch]: fetchOver(estate.ca) as typeof fetch });
    const { payload } = await jwtVerify(answer.text, jwks, { issuer, audience: "billing", typ: introspectionType });
    assert.deepEqual(payload["token_introspection"], { active: true, token_type: "DPoP", ...claimsOf(token) });
    assert.deepEqual((await ask("/introspect", "billing", answer.text)).body, inactive);
    const no = await ask("/introspect", "reports", token, accept);
    const denied = await jwtVerify(no.text, jwks, { issuer, audience: "reports" });
    assert.deepEqual(denied.payload["token_introspection"], inactive);
  });

  test("a client gives back its own token, and with it ends what was exchanged for it: once, one record without the token, and gateways are told", async () => {
    const token = await fresh();
    const from = (await store.run("readRevocations", { tenant: "main", environment: "production", from: 0 })).seq;
    const before = told;
    assert.equal((await ask("/revoke", "orders", token)).status, 200);
    assert.equal(told, before + 1);
    assert.deepEqual((await ask("/introspect", "billing", token)).body, inactive);
    assert.equal((await ask("/revoke", "orders", token)).status, 200, "again is no error");
    const { entries } = await store.run("readRevocations", { tenant: "main", environment: "production", from });
    assert.deepEqual(
      entries.map(({ kind, value }) => [kind, value]),
      [
        ["grant", `xch_${claimsOf(token).jti}`],
        ["jti", claimsOf(token).jti],
      ],
    );
    const { rows } = await store.run("claimOutbox", { node: "test", limit: 1_000, leaseMs: 60_000 });
    const record = rows.find(({ action }) => action === "token.revoke");
    assert.equal(record?.actor, "client:orders");
    assert.equal(JSON.stringify(rows).includes(token.slice(-40)), false);
  });

  test("nobody gives back another's token; what is no token of ours is answered as done (RFC 7009 §2.2)", async () => {
    const token = await fresh();
    for (const by of ["analytics", "billing"]) {
      const answer = await ask("/revoke", by, token);
      assert.deepEqual([answer.status, answer.body["error"]], [400, "invalid_grant"], by);
    }
    assert.equal((await ask("/introspect", "billing", token)).body["active"], true);
    for (const text of ["x", "a.b.c", "rt_unknown"]) assert.equal((await ask("/revoke", "orders", text)).status, 200);
    const none = form("orders", assertion("orders", estate.production.issuer, estate.orders));
    none.delete("grant_type");
    const answer = await send(`${estate.production.issuer}/revoke`, estate.ca, { body: none.toString() });
    assert.deepEqual([answer.status, answer.body["error"]], [400, "invalid_request"]);
  });

  test("openid-client introspects and revokes by what the metadata says", async () => {
    const configOf = async (id: string) => {
      const key = keys[id];
      assert.ok(key !== undefined);
      const pkcs8 = key.privateKey.export({ format: "der", type: "pkcs8" });
      const webKey = await crypto.subtle.importKey(
        "pkcs8",
        new Uint8Array(pkcs8),
        { name: "ECDSA", namedCurve: "P-256" },
        false,
        ["sign"],
      );
      const over = fetchOver(estate.ca);
      const auth = client.PrivateKeyJwt({ key: webKey, kid: key.kid });
      const config = await client.discovery(new URL(estate.production.issuer), id, undefined, auth, {
        [client.customFetch]: over,
      });
      config[client.customFetch] = over;
      return config;
    };
    const token = await fresh();
    const billing = await configOf("billing");
    assert.equal((await client.tokenIntrospection(billing, token)).active, true);
    await client.tokenRevocation(await configOf("orders"), token);
    assert.equal((await client.tokenIntrospection(billing, token)).active, false);
  });
});
