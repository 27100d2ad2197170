import assert from "node:assert/strict";
import { createHash, X509Certificate } from "node:crypto";
import { after, before, test } from "node:test";
import { forEachDialect } from "@sallyport/kernel/store/for-each-dialect.ts";
import type { outboxCommands } from "@sallyport/kernel/store/outbox.ts";
import type { Store } from "@sallyport/kernel/store/port.ts";
import { createTokenCrypto, generateSigner } from "@sallyport/kernel/token-crypto.ts";
import { acceptAccessToken, readAccessToken } from "@sallyport/protocol/token/access-token.ts";
import { parsePublicJwk } from "@sallyport/protocol/token/jwk.ts";
import { signCompactJws } from "@sallyport/protocol/token/jws.ts";
import * as client from "openid-client";
import { testCertificate } from "./certificates.test-support.ts";
import { directoryWith, startEstate, type TestEnvironment, type TestEstate } from "./estate.test-support.ts";
import { assertion, dpopProof, fetchOver, jwkOf, send, testKey, webKey } from "./issuer.test-support.ts";
import type { IdentityCommands } from "./store.ts";

/** What a gateway would say about a token: the shared verifier with the keys this issuer publishes. */
function verifierOf(environment: TestEnvironment, audience: string, jkt?: string, x5t?: string) {
  const crypto = createTokenCrypto();
  const find = (kid: string) => {
    const jwk = parsePublicJwk(environment.ring.view().keys.find((key) => key.kid === kid)?.jwk);
    return jwk === null ? undefined : (crypto.importKey(jwk) ?? undefined);
  };
  return (token: string) => {
    const signed = readAccessToken(token, { issuer: environment.issuer, keys: { find }, lifetimeSecondsMax: 300 });
    if (signed.kind === "deny") return signed;
    return acceptAccessToken(signed, {
      audience,
      now: Date.now(),
      scheme: jkt === undefined ? "Bearer" : "DPoP",
      ...(jkt === undefined ? {} : { jkt }),
      ...(x5t === undefined ? {} : { x5t }),
      revocations: { isRevoked: () => false },
    });
  };
}

