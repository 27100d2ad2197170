// Access tokens for an audience that knows only RSA, asked for at the real listener and verified as its services would (docs/identity/keys.md).
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { forEachDialect } from "@sallyport/kernel/store/for-each-dialect.ts";
import type { Store } from "@sallyport/kernel/store/port.ts";
import { createTokenCrypto } from "@sallyport/kernel/token-crypto.ts";
import type { LegacyAlgorithm } from "@sallyport/protocol/token/claims.ts";
import { createLocalJWKSet, type JSONWebKeySet, jwtVerify } from "jose";
import type { commands } from "./commands.test-support.ts";
import { clock } from "./estate.test-support.ts";
import { accessTokenUrn, readSubjectToken, type SubjectPorts } from "./exchange/subject-token.ts";
import { send } from "./issuer.test-support.ts";
import { codeFor, type Portal, portalDirectory, redeem, startPortal } from "./oauth/portal.test-support.ts";
import { legacyJudge } from "./ring-keys.ts";
import { judgeToken } from "./tokens/judge-token.ts";

forEachDialect((_dialect, open) => {
  let portal: Portal;
  let store: Store<typeof commands>;
  const state = { until: Number.POSITIVE_INFINITY };
  before(async () => {
    store = await open<typeof commands>({ commands: new URL("./commands.test-support.ts", import.meta.url) });
    portal = await startPortal(store);
  });
  after(() => portal.estate.close());

  /** Tokens for orders are signed so from now on; null: as everybody's. */
  function use(algorithm: LegacyAlgorithm | null): void {
    const { production } = portal.estate;
    const directory = portalDirectory([{ jwk: { ...portal.portalKey.jwk, kid: portal.portalKey.kid } }]);
    const legacyAlgorithm = (system: string, now: number) =>
      system === "orders" && now < state.until ? algorithm : null;
    production.directory = { ...directory, legacyAlgorithm };
    production.legacy = algorithm === null ? [] : [algorithm];
  }
  const tokensFor = async (system: string) => {
    const resources = [portal.resource(system)];
    return redeem(portal, await codeFor(portal, { resources, over: { scope: "openid" } }));
  };
  const headerOf = (token: unknown): Record<string, unknown> =>
    JSON.parse(Buffer.from(String(token).split(".")[0] ?? "", "base64url").toString());
  const jwks = async () => (await send(`${portal.issuer}/jwks`, portal.ca)).body as unknown as JSONWebKeySet;
  const judge = (token: string) => {
    const { production } = portal.estate;
    return judgeToken(token, {
      ...{ tenant: "main", environment: "production", issuer: portal.issuer, store, clock },
      ring: () => production.ring.view(),
      directory: () => production.directory,
      crypto: createTokenCrypto(),
      read: async (text) => text,
    });
  };

  for (const algorithm of ["RS256", "PS256"] as const)
    test(`${algorithm}: no token before the key is held everywhere, then access tokens for that audience alone; ID tokens and neighbours are signed as ever`, async () => {
      const { ring } = portal.estate.production;
      use(algorithm);
      const early = await tokensFor("orders");
      assert.deepEqual([early.status, early.body["error"]], [503, "temporarily_unavailable"], early.text);
      await ring.tick();
      await ring.tick();
      const { body, text } = await tokensFor("orders");
      assert.equal(headerOf(body["access_token"])["alg"], algorithm, text);
      assert.equal(headerOf(body["id_token"])["alg"], "ES256");
      const keys = await jwks();
      const { payload } = await jwtVerify(String(body["access_token"]), createLocalJWKSet(keys), {
        issuer: portal.issuer,
        audience: portal.resource("orders"),
        typ: "at+jwt",
        algorithms: [algorithm],
      });
      assert.equal(payload["client_id"], "portal");
      const named = keys.keys.find(({ kid }) => kid === headerOf(body["access_token"])["kid"]);
      assert.deepEqual(Object.keys(named ?? {}).sort(), ["alg", "e", "kid", "kty", "n", "use"], "public halves only");
      assert.equal(headerOf((await tokensFor("billing")).body["access_token"])["alg"], "ES256");
      const { body: metadata } = await send(`${portal.issuer}/.well-known/openid-configuration`, portal.ca);
      assert.deepEqual(metadata["id_token_signing_alg_values_supported"], ["ES256"]);
    });

  test("control believes such a token for that audience only, and only while it has the algorithm: looked up, and as a subject to exchange", async () => {
    const { production } = portal.estate;
    use("RS256");
    await production.ring.tick();
    await production.ring.tick();
    const token = String((await tokensFor("orders")).body["access_token"]);
    const own = String((await tokensFor("billing")).body["access_token"]);
    const subject: SubjectPorts = {
      issuer: portal.issuer,
      keys: () => production.ring.view().keys,
      legacy: legacyJudge({
        issuer: portal.issuer,
        ring: () => production.ring.view(),
        directory: () => production.directory,
      }),
      trusted: { read: async () => assert.fail("it is ours") },
      crypto: createTokenCrypto(),
      read: async (text) => text,
      isRevoked: async () => false,
    };
    const exchangeable = async (text: string) =>
      (await readSubjectToken({ token: text, type: accessTokenUrn }, clock.now(), subject)).kind;
    assert.deepEqual([(await judge(token)).kind, (await judge(own)).kind], ["ours", "ours"]);
    assert.deepEqual([await exchangeable(token), await exchangeable(own)], ["subject", "subject"]);
    state.until = 0;
    assert.deepEqual(await judge(token), { kind: "foreign", why: "token-algorithm" }, "after the last day");
    assert.equal(await exchangeable(token), "refused");
    const late = String((await tokensFor("orders")).body["access_token"]);
    assert.equal(headerOf(late)["alg"], "ES256");
    state.until = Number.POSITIVE_INFINITY;
    assert.deepEqual(await judge(late), { kind: "foreign", why: "token-algorithm" }, "and the other way round");
    assert.equal(await exchangeable(late), "refused");
    const { kid } = headerOf(token);
    await production.ring.kill(String(kid), "operator:admin");
    const killed = await judge(token);
    assert.equal(killed.kind === "ours" ? killed.revoked?.kind : killed.why, "token-key-unknown");
  });
});
