// What the FAPI 2.0 Security Profile asks of an authorization server, as plain tests named by its own test modules where ours are not under another
// name already. The list of all with their places: docs/conformance.md.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { forEachDialect } from "@sallyport/kernel/store/for-each-dialect.ts";
import { assertion, dpopProof, form, jws, send, testKey } from "../issuer.test-support.ts";
import {
  ask,
  codeFor,
  login,
  nonceFor,
  type Portal,
  postForm,
  redeem,
  refreshWith,
  requestParameters,
  startPortal,
  underWay,
} from "./portal.test-support.ts";

forEachDialect((_dialect, open) => {
  let portal: Portal;
  before(async () => {
    portal = await startPortal(await open({ commands: new URL("../commands.test-support.ts", import.meta.url) }));
  });
  after(() => portal.estate.close());

  /** A pushed request with an assertion of one's own making. */
  const pushWith = (made: string, more: Record<string, string> = {}) => {
    const body = form("portal", made, more);
    body.delete("grant_type");
    for (const [name, value] of requestParameters(portal)) if (name !== "client_id") body.append(name, value);
    return send(`${portal.issuer}/par`, portal.ca, { body: body.toString() });
  };
  const seconds = (s: number) => Math.floor(Date.now() / 1000) + s;

  test("discovery: the metadata names what is served, and only that", async () => {
    const { body } = await send(`${portal.issuer}/.well-known/openid-configuration`, portal.ca);
    assert.equal(body["issuer"], portal.issuer);
    assert.equal(body["pushed_authorization_request_endpoint"], `${portal.issuer}/par`);
    assert.equal(body["authorization_endpoint"], `${portal.issuer}/authorize`);
    assert.deepEqual(body["response_types_supported"], ["code"]);
    assert.deepEqual(body["code_challenge_methods_supported"], ["S256"]);
    assert.equal(body["authorization_response_iss_parameter_supported"], true);
    assert.deepEqual(body["grant_types_supported"], ["client_credentials", "authorization_code", "refresh_token"]);
    assert.deepEqual(body["dpop_signing_alg_values_supported"], ["ES256", "EdDSA"]);
    assert.equal(JSON.stringify(body).includes("RS256"), false);
  });

  test("client assertions at the pushed request endpoint: the issuer as one string is the only audience", async () => {
    const { issuer, portalKey } = portal;
    const made = (over: Record<string, unknown>, audience: unknown = issuer) =>
      assertion("portal", audience, portalKey, over);
    assert.equal((await pushWith(made({}))).status, 201);
    for (const [name, bad] of [
      ["the token endpoint", made({}, `${issuer}/token`)],
      ["the pushed request endpoint", made({}, `${issuer}/par`)],
      ["an array", made({}, [issuer])],
      ["five minutes in the past", made({ iat: seconds(-600), exp: seconds(-300) })],
      ["no subject", made({ sub: undefined })],
      ["no id", made({ jti: undefined })],
      ["another key", assertion("portal", issuer, testKey())],
    ] as const)
      assert.equal((await pushWith(bad)).status, 401, name);
  });

  test("a pushed request may not name a request_uri itself, is only posted, and is refused with JSON", async () => {
    const params = requestParameters(portal, { over: { request_uri: "urn:ietf:params:oauth:request_uri:x" } });
    const named = await postForm(portal, "/par", params);
    assert.equal(named.status, 400);
    assert.match(String(named.headers["content-type"]), /^application\/json/);
    const got = await send(`${portal.issuer}/par`, portal.ca);
    assert.equal(got.status, 405);
    const query = await send(`${portal.issuer}/par?${params}`, portal.ca, { body: "" });
    assert.equal(query.status, 404);
  });

  test("a request without state and without nonce succeeds; a user's no comes back as access_denied", async () => {
    const { id, cookie } = await ask(portal, { over: { state: null, scope: "openid" } });
    const done = new URL((await portal.desk.allow(id, cookie, login()))?.location ?? "");
    assert.equal(done.searchParams.has("state"), false);
    const answer = await redeem(portal, done.searchParams.get("code") ?? "");
    const claims = JSON.parse(Buffer.from(String(answer.body["id_token"]).split(".")[1] ?? "", "base64url").toString());
    assert.equal("nonce" in claims, false);
    const other = await ask(portal);
    const refused = new URL((await portal.desk.refuse(other.id, other.cookie, "access_denied"))?.location ?? "");
    assert.equal(refused.searchParams.get("error"), "access_denied");
  });

  test("long values of the client come back as they were sent: a state and a nonce of 384 characters, a nonce of 64", async () => {
    for (const length of [64, 384]) {
      const [state, nonce] = ["s".repeat(length), "n".repeat(length)];
      const { id, cookie } = await ask(portal, { over: { state, nonce, scope: "openid" } });
      const done = new URL((await portal.desk.allow(id, cookie, login()))?.location ?? "");
      assert.equal(done.searchParams.get("state"), state);
      const answer = await redeem(portal, done.searchParams.get("code") ?? "");
      const payload = String(answer.body["id_token"]).split(".")[1] ?? "";
      assert.equal(JSON.parse(Buffer.from(payload, "base64url").toString()).nonce, nonce);
    }
  });

  test("scopes in any order are the same request (EnsureOtherScopeOrderSucceeds)", async () => {
    const words = ["openid", "orders:order.list", "orders:order.create"];
    const given = [];
    for (const scope of [words.join(" "), [...words].reverse().join(" ")]) {
      const { id, cookie } = await ask(portal, { over: { scope } });
      const scopes = (await portal.desk.pending(id, cookie))?.scopes ?? [];
      const done = await portal.desk.allow(id, cookie, { ...login(), scopes });
      const answer = await redeem(portal, new URL(done?.location ?? "").searchParams.get("code") ?? "");
      assert.equal(answer.status, 200, answer.text);
      assert.ok("id_token" in answer.body);
      given.push(String(answer.body["scope"]).split(" ").sort());
    }
    assert.deepEqual(given[0], given[1]);
  });

  test("clocks may differ: nbf and iat 8 s ahead of ours are taken in an assertion and in a signed request, a minute ahead they are not", async () => {
    const { issuer, portalKey } = portal;
    const early = (by: number) => ({ iat: seconds(by), nbf: seconds(by), exp: seconds(by + 60) });
    assert.equal((await pushWith(assertion("portal", issuer, portalKey, early(8)))).status, 201);
    const late = await pushWith(assertion("portal", issuer, portalKey, early(60)));
    assert.deepEqual([late.status, late.body["error"]], [401, "invalid_client"]);
    const header = { alg: "ES256", kid: portalKey.kid, typ: "oauth-authz-req+jwt" };
    const signed = (by: number) => {
      const claims = { ...Object.fromEntries(requestParameters(portal)), iss: "portal", aud: issuer, ...early(by) };
      return postForm(portal, "/par", new URLSearchParams({ request: jws(header, claims, portalKey.privateKey) }));
    };
    assert.equal((await signed(8)).status, 201);
    assert.equal((await signed(60)).status, 400);
  });

  test("a proof of a clock 10 s ahead gets a token (EnsureDpopProofWithIat10SecondsAfterSucceeds), one further ahead does not, and neither gets a second", async () => {
    const { holder } = portal.estate;
    const redeemAt = async (by: number) => {
      const nonce = await nonceFor(portal, holder);
      const proof = dpopProof(holder, `${portal.issuer}/token`, nonce, { iat: seconds(by) });
      return [await redeem(portal, await codeFor(portal), { proof }), proof] as const;
    };
    const [taken, proof] = await redeemAt(10);
    assert.equal(taken.status, 200, taken.text);
    const again = await redeem(portal, await codeFor(portal), { proof });
    assert.deepEqual([again.status, again.body["error"]], [400, "invalid_dpop_proof"]);
    const [ahead] = await redeemAt(30);
    assert.deepEqual([ahead.status, ahead.body["error"]], [400, "invalid_dpop_proof"]);
  });

  test("a client told to sign its requests pushes no unsigned one (EnsureUnsignedRequestAtParEndpointFails); its neighbour may", async () => {
    const { issuer, portalKey, estate } = portal;
    const former = estate.production.directory;
    const own = former.clients.get("portal");
    assert.ok(own !== undefined);
    const clients = new Map([...former.clients, ["portal", { ...own, signsRequests: true as const }]]);
    estate.production.directory = { ...former, version: `${former.version} signing`, clients };
    try {
      const plain = await postForm(portal, "/par", requestParameters(portal));
      assert.deepEqual([plain.status, plain.body["error"]], [400, "invalid_request"], plain.text);
      const leaf = estate.production.leaves.at(-1);
      assert.equal(leaf?.t === "issuance" && leaf.code, "request-object-missing");
      const claims = {
        ...Object.fromEntries(requestParameters(portal, { over: { scope: "orders:order.list" } })),
        ...{ iss: "portal", aud: issuer, nbf: seconds(0), exp: seconds(60) },
      };
      const header = { alg: "ES256", kid: portalKey.kid, typ: "oauth-authz-req+jwt" };
      const nothing = Buffer.from(JSON.stringify({ ...header, alg: "none" })).toString("base64url");
      const unsigned = `${nothing}.${Buffer.from(JSON.stringify(claims)).toString("base64url")}.`;
      const none = await postForm(portal, "/par", new URLSearchParams({ request: unsigned }));
      assert.deepEqual([none.status, none.body["error"]], [400, "invalid_request_object"], none.text);
      const empty = await postForm(portal, "/par", new URLSearchParams({ client_id: "portal", request: "" }));
      assert.equal(empty.status, 400, "an empty one is none");
      const request = jws(header, claims, portalKey.privateKey);
      const beside = { request, scope: "orders:order.create", state: "injected" };
      const pushed = await postForm(portal, "/par", new URLSearchParams(beside));
      assert.equal(pushed.status, 201, pushed.text);
      const query = new URLSearchParams({ client_id: "portal", request_uri: String(pushed.body["request_uri"]) });
      const { id, cookie } = underWay(await send(`${issuer}/authorize?${query}`, portal.ca));
      const scopes = (await portal.desk.pending(id, cookie))?.scopes ?? [];
      assert.deepEqual(scopes, ["orders:order.list"], "what was signed");
      const done = new URL((await portal.desk.allow(id, cookie, { ...login(), scopes }))?.location ?? "");
      assert.equal(done.searchParams.get("state"), "state-of-this-browser");
      const { body } = await send(`${issuer}/.well-known/openid-configuration`, portal.ca);
      assert.equal("require_signed_request_object" in body, false, "asked of one client, not of all");
    } finally {
      estate.production.directory = former;
    }
    assert.equal((await postForm(portal, "/par", requestParameters(portal))).status, 201);
  });

  test("what stands beside a pushed request in the browser's query changes nothing", async () => {
    const pushed = await postForm(portal, "/par", requestParameters(portal));
    const query = new URLSearchParams({
      client_id: "portal",
      request_uri: String(pushed.body["request_uri"]),
      state: "injected",
      redirect_uri: "https://portal.example/other?x=1",
      scope: "openid",
    });
    const { id, cookie } = underWay(await send(`${portal.issuer}/authorize?${query}`, portal.ca));
    const pending = await portal.desk.pending(id, cookie);
    assert.equal(pending?.openid, false);
    const done = new URL((await portal.desk.allow(id, cookie, login()))?.location ?? "");
    assert.equal(done.searchParams.get("state"), "state-of-this-browser");
    assert.equal(done.pathname, "/callback");
  });

  test("a code used again a while later is refused, and what it gave is dead", async () => {
    const code = await codeFor(portal);
    const first = await redeem(portal, code);
    assert.equal(first.status, 200);
    assert.equal((await redeem(portal, code)).body["error"], "invalid_grant");
    assert.equal((await refreshWith(portal, String(first.body["refresh_token"]))).body["error"], "invalid_grant");
  });

  test("tokens are for the holder of a key: no proof, no token; a proof for another URL, method, time or nonce is none", async () => {
    const url = `${portal.issuer}/token`;
    const { holder } = portal.estate;
    const code = await codeFor(portal);
    assert.equal((await redeem(portal, code, { proof: null })).status, 400);
    const first = await redeem(portal, code, { proof: dpopProof(holder, url, undefined) });
    assert.equal(first.body["error"], "use_dpop_nonce");
    const nonce = String(first.headers["dpop-nonce"]);
    for (const [name, proof] of [
      ["another URL", dpopProof(holder, `${portal.issuer}/par`, nonce)],
      ["another method", dpopProof(holder, url, nonce, { htm: "GET" })],
      ["too old", dpopProof(holder, url, nonce, { iat: seconds(-600) })],
      ["in the future", dpopProof(holder, url, nonce, { iat: seconds(600) })],
      ["no id", dpopProof(holder, url, nonce, { jti: undefined })],
      ["no type", dpopProof(holder, url, nonce, {}, { typ: "JWT" })],
      ["a symmetric algorithm", dpopProof(holder, url, nonce, {}, { alg: "HS256" })],
    ] as const) {
      const answer = await redeem(portal, code, { proof });
      assert.equal(answer.body["error"], "invalid_dpop_proof", name);
    }
    assert.equal((await redeem(portal, code, { nonce })).status, 200, "none of it used the code up");
  });
});