forEachDialect((_dialect, open) => {
  let estate: TestEstate;
  let store: Store<IdentityCommands & typeof outboxCommands>;
  before(async () => {
    store = await open({ commands: new URL("./commands.test-support.ts", import.meta.url) });
    estate = await startEstate(store);
  });
  after(() => estate.close());

  test("a client gets a five-minute token, bound to its key, for the one provider it named", async () => {
    const { production } = estate;
    const answer = await estate.token();
    assert.equal(answer.status, 200, answer.text);
    assert.equal(answer.body["token_type"], "DPoP");
    assert.equal(answer.body["expires_in"], 300);
    assert.equal(answer.headers["cache-control"], "no-store");
    const verified = verifierOf(
      production,
      `${production.issuer}/systems/billing`,
      estate.holder.kid,
    )(String(answer.body["access_token"]));
    assert.equal(verified.kind, "verified");
    if (verified.kind !== "verified") return;
    const { exp, iat, jti, ...claims } = verified.claims;
    assert.equal(exp - iat, 300);
    assert.match(jti, /^[A-Za-z0-9_-]{22}$/);
    assert.deepEqual(claims, {
      iss: production.issuer,
      sub: "orders",
      client_id: "orders",
      aud: `${production.issuer}/systems/billing`,
      cnf: { jkt: estate.holder.kid },
    });
  });

  test("without a scope parameter the token has no scope claim; with one it has exactly that", async () => {
    const none = await estate.token();
    assert.equal("scope" in none.body, false);
    const one = await estate.token({ form: { scope: "billing:invoice.read" } });
    assert.equal(one.body["scope"], "billing:invoice.read");
    const { production } = estate;
    const verified = verifierOf(
      production,
      `${production.issuer}/systems/billing`,
      estate.holder.kid,
    )(String(one.body["access_token"]));
    assert.deepEqual(verified.kind === "verified" && verified.scopes, ["billing:invoice.read"]);
  });

  test("openid-client 6 discovers the issuer both ways and gets a DPoP token, nonce included", async () => {
    const { issuer } = estate.production;
    for (const algorithm of ["oidc", "oauth2"] as const) {
      const config = await client.discovery(
        new URL(issuer),
        "orders",
        undefined,
        client.PrivateKeyJwt({ key: await webKey(estate.orders), kid: estate.orders.kid }),
        {
          algorithm,
          [client.customFetch]: fetchOver(estate.ca),
        },
      );
      config[client.customFetch] = fetchOver(estate.ca);
      const keyPair = await client.randomDPoPKeyPair("ES256");
      const tokens = await client.clientCredentialsGrant(
        config,
        { resource: `${issuer}/systems/billing` },
        { DPoP: client.getDPoPHandle(config, keyPair) },
      );
      assert.equal(tokens.token_type, "dpop");
      assert.equal(tokens.expires_in, 300);
    }
  });

  test("a client whose system declares a certificate gets a token bound to it (RFC 8705)", async () => {
    const { production } = estate;
    const tls = testCertificate([{ type: "uri", value: "spiffe://main/orders" }]);
    const answer = await estate.token({ proof: null, send: tls });
    assert.equal(answer.status, 200, answer.text);
    assert.equal(answer.body["token_type"], "Bearer");
    const x5t = createHash("sha256").update(new X509Certificate(tls.cert).raw).digest("base64url");
    const token = String(answer.body["access_token"]);
    const audience = `${production.issuer}/systems/billing`;
    assert.equal(verifierOf(production, audience, undefined, x5t)(token).kind, "verified");
    const bare = verifierOf(production, audience)(token);
    assert.equal(bare.kind === "deny" && bare.code, "token-bound-as-bearer");
  });

  test("a certificate that is not the declared one, or has expired, gets no token instead of a weaker one", async () => {
    const other = testCertificate([{ type: "uri", value: "spiffe://main/analytics" }]);
    const twice = testCertificate([
      { type: "uri", value: "spiffe://main/orders" },
      { type: "uri", value: "spiffe://main/orders" },
    ]);
    const lying = testCertificate([{ type: "dns", value: "x, URI:spiffe://main/orders" }]);
    const expired = testCertificate([{ type: "uri", value: "spiffe://main/orders" }], Date.now() - 1_000);
    for (const tls of [other, twice, lying, expired]) {
      const answer = await estate.token({ proof: null, send: tls });
      assert.equal(answer.status, 400);
      assert.equal(answer.body["error"], "invalid_request");
    }
  });

  test("an unbound token is issued only where bearer was allowed with an end, and never outlives that end", async () => {
    const { production } = estate;
    const reports = `${production.issuer}/systems/reports`;
    const allowed = await estate.token({ proof: null, form: { resource: reports } });
    assert.equal(allowed.status, 200, allowed.text);
    assert.equal(verifierOf(production, reports)(String(allowed.body["access_token"])).kind, "verified");
    const refused = await estate.token({ proof: null });
    assert.equal(refused.status, 400);
    assert.match(String(refused.body["error_description"]), /DPoP proof/);
  });

  test("every issuance and every refusal is in the log before the answer; nothing about a machine token is in the store", async () => {
    const { production } = estate;
    const nonce = await estate.nonce();
    const before = { leaves: production.leaves.length, outbox: (await store.run("outboxBacklog", null)).count };
    const answer = await estate.token({ proof: dpopProof(estate.holder, `${production.issuer}/token`, nonce) });
    assert.equal(answer.status, 200);
    await estate.token({
      proof: dpopProof(estate.holder, `${production.issuer}/token`, nonce),
      form: { scope: "billing:everything" },
    });
    const [issued, refused] = production.leaves.slice(before.leaves);
    assert.ok(issued?.t === "issuance" && refused?.t === "issuance");
    assert.deepEqual(
      [issued.verdict, issued.proof, issued.audience],
      ["allow", "dpop", `${production.issuer}/systems/billing`],
    );
    assert.deepEqual([refused.verdict, refused.code], ["deny", "scope-not-granted"]);
    assert.equal(JSON.stringify(production.leaves).includes(String(answer.body["access_token"]).slice(-40)), false);
    assert.equal((await store.run("outboxBacklog", null)).count, before.outbox);
  });

  test("when the log cannot take the record, no token leaves", async () => {
    const { production } = estate;
    const proof = dpopProof(estate.holder, `${production.issuer}/token`, await estate.nonce());
    production.logBroken = true;
    const answer = await estate.token({ proof });
    production.logBroken = false;
    assert.equal(answer.status, 503);
    assert.equal("access_token" in answer.body, false);
    assert.ok(estate.faults.splice(0).length > 0);
  });

  test("the published key set holds public halves only, and both well-known forms say the same", async () => {
    const { production } = estate;
    const jwks = await send(`${production.issuer}/jwks`, estate.ca);
    assert.deepEqual(Object.keys(jwkOf(jwks.body, 0)).sort(), ["alg", "crv", "kid", "kty", "use", "x", "y"]);
    const forms = [
      `${production.issuer}/.well-known/openid-configuration`,
      `${estate.url}/.well-known/oauth-authorization-server/main/production`,
      `${estate.url}/.well-known/openid-configuration/main/production`,
    ];
    const texts = await Promise.all(forms.map(async (url) => (await send(url, estate.ca)).text));
    assert.equal(new Set(texts).size, 1);
    assert.equal(JSON.parse(texts[0] ?? "{}").issuer, production.issuer);
  });

  test("a changed client key set takes effect at the next request, and one unusable key does not take its neighbours along", async () => {
    const { production } = estate;
    const nonce = await estate.nonce();
    const fresh = testKey();
    const former = production.directory;
    const broken = { kty: "EC", crv: "P-256", x: "AA", y: "AA" };
    const later = testKey();
    const offCurve = { ...fresh.jwk, x: "A".repeat(43) };
    const { signer } = generateSigner("EdDSA");
    const bad = [{ jwk: broken }, { jwk: offCurve }, { jwk: { ...fresh.jwk, d: "A".repeat(43) } }];
    const good = [{ jwk: fresh.jwk }, { jwk: { ...signer.jwk } }];
    const keys = new Map([["orders", [...bad, ...good, { jwk: later.jwk, notBeforeMs: Date.now() + 60_000 }]]]);
    production.directory = directoryWith("production", keys);
    const proof = async () => dpopProof(estate.holder, `${production.issuer}/token`, nonce);
    assert.equal((await estate.token({ proof: await proof() })).status, 401, "the removed key");
    assert.equal(
      (await estate.token({ proof: await proof(), assertion: assertion("orders", production.issuer, fresh) })).status,
      200,
      "the new key",
    );
    assert.equal(
      (await estate.token({ proof: await proof(), assertion: assertion("orders", production.issuer, later) })).status,
      401,
      "a key before its time",
    );
    const now = Math.floor(Date.now() / 1000);
    const claims = { iss: "orders", sub: "orders", aud: production.issuer, exp: now + 60, jti: `ed-${now}` };
    const edAssertion = signCompactJws({ alg: "EdDSA", kid: signer.kid }, claims, signer);
    assert.equal((await estate.token({ proof: await proof(), assertion: edAssertion })).status, 200, "an Ed25519 key");
    production.directory = former;
    assert.equal((await estate.token()).status, 200);
  });
});
