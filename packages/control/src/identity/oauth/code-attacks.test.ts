import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { forEachDialect } from "@sallyport/kernel/store/for-each-dialect.ts";
import { dpopProof, jws, send, testKey } from "../issuer.test-support.ts";
import {
  type Asked,
  ask,
  codeFor,
  login,
  type Portal,
  portalCallback,
  portalDirectory,
  postForm,
  redeem,
  requestParameters,
  startPortal,
  underWay,
} from "./portal.test-support.ts";

const inSeconds = (s: number) => Math.floor(Date.now() / 1000) + s;

forEachDialect((_dialect, open) => {
  let portal: Portal;
  before(async () => {
    portal = await startPortal(await open({ commands: new URL("../commands.test-support.ts", import.meta.url) }));
  });
  after(() => portal.estate.close());

  const lastCode = () => {
    const leaf = portal.estate.production.leaves.at(-1);
    return leaf?.t === "issuance" ? leaf.code : null;
  };
  const authorize = (params: URLSearchParams) => send(`${portal.issuer}/authorize?${params}`, portal.ca);
  const asApp = (over: Asked["over"] = {}, resources?: readonly string[]) =>
    authorize(requestParameters(portal, { client: "app", over, ...(resources === undefined ? {} : { resources }) }));
  const push = (over: Asked["over"] = {}, resources?: readonly string[]) =>
    postForm(portal, "/par", requestParameters(portal, { over, ...(resources === undefined ? {} : { resources }) }));
  const errorIn = (answer: { headers: Readonly<Record<string, string | string[] | undefined>> }) => {
    const location = answer.headers["location"];
    return typeof location === "string" ? new URL(location).searchParams.get("error") : null;
  };

  test("attack: redirect URIs that look like the registered one are never followed, and the page repeats nothing (class 7)", async () => {
    const hostile = [
      "https://portal.example/callback/",
      "https://portal.example/callback?x=1",
      "https://portal.example/callback#x",
      "https://portal.example/%63allback",
      "https://portal.example/a/../callback",
      "https://portal.example./callback",
      "https://PORTAL.example/callback",
      "https://portal.example:443/callback",
      "https://portal.example@evil.example/callback",
      "https://evil.example/callback",
      "https://portal.example.evil.example/callback",
      "http://portal.example/callback",
      "javascript:alert(1)",
      "",
    ];
    for (const uri of hostile) {
      const pushed = await push({ redirect_uri: uri });
      assert.equal(pushed.status, 400, uri);
      assert.equal(pushed.body["error"], "invalid_request", uri);
    }
    for (const uri of [
      "http://127.0.0.1:1@evil.example/callback",
      "http://user@127.0.0.1/callback",
      "http://localhost/callback",
      "http://127.0.0.1.evil.example/callback",
      "http://127.0.0.1:80/other",
      "http://127.0.0.1:99999/callback",
      "http://[::1]/callback",
      "https://127.0.0.1/callback",
      "com.example.app:/callback2",
      "com.example.app://callback",
    ]) {
      const answer = await asApp({ redirect_uri: uri });
      assert.equal(answer.status, 400, uri);
      assert.equal(answer.headers["location"], undefined, uri);
      assert.equal(answer.text.includes("evil"), false);
      assert.match(String(answer.headers["content-security-policy"]), /frame-ancestors 'none'/);
    }
    for (const port of [1024, 49_152, 65_535])
      underWay(await asApp({ redirect_uri: `http://127.0.0.1:${port}/callback` }));
    underWay(await asApp({ redirect_uri: "com.example.app:/callback" }));
  });

  test("attack: a redirect URI given twice, or a client given twice, is refused (class 7, parameter pollution)", async () => {
    for (const name of ["redirect_uri", "client_id", "code_challenge", "state", "scope"]) {
      const params = requestParameters(portal, { client: "app", over: { scope: "openid" } });
      params.append(name, name === "redirect_uri" ? "https://evil.example/" : "x");
      const answer = await authorize(params);
      assert.equal(answer.headers["location"]?.includes("evil") ?? false, false, name);
      assert.ok(answer.status === 400 || errorIn(answer) === "invalid_request", `${name} ${answer.status}`);
    }
  });

  test("attack: PKCE cannot be left out, weakened or added afterwards (class 10)", async () => {
    const none = { code_challenge: null, code_challenge_method: null };
    for (const over of [
      none,
      { code_challenge_method: "plain" },
      { code_challenge_method: null },
      { code_challenge: null },
      { code_challenge: "short" },
    ]) {
      assert.equal((await push(over)).body["error"], "invalid_request", JSON.stringify(over));
      assert.equal(errorIn(await asApp(over)), "invalid_request", JSON.stringify(over));
    }
    const code = await codeFor(portal);
    assert.equal((await redeem(portal, code, { over: { code_verifier: null } })).body["error"], "invalid_request");
    const wrong = { code_verifier: "another-verifier-of-at-least-forty-three-characters" };
    assert.equal((await redeem(portal, code, { over: wrong })).body["error"], "invalid_grant");
    assert.equal(lastCode(), "code-verifier-mismatch");
    assert.equal((await redeem(portal, code)).status, 200, "a wrong guess does not use the code up");
  });

  test("attack: response types and modes we do not serve, in the request or smuggled through it (class 9)", async () => {
    for (const response_type of ["token", "id_token", "code id_token", "none", "code token"]) {
      const refused = await push({ response_type });
      assert.ok(
        ["unsupported_response_type", "invalid_request"].includes(String(refused.body["error"])),
        response_type,
      );
      const answer = await asApp({ response_type });
      const location = String(answer.headers["location"]);
      assert.equal(location.includes("access_token="), false);
    }
    for (const response_mode of ["fragment", "form_post", "jwt", "web_message"])
      assert.ok(
        ["unsupported_response_mode", "invalid_request"].includes(
          String((await push({ response_mode })).body["error"]),
        ),
      );
    for (const over of [{ request_uri: "https://evil.example/request.jwt" }, { registration: "{}" }])
      assert.equal((await push(over)).status, 400);
  });

  test("a code is good for the client, the redirect URI and the key it was asked with, and for no other (class 13)", async () => {
    const code = await codeFor(portal);
    const other = await redeem(portal, code, { client: "shop" });
    assert.equal(other.body["error"], "invalid_grant");
    assert.equal(lastCode(), "code-unknown");
    const elsewhere = await redeem(portal, code, { over: { redirect_uri: "https://portal.example/other?x=1" } });
    assert.equal(elsewhere.body["error"], "invalid_grant");
    const bare = await redeem(portal, code, { proof: null });
    assert.equal(bare.body["error"], "invalid_request", "no proof, no token");
    assert.equal((await redeem(portal, code)).status, 200);
    const holder = testKey();
    const bound = await codeFor(portal, { over: { dpop_jkt: holder.kid } });
    assert.equal((await redeem(portal, bound)).body["error"], "invalid_grant");
    assert.equal(lastCode(), "code-key-mismatch");
    assert.equal((await redeem(portal, bound, { holder })).status, 200);
  });

  test("a proof that comes with a pushed request binds the code to its key (RFC 9449 §10.1), used once like any", async () => {
    const holder = testKey();
    const url = `${portal.issuer}/par`;
    const first = await postForm(portal, "/par", requestParameters(portal), {
      proof: dpopProof(holder, url, undefined),
    });
    assert.equal(first.body["error"], "use_dpop_nonce");
    const nonce = String(first.headers["dpop-nonce"]);
    const wrongPlace = dpopProof(holder, `${portal.issuer}/token`, nonce);
    assert.equal((await postForm(portal, "/par", requestParameters(portal), { proof: wrongPlace })).status, 400);
    const mismatched = requestParameters(portal, { over: { dpop_jkt: testKey().kid } });
    const refused = await postForm(portal, "/par", mismatched, { proof: dpopProof(holder, url, nonce) });
    assert.equal(refused.body["error"], "invalid_request");
    const proof = dpopProof(holder, url, nonce);
    const pushed = await postForm(portal, "/par", requestParameters(portal), { proof });
    assert.equal(pushed.status, 201, pushed.text);
    assert.equal(
      (await postForm(portal, "/par", requestParameters(portal), { proof })).body["error"],
      "invalid_dpop_proof",
    );
    const query = new URLSearchParams({ client_id: "portal", request_uri: String(pushed.body["request_uri"]) });
    const { id, cookie } = underWay(await authorize(query));
    const done = await portal.desk.allow(id, cookie, login());
    const code = new URL(done?.location ?? "").searchParams.get("code") ?? "";
    assert.equal((await redeem(portal, code)).body["error"], "invalid_grant", "another key");
    assert.equal((await redeem(portal, code, { holder })).status, 200);
  });

  test("a client that can keep a key pushes its requests; a pushed request is another client's for nobody (RFC 9126 §7)", async () => {
    const direct = await authorize(requestParameters(portal));
    assert.equal(errorIn(direct), "invalid_request");
    const pushed = await push();
    const query = new URLSearchParams({ client_id: "app", request_uri: String(pushed.body["request_uri"]) });
    const stolen = await authorize(query);
    assert.equal(stolen.headers["location"]?.includes("/interaction/") ?? false, false);
    const made = new URLSearchParams({ client_id: "portal", request_uri: "urn:ietf:params:oauth:request_uri:made-up" });
    assert.equal((await authorize(made)).status, 400);
    const anonymous = await send(`${portal.issuer}/par`, portal.ca, { body: requestParameters(portal).toString() });
    assert.equal(anonymous.status, 401);
  });

  test("attack: a page's address alone, in another browser, opens nothing (login fixation)", async () => {
    const { id, cookie } = await ask(portal);
    const other = await ask(portal);
    assert.equal(await portal.desk.pending(id, undefined), null);
    assert.equal(await portal.desk.pending(id, other.cookie), null);
    assert.equal(await portal.desk.allow(id, other.cookie, login()), null);
    assert.equal(await portal.desk.pending("made-up", cookie), null);
    // Whoever saw the address in a history or a log makes a cookie of it.
    const [name = ""] = cookie.split("=");
    assert.equal(await portal.desk.pending(id, `${name}=${id}`), null);
    assert.equal(await portal.desk.allow(id, `${name}=${id}`, login()), null);
    assert.equal(await portal.desk.refuse(id, `${name}=${id}`, "access_denied"), null);
    assert.ok(!cookie.includes(id), "the cookie holds nothing of the address");
    assert.ok((await portal.desk.pending(id, cookie)) !== null);
    const answer = await asApp();
    const set = [answer.headers["set-cookie"]].flat().join("\n");
    assert.match(
      set,
      /__Secure-sallyport-interaction=[^;]+; path=\/main\/production\/interaction\/[^;]+; expires=[^;]+; samesite=lax; secure; httponly/i,
    );
  });

  test("every answer to the client names its issuer (RFC 9207), errors too, and brings the state back unchanged", async () => {
    const { id, cookie } = await ask(portal, { over: { state: "a b&c=d#e%20" } });
    const done = new URL((await portal.desk.refuse(id, cookie, "access_denied"))?.location ?? "");
    assert.equal(done.origin + done.pathname, portalCallback);
    assert.deepEqual(
      [...done.searchParams],
      [
        ["error", "access_denied"],
        ["state", "a b&c=d#e%20"],
        ["iss", portal.issuer],
      ],
    );
    const refused = new URL(String((await asApp({ scope: "orders:everything" })).headers["location"]));
    assert.deepEqual(
      [refused.searchParams.get("error"), refused.searchParams.get("iss")],
      ["invalid_scope", portal.issuer],
    );
    const kept = await codeFor(portal, { over: { redirect_uri: "https://portal.example/other?x=1" } });
    assert.ok(kept.length > 0);
  });

  test("a request names its providers, at most eight, granted ones only; the token request names one of them (RFC 8707)", async () => {
    assert.equal((await push({}, [])).body["error"], "invalid_target");
    for (const resource of [
      portal.resource("shop"),
      "https://elsewhere.example/systems/orders",
      "orders",
      `${portal.resource("orders")}#x`,
    ])
      assert.equal((await push({}, [resource])).body["error"], "invalid_target", resource);
    const nine = Array.from({ length: 9 }, (_, n) => portal.resource(`s${n}`));
    assert.equal((await push({}, nine)).body["error"], "invalid_target");
    const both = { resources: [portal.resource("orders"), portal.resource("billing")] };
    const scope = "orders:order.list billing:invoice.read";
    const code = await codeFor(portal, { ...both, over: { scope } }, { ...login(), scopes: scope.split(" ") });
    assert.equal((await redeem(portal, code)).body["error"], "invalid_target", "which one?");
    const billing = await redeem(portal, code, { over: { resource: portal.resource("billing") } });
    assert.equal(billing.body["scope"], "billing:invoice.read", billing.text);
    const narrow = await codeFor(portal);
    const beyond = await redeem(portal, narrow, { over: { resource: portal.resource("billing") } });
    assert.equal(beyond.body["error"], "invalid_target");
  });

  test("what a suspended integration granted is not asked for, not redeemed and not refreshed", async () => {
    const code = await codeFor(portal);
    const { id, cookie } = await ask(portal);
    const former = portal.estate.production.directory;
    const key = { jwk: { ...portal.portalKey.jwk, kid: portal.portalKey.kid } };
    portal.estate.production.directory = portalDirectory([key], ["portal-to-orders"]);
    const refused = await redeem(portal, code);
    const gone = await portal.desk.pending(id, cookie);
    const pushed = await push();
    portal.estate.production.directory = former;
    assert.equal(refused.body["error"], "invalid_target");
    assert.equal(gone, null);
    assert.equal(pushed.body["error"], "invalid_target");
  });

  test("max_age is kept: an old log-in is no answer, whatever the pages say (class 29)", async () => {
    const { id, cookie } = await ask(portal, { over: { scope: "openid", max_age: "60" } });
    const old = login({ authTime: inSeconds(-3_600) });
    const done = new URL((await portal.desk.allow(id, cookie, old))?.location ?? "");
    assert.equal(done.searchParams.get("error"), "login_required");
    assert.equal(done.searchParams.get("code"), null);
  });

  test("the pages cannot allow more than was asked", async () => {
    const { id, cookie } = await ask(portal, { over: { scope: "orders:order.list" } });
    for (const scopes of [null, ["orders:order.create"], ["orders:order.list", "billing:invoice.read"]])
      await assert.rejects(portal.desk.allow(id, cookie, { ...login(), scopes }), /more than was asked/);
  });

  test("a signed request by value is taken when it was made for us, lately, as one; every other JWT is not (RFC 9101, class 5)", async () => {
    const claims = () => ({
      ...Object.fromEntries(requestParameters(portal)),
      iss: "portal",
      aud: portal.issuer,
      nbf: inSeconds(0),
      exp: inSeconds(60),
    });
    const header = { alg: "ES256", kid: portal.portalKey.kid, typ: "oauth-authz-req+jwt" };
    const pushRequest = (request: string, key = portal.portalKey) =>
      postForm(portal, "/par", new URLSearchParams({ request }), { key });
    const signed = (over: object = {}, head: object = {}) =>
      jws({ ...header, ...head }, { ...claims(), ...over }, portal.portalKey.privateKey);
    const taken = await pushRequest(signed());
    assert.equal(taken.status, 201, taken.text);
    const query = new URLSearchParams({ client_id: "portal", request_uri: String(taken.body["request_uri"]) });
    underWay(await authorize(query));
    const bad: readonly [string, string][] = [
      ["no type", signed({}, { typ: undefined })],
      ["the type of an assertion", signed({}, { typ: "JWT" })],
      ["another audience", signed({ aud: "https://elsewhere.example" })],
      ["two audiences", signed({ aud: [portal.issuer, "https://elsewhere.example"] })],
      ["expired", signed({ exp: inSeconds(-60), nbf: inSeconds(-120) })],
      ["no end", signed({ exp: undefined })],
      ["no beginning", signed({ nbf: undefined, iat: inSeconds(0) })],
      ["a long life", signed({ exp: inSeconds(86_400) })],
      ["not yet", signed({ nbf: inSeconds(600), exp: inSeconds(660) })],
      ["a subject", signed({ sub: "portal" })],
      ["another client inside", signed({ client_id: "shop" })],
      ["another issuer", signed({ iss: "shop" })],
      ["padding", `${signed()}==`],
      ["another key", jws(header, claims(), testKey().privateKey)],
      [
        "no algorithm",
        `${Buffer.from(JSON.stringify({ ...header, alg: "none" })).toString("base64url")}.${Buffer.from(JSON.stringify(claims())).toString("base64url")}.`,
      ],
    ];
    for (const [name, request] of bad) {
      const answer = await pushRequest(request);
      assert.equal(answer.status, 400, name);
      assert.match(String(answer.body["error"]), /^invalid_request(_object)?$/, name);
    }
  });

  test("an ID token opens nothing: neither as access token nor as client assertion nor as pushed request (class 5)", async () => {
    const code = await codeFor(portal, { over: { scope: "openid", nonce: "n-1" } });
    const answer = await redeem(portal, code);
    const idToken = String(answer.body["id_token"]);
    const header = JSON.parse(Buffer.from(idToken.split(".")[0] ?? "", "base64url").toString());
    assert.equal(header.typ, "JWT");
    const claims = JSON.parse(Buffer.from(idToken.split(".")[1] ?? "", "base64url").toString());
    assert.deepEqual([claims.aud, claims.nonce, claims.exp - claims.iat], ["portal", "n-1", 600]);
    assert.equal((await postForm(portal, "/par", new URLSearchParams({ request: idToken }))).status, 400);
  });

  test("thousands of scopes cost nothing (class 27)", async () => {
    const before = process.cpuUsage();
    const answer = await push({ scope: "a ".repeat(5_000).trim() });
    assert.ok(answer.status === 400 || answer.status === 413);
    // Time of the processor, and asker and issuer are in this process.
    const { user, system } = process.cpuUsage(before);
    assert.ok(user + system < 2_000_000, `${user + system} µs`);
  });
});
