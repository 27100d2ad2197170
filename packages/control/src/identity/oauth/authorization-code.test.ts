import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { forEachDialect } from "@sallyport/kernel/store/for-each-dialect.ts";
import * as client from "openid-client";
import { send } from "../issuer.test-support.ts";
import {
  ask,
  codeFor,
  login,
  openidClient,
  type Portal,
  portalCallback,
  redeem,
  startPortal,
  underWay,
  verifierOfTests,
} from "./portal.test-support.ts";

forEachDialect((_dialect, open) => {
  let portal: Portal;
  before(async () => {
    portal = await startPortal(await open({ commands: new URL("../commands.test-support.ts", import.meta.url) }));
  });
  after(() => portal.estate.close());

  test("openid-client 6: a pushed request, a user's yes, a code, a token for the user bound to the client's key, an ID token", async () => {
    const config = await openidClient(portal);
    const nonce = client.randomNonce();
    const state = client.randomState();
    const url = await client.buildAuthorizationUrlWithPAR(config, {
      redirect_uri: portalCallback,
      scope: "openid orders:order.list",
      code_challenge: await client.calculatePKCECodeChallenge(verifierOfTests),
      code_challenge_method: "S256",
      resource: portal.resource("orders"),
      state,
      nonce,
    });
    const { id, cookie } = underWay(await send(url.href, portal.ca));
    const pending = await portal.desk.pending(id, cookie);
    assert.deepEqual(
      [pending?.client, pending?.providers, pending?.scopes, pending?.openid, pending?.returnsTo],
      ["portal", ["orders"], ["orders:order.list"], true, "https://portal.example"],
    );
    const done = await portal.desk.allow(id, cookie, { ...login(), scopes: ["orders:order.list"] });
    assert.ok(done !== null);
    const back = new URL(done.location);
    assert.equal(back.searchParams.get("iss"), portal.issuer);
    const keyPair = await client.randomDPoPKeyPair("ES256");
    const DPoP = client.getDPoPHandle(config, keyPair);
    const checks = { pkceCodeVerifier: verifierOfTests, expectedState: state, expectedNonce: nonce };
    const tokens = await client.authorizationCodeGrant(config, back, checks, undefined, { DPoP });
    assert.equal(tokens.token_type, "dpop");
    assert.equal(tokens.expires_in, 600);
    const claims = JSON.parse(Buffer.from(tokens.access_token.split(".")[1] ?? "", "base64url").toString());
    assert.equal(claims.sub, login().subject.id);
    assert.equal(claims.client_id, "portal");
    assert.equal(claims.aud, portal.resource("orders"));
    assert.equal(claims.scope, "orders:order.list");
    assert.equal(claims.sid, "ses_1");
    assert.match(claims.gid[0], /^grt_[A-Za-z0-9_-]{22}$/);
    assert.equal(claims.acr, "urn:sallyport:acr:mfa");
    const idToken = tokens.claims();
    assert.deepEqual([idToken?.sub, idToken?.aud, idToken?.["sid"]], [claims.sub, "portal", "ses_1"]);
    const fresh = await client.refreshTokenGrant(config, tokens.refresh_token ?? "", undefined, { DPoP });
    assert.notEqual(fresh.refresh_token, tokens.refresh_token);
    assert.equal(fresh.claims()?.sub, claims.sub);
  });

  test("a code and nothing else", async () => {
    const answer = await redeem(portal, await codeFor(portal));
    assert.equal(answer.status, 200, answer.text);
    assert.equal("id_token" in answer.body, false);
    const { id, cookie } = await ask(portal, { client: "app" });
    assert.ok((await portal.desk.pending(id, cookie)) !== null);
  });
});
