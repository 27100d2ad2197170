import assert from "node:assert/strict";
import { createHmac, generateKeyPairSync, randomBytes, sign } from "node:crypto";
import { request as httpsRequest } from "node:https";
import { after, before, beforeEach, test } from "node:test";
import { forEachDialect } from "@sallyport/kernel/store/for-each-dialect.ts";
import { createTokenCrypto } from "@sallyport/kernel/token-crypto.ts";
import { readAccessToken } from "@sallyport/protocol/token/access-token.ts";
import { parsePublicJwk } from "@sallyport/protocol/token/jwk.ts";
import { directoryWith, startEstate, type TestEstate } from "./estate.test-support.ts";
import { assertion, dpopProof, form, jws, send, type TestAnswer, testKey } from "./issuer.test-support.ts";
import type { IdentityCommands } from "./store.ts";

const encode = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString("base64url");
const now = (): number => Math.floor(Date.now() / 1000);

forEachDialect((_dialect, open) => {
  let estate: TestEstate;
  let nonce: string;
  before(async () => {
    estate = await startEstate(
      await open<IdentityCommands>({ commands: new URL("./commands.test-support.ts", import.meta.url) }),
    );
  });
  // Of its own for each test: one lives a minute, and all of them together may take longer.
  beforeEach(async () => {
    nonce = await estate.nonce();
  });
  after(() => estate.close());

  const proof = (over: Record<string, unknown> = {}, header: Record<string, unknown> = {}) =>
    dpopProof(estate.holder, `${estate.production.issuer}/token`, nonce, over, header);
  /** One request with this assertion and an otherwise perfect body. */
  const withAssertion = (text: string, client = "orders") => estate.token({ assertion: text, client, proof: proof() });
  const lastCode = () => {
    const leaf = estate.production.leaves.at(-1);
    return leaf?.t === "issuance" ? leaf.code : null;
  };
  const accepted = () =>
    estate.production.leaves.filter((leaf) => leaf.t === "issuance" && leaf.verdict === "allow").length;

  test("twenty concurrent uses of one client assertion: exactly one gets a token", async () => {
    const text = assertion("orders", estate.production.issuer, estate.orders);
    const answers = await Promise.all(Array.from({ length: 20 }, () => withAssertion(text)));
    assert.equal(answers.filter((answer) => answer.status === 200).length, 1);
    assert.ok(answers.every((answer) => answer.status === 200 || answer.body["error"] === "invalid_client"));
  });

  test("twenty concurrent uses of one DPoP proof, each with its own assertion: exactly one gets a token", async () => {
    const one = proof();
    const answers = await Promise.all(Array.from({ length: 20 }, () => estate.token({ proof: one })));
    assert.equal(answers.filter((answer) => answer.status === 200).length, 1);
    assert.ok(answers.every((answer) => answer.status === 200 || answer.body["error"] === "invalid_dpop_proof"));
  });

  test("an assertion whose request was refused is used up: what intercepts it gets no token, whatever the refusal was", async () => {
    const { issuer } = estate.production;
    const refusals: Record<string, Parameters<TestEstate["token"]>[0]> = {
      invalid_target: { form: { resource: `${issuer}/systems/nowhere` }, proof: proof() },
      invalid_scope: { form: { scope: "billing:invoice.erase" }, proof: proof() },
      use_dpop_nonce: {
        proof: dpopProof(estate.holder, `${issuer}/token`, "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"),
      },
      invalid_dpop_proof: { proof: "not.a.proof" },
    };
    for (const [error, request] of Object.entries(refusals)) {
      const text = assertion("orders", issuer, estate.orders);
      const refused = await estate.token({ ...request, assertion: text });
      assert.equal(refused.body["error"], error, refused.text);
      const records = estate.production.leaves.length;
      const again = await withAssertion(text);
      assert.deepEqual([again.status, again.body["error"]], [401, "invalid_client"], error);
      // Of strangers the first few get a leaf, the rest a count.
      const since = estate.production.leaves.slice(records);
      assert.ok(
        since.every((leaf) => leaf.t === "issuance" && leaf.client === null && leaf.code === "assertion-replayed"),
        "whoever sends it again has not proven who it is",
      );
    }
  });

  test("a used assertion before a refused request is refused for the assertion, and costs nobody a proof", async () => {
    const { issuer } = estate.production;
    const text = assertion("orders", issuer, estate.orders);
    assert.equal((await withAssertion(text)).status, 200);
    const nowhere = await estate.token({
      ...{ assertion: text, form: { resource: `${issuer}/systems/nowhere` }, proof: proof() },
    });
    assert.deepEqual([nowhere.status, nowhere.body["error"]], [401, "invalid_client"]);
    const one = proof();
    assert.equal((await estate.token({ assertion: text, proof: one })).status, 401);
    assert.equal((await estate.token({ proof: one })).status, 200, "the proof is fresh still");
  });

  test("whatever is wrong with an assertion, and whether the client exists, the answer is the same", async () => {
    const { issuer } = estate.production;
    const { orders } = estate;
    const stranger = testKey();
    const rsa = generateKeyPairSync("rsa", { modulusLength: 2048 }).privateKey;
    const claims = { iss: "orders", sub: "orders", aud: issuer, iat: now(), exp: now() + 60, jti: "attack" };
    const publicPem = JSON.stringify(orders.jwk);
    const hmac = (input: string) => `${input}.${createHmac("sha256", publicPem).update(input).digest("base64url")}`;
    const good = assertion("orders", issuer, orders);
    const cases: Record<string, string> = {
      "unknown client": assertion("nobody", issuer, stranger),
      "foreign key": assertion("orders", issuer, stranger),
      "foreign key under our kid": assertion("orders", issuer, { ...stranger, kid: orders.kid }),
      "another client's key": assertion("orders", issuer, estate.analytics),
      "alg none": `${encode({ alg: "none" })}.${encode(claims)}.`,
      "HS256 with the public key": hmac(`${encode({ alg: "HS256", kid: orders.kid })}.${encode(claims)}`),
      "RS256 header over an EC key": jws({ alg: "RS256", kid: orders.kid }, claims, orders.privateKey),
      "an RSA key of the attacker": `${encode({ alg: "PS256" })}.${encode(claims)}.${sign("sha256", Buffer.from("x"), rsa).toString("base64url")}`,
      "embedded jwk": assertion("orders", issuer, stranger, {}, { jwk: stranger.jwk }),
      "unknown header member": assertion("orders", issuer, orders, {}, { "x-extra": 1 }),
      "crit header": assertion("orders", issuer, orders, {}, { crit: ["exp"] }),
      "access token type": assertion("orders", issuer, orders, {}, { typ: "at+jwt" }),
      "DPoP type": assertion("orders", issuer, orders, {}, { typ: "dpop+jwt" }),
      "audience token endpoint": assertion("orders", `${issuer}/token`, orders),
      "audience array": assertion("orders", [issuer], orders),
      "audience array with a stranger": assertion("orders", [issuer, "https://evil.example"], orders),
      "audience with a slash": assertion("orders", `${issuer}/`, orders),
      "audience of staging": assertion("orders", estate.staging.issuer, orders),
      "no audience": assertion("orders", undefined, orders),
      expired: assertion("orders", issuer, orders, { exp: now() - 60 }),
      "expires in a day": assertion("orders", issuer, orders, { exp: now() + 86_400 }),
      "no expiry": assertion("orders", issuer, orders, { exp: undefined }),
      "text expiry": assertion("orders", issuer, orders, { exp: String(now() + 60) }),
      "issued in the future": assertion("orders", issuer, orders, { iat: now() + 3_600 }),
      "not before in the future": assertion("orders", issuer, orders, { nbf: now() + 3_600 }),
      "no jti": assertion("orders", issuer, orders, { jti: undefined }),
      "numeric jti": assertion("orders", issuer, orders, { jti: 7 }),
      "huge jti": assertion("orders", issuer, orders, { jti: "x".repeat(129) }),
      "issuer is another client": assertion("orders", issuer, orders, { iss: "analytics" }),
      "padded signature": `${good}==`,
      "name twice": twiceNamed(issuer, orders),
    };
    const before = accepted();
    const records = estate.production.leaves.length;
    const faces = new Set<string>();
    for (const [name, text] of Object.entries(cases)) {
      const answer = await withAssertion(text, name === "unknown client" ? "nobody" : "orders");
      assert.equal(answer.status, 401, `${name}: ${answer.text}`);
      faces.add(JSON.stringify([answer.text, answer.headers["www-authenticate"], answer.headers["content-type"]]));
    }
    assert.deepEqual([...faces].length, 1, [...faces].join("\n"));
    assert.equal(accepted(), before);
    const codes = new Set(
      estate.production.leaves.slice(records).map((leaf) => (leaf.t === "issuance" ? leaf.code : null)),
    );
    for (const code of [
      "client-unknown",
      "assertion-signature",
      "assertion-algorithm",
      "assertion-audience",
      "assertion-expired",
      "assertion-future",
      "assertion-too-long",
      "assertion-spelling",
      "assertion-header",
    ]) {
      assert.ok(codes.has(code), `${code} is not among ${[...codes].join(" ")}`);
    }
  });

  test("a client cannot burn another client's assertion ids or proof ids", async () => {
    const jti = randomBytes(8).toString("hex");
    const first = await estate.token({
      client: "analytics",
      assertion: assertion("analytics", estate.production.issuer, estate.analytics, { jti }),
      proof: proof({ jti }),
    });
    assert.equal(first.status, 200, first.text);
    const otherKey = testKey();
    const second = await estate.token({
      assertion: assertion("orders", estate.production.issuer, estate.orders, { jti }),
      proof: dpopProof(otherKey, `${estate.production.issuer}/token`, nonce, { jti }),
    });
    assert.equal(second.status, 200, second.text);
  });

  test("client_id and assertion of two different clients are refused", async () => {
    const answer = await estate.token({
      client: "analytics",
      assertion: assertion("orders", estate.production.issuer, estate.orders),
      proof: proof(),
    });
    assert.equal(answer.status, 400);
    assert.equal("access_token" in answer.body, false);
  });

  test("secrets, Basic, no authentication at all and other grants get nothing", async () => {
    const { issuer } = estate.production;
    const bare = { grant_type: "client_credentials", resource: `${issuer}/systems/billing` };
    const cases: [string, Record<string, string>, Record<string, string>][] = [
      ["secret in the body", { ...bare, client_id: "orders", client_secret: "x" }, {}],
      ["secret of nobody", { ...bare, client_id: "nobody", client_secret: "x" }, {}],
      ["client id alone", { ...bare, client_id: "orders" }, {}],
      ["client id of nobody", { ...bare, client_id: "nobody" }, {}],
      ["Basic", { ...bare }, { authorization: `Basic ${Buffer.from("orders:x").toString("base64")}` }],
    ];
    const texts = new Map<string, TestAnswer>();
    for (const [name, body, headers] of cases) {
      const answer = await estate.post(issuer, new URLSearchParams(body).toString(), {
        headers: { ...headers, dpop: proof() },
      });
      assert.ok(answer.status === 400 || answer.status === 401, name);
      texts.set(name, answer);
    }
    assert.equal(texts.get("secret in the body")?.text, texts.get("secret of nobody")?.text);
    assert.equal(texts.get("client id alone")?.text, texts.get("client id of nobody")?.text);
    for (const grant of [
      "authorization_code",
      "refresh_token",
      "password",
      "implicit",
      "urn:ietf:params:oauth:grant-type:device_code",
    ]) {
      const answer = await estate.token({ form: { grant_type: grant, code: "x", refresh_token: "x" }, proof: proof() });
      assert.equal(answer.body["error"], "unsupported_grant_type", grant);
    }
  });

  test("a parameter given twice is refused, whichever it is", async () => {
    const { issuer } = estate.production;
    for (const name of ["grant_type", "client_id", "client_assertion", "client_assertion_type", "scope", "resource"]) {
      const body = form("orders", assertion("orders", issuer, estate.orders), {
        resource: `${issuer}/systems/billing`,
        scope: "billing:invoice.read",
      });
      body.append(name, body.get(name) ?? "");
      const answer = await estate.post(issuer, body.toString(), { headers: { dpop: proof() } });
      assert.equal(answer.status, 400, `${name}: ${answer.text}`);
      assert.equal("access_token" in answer.body, false);
    }
  });

  test("resource: missing, foreign, ungranted and unknown systems get no token, and the last three look alike", async () => {
    const { issuer } = estate.production;
    const missing = await estate.post(issuer, form("orders", assertion("orders", issuer, estate.orders)).toString(), {
      headers: { dpop: proof() },
    });
    assert.equal(missing.body["error"], "invalid_target");
    const spellings = [
      `${estate.staging.issuer}/systems/billing`,
      `${issuer}/systems/orders`,
      `${issuer}/systems/nowhere`,
      `${issuer}/systems/billing/`,
      `${issuer}/systems/Billing`,
      `${issuer}/systems/%62illing`,
      `${issuer}/systems/billing#x`,
      "billing",
      "https://evil.example/systems/billing",
    ];
    const faces = new Set<string>();
    for (const resource of spellings) {
      const answer = await estate.token({ form: { resource }, proof: proof() });
      assert.equal(answer.body["error"], "invalid_target", resource);
      faces.add(answer.text);
    }
    assert.equal(faces.size, 1);
  });

  test("scope: nothing beyond the grant, nothing malformed, nothing endless", async () => {
    for (const scope of [
      "billing:invoice.delete",
      "billing:invoice.read billing:invoice.delete",
      "openid",
      "*",
      "billing:*",
      " billing:invoice.read",
      "billing:invoice.read  billing:invoice.create",
      'a"b',
      "a ".repeat(5_000),
    ]) {
      const answer = await estate.token({ form: { scope }, proof: proof() });
      assert.equal(answer.body["error"], "invalid_scope", scope.slice(0, 40));
    }
    const analytics = await estate.token({
      client: "analytics",
      form: { scope: "billing:invoice.create" },
      proof: proof(),
    });
    assert.equal(analytics.body["error"], "invalid_scope", "granted to orders only");
    const suspended = await estate.token({
      client: "analytics",
      form: { resource: `${estate.production.issuer}/systems/reports` },
      proof: proof(),
    });
    assert.equal(suspended.body["error"], "invalid_target", "declared but not active");
  });

  test("DPoP: wrong URL, method, time, type, algorithm, key, a private key, two proofs or a foreign nonce get no token", async () => {
    const { issuer } = estate.production;
    const url = `${issuer}/token`;
    const stranger = testKey();
    const cases: Record<string, string | string[]> = {
      "another URL": proof({ htu: `${estate.staging.issuer}/token` }),
      "another method": proof({ htm: "GET" }),
      old: proof({ iat: now() - 600 }),
      future: proof({ iat: now() + 600 }),
      "no jti": proof({ jti: undefined }),
      "assertion type": proof({}, { typ: "JWT" }),
      "alg none": `${encode({ typ: "dpop+jwt", alg: "none", jwk: estate.holder.jwk })}.${encode({ htm: "POST", htu: url, iat: now(), jti: "x", nonce })}.`,
      "signature of another key": jws(
        { typ: "dpop+jwt", alg: "ES256", jwk: estate.holder.jwk },
        { htm: "POST", htu: url, iat: now(), jti: "y", nonce },
        stranger.privateKey,
      ),
      "private key inside": proof({}, { jwk: { ...estate.holder.jwk, d: "AA" } }),
      "two proofs": [proof(), proof()],
    };
    for (const [name, value] of Object.entries(cases)) {
      const answer = await estate.token({ proof: null, send: { headers: { dpop: value } } });
      assert.equal(answer.body["error"], "invalid_dpop_proof", `${name}: ${answer.text}`);
    }
    for (const foreign of [undefined, "made-up", `${nonce}x`]) {
      const answer = await estate.token({ proof: dpopProof(estate.holder, url, foreign) });
      assert.equal(answer.body["error"], "use_dpop_nonce");
      assert.ok(answer.headers["dpop-nonce"]);
    }
  });

  test("a staging client, a staging assertion and a staging token are nothing in production", async () => {
    const { production, staging } = estate;
    assert.equal(
      (await estate.token({ issuer: staging.issuer, client: "orders" })).status,
      401,
      "orders is not a client of staging",
    );
    const token = await estate.token({ issuer: staging.issuer, client: "analytics" });
    assert.equal(token.status, 200, token.text);
    const text = String(token.body["access_token"]);
    const crypto = createTokenCrypto();
    const keysOf = (view: { keys: readonly { kid: string; jwk: unknown }[] }) => ({
      find: (kid: string) => {
        const jwk = parsePublicJwk(view.keys.find((key) => key.kid === kid)?.jwk);
        return jwk === null ? undefined : (crypto.importKey(jwk) ?? undefined);
      },
    });
    const foreign = readAccessToken(text, {
      issuer: production.issuer,
      keys: keysOf(production.ring.view()),
      lifetimeSecondsMax: 300,
    });
    assert.equal(foreign.kind === "deny" && foreign.code, "token-key-unknown");
    const wall = readAccessToken(text, {
      issuer: production.issuer,
      keys: keysOf(staging.ring.view()),
      lifetimeSecondsMax: 300,
    });
    assert.equal(wall.kind === "deny" && wall.code, "token-issuer");
  });

  test("suspending the integration or removing the client ends issuance at the next request", async () => {
    const { production } = estate;
    const former = production.directory;
    production.directory = { ...former, grants: () => [] };
    assert.equal((await estate.token({ proof: proof() })).body["error"], "invalid_target");
    production.directory = { ...former, clients: new Map() };
    assert.equal((await estate.token({ proof: proof() })).body["error"], "invalid_client");
    production.directory = directoryWith("production", new Map());
    assert.equal((await estate.token({ proof: proof() })).body["error"], "invalid_client");
    production.directory = former;
    assert.equal((await estate.token({ proof: proof() })).status, 200);
  });

  test("no page, endpoint or development interaction of oidc-provider is reachable", async () => {
    const { issuer } = estate.production;
    const paths = [
      "/auth",
      "/auth/x",
      "/interaction/x",
      "/interaction/x/abort",
      "/me",
      "/userinfo",
      "/request",
      "/session/end",
      "/session/end/confirm",
      "/device",
      "/backchannel",
      "/reg",
      "/token/introspection",
      "/token/revocation",
      "/token/",
      "/token?x=1",
      "/TOKEN",
      "/%74oken",
      "//token",
      "/.well-known/oauth-authorization-server",
      "/../production/token",
    ];
    for (const path of paths) {
      for (const method of ["GET", "POST"] as const) {
        const answer = await send(`${issuer}${path}`, estate.ca, {
          method,
          ...(method === "POST" ? { body: "prompt=login" } : {}),
        });
        // The URL parser of the client folds dots: what is left is the token endpoint without parameters, which answers 400.
        assert.ok(
          answer.status === 404 || (path === "/../production/token" && answer.status >= 400),
          `${method} ${path}: ${answer.status}`,
        );
      }
    }
    assert.equal((await send(`${issuer}/token`, estate.ca)).status, 405);
    for (const path of ["/", "/main", "/main/production", "/main/test/token", "/operators/token"])
      assert.equal((await send(`${estate.url}${path}`, estate.ca)).status, 404);
  });

  test("body bomb, chunked body, JSON body, header bomb and browsers are refused within bounds", async () => {
    const { issuer } = estate.production;
    assert.equal((await estate.post(issuer, "a".repeat(17 * 1024))).status, 413);
    assert.equal(
      (
        await send(`${issuer}/token`, estate.ca, {
          method: "POST",
          body: "a=b",
          headers: { "transfer-encoding": "chunked" },
        })
      ).status,
      411,
    );
    assert.equal((await estate.post(issuer, "{}", { headers: { "content-type": "application/json" } })).status, 400);
    assert.equal((await estate.post(issuer, "a=b", { headers: { origin: "https://evil.example" } })).status, 400);
    assert.equal((await estate.post(issuer, "a=b", { headers: { authorization: "Bearer x" } })).status, 400);
    const many = "a=b&".repeat(3_000);
    assert.equal((await estate.post(issuer, many)).status, 400);
    assert.equal(await headerBomb(`${issuer}/token`, estate.ca), 431);
    const codes = estate.production.leaves.map((leaf) => (leaf.t === "issuance" ? leaf.code : null));
    for (const code of ["body-too-large", "length-required", "browser", "authorization-field"])
      assert.ok(codes.includes(code), code);
  });

  test("the Host field and forwarded fields choose nothing: a forged name gets neither a token for itself nor an error of ours", async () => {
    for (const headers of [
      { host: "evil.example" },
      { host: "evil host" },
      { "x-forwarded-host": "evil.example", "x-forwarded-proto": "http" },
    ]) {
      const forged = assertion("orders", "https://evil.example/main/production", estate.orders);
      assert.equal((await estate.token({ assertion: forged, proof: proof(), send: { headers } })).status, 401);
      assert.equal((await estate.token({ proof: proof(), send: { headers } })).status, 200);
    }
    assert.deepEqual(estate.faults, []);
  });

  test("an error body never repeats what the request said", async () => {
    const canary = `canary-${randomBytes(6).toString("hex")}`;
    const { issuer } = estate.production;
    const texts = [
      await estate.token({ client: canary, proof: proof() }),
      await estate.token({ form: { scope: canary }, proof: proof() }),
      await estate.token({ form: { resource: `${issuer}/systems/${canary}` }, proof: proof() }),
      await estate.token({ form: { grant_type: canary }, proof: proof() }),
      await estate.post(issuer, `${canary}=${canary}`, { headers: { "content-type": `text/${canary}` } }),
      await estate.token({ proof: canary }),
    ];
    for (const answer of texts) {
      assert.ok(answer.status >= 400);
      assert.equal(JSON.stringify([answer.text, answer.headers]).includes(canary), false, answer.text);
    }
    assert.equal(JSON.stringify(estate.production.leaves).includes(canary), false);
    assert.deepEqual(estate.faults, []);
    assert.ok(lastCode() !== null || estate.production.leaves.length > 0);
  });
});

/** The first reading of `sub` is not the last. */
function twiceNamed(issuer: string, key: ReturnType<typeof testKey>): string {
  const head = encode({ alg: "ES256", kid: key.kid });
  const claims = Buffer.from(
    `{"sub":"analytics","iss":"orders","sub":"orders","aud":"${issuer}","iat":${now()},"exp":${now() + 60},"jti":"twice"}`,
  ).toString("base64url");
  return `${head}.${claims}.${sign("sha256", Buffer.from(`${head}.${claims}`), { key: key.privateKey, dsaEncoding: "ieee-p1363" }).toString("base64url")}`;
}

function headerBomb(url: string, ca: string): Promise<number> {
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  const req = httpsRequest(
    url,
    { ca, agent: false, method: "POST", headers: { "content-length": 0, "x-bomb": "a".repeat(20_000) } },
    (res) => {
      res.resume();
      resolve(res.statusCode ?? 0);
    },
  );
  req.on("error", reject);
  req.end();
  return promise;
}
