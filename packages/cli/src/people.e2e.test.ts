// People as an operator and a person meet them: the estate's word, the link, the page, the end of a session, over a control plane with its real store and sockets.
import assert from "node:assert/strict";
import { createHash, generateKeyPairSync } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { type Control, startControl } from "@sallyport/control/control.ts";
import { dpopProof, send, testKey } from "@sallyport/control/identity/issuer.test-support.ts";
import { TestBrowser } from "@sallyport/control/identity/people/browser.test-support.ts";
import { memoryEstateIo } from "@sallyport/control/registry/config/estate-io.ts";
import { loadEstateFrom } from "@sallyport/control/registry/config/load.ts";
import { soundEstate } from "@sallyport/control/registry/config/sound-estate.ts";
import { createLocalCa, issueLeaf, type LocalCa } from "@sallyport/kernel/x509/issue.ts";
import { createLocalJWKSet, type JSONWebKeySet, jwtVerify } from "jose";
import { openAdminClient } from "./admin-connection.ts";
import { until } from "./installation.test-support.ts";
import { freePorts } from "./port-lane.test-support.ts";
import { systemClock, systemRandom } from "./roles/system-ports.ts";

const data = mkdtempSync(join(tmpdir(), "sallyport-people-"));
let control: Control | null = null;
after(async () => {
  await control?.stop();
  rmSync(data, { recursive: true, force: true });
});

const faults: object[] = [];
let ports: readonly number[] | null = null;
async function start(): Promise<Control> {
  await control?.stop();
  // The same at every start: the operator's key file names the admin listener.
  ports ??= await freePorts(3);
  const [identity, channel, admin] = ports.map((port) => ({ host: "localhost", port, url: null }));
  assert.ok(identity !== undefined && channel !== undefined && admin !== undefined);
  control = await startControl({
    ...{ tenant: "main", region: "default", dataDirectory: data, checkpointCopy: null, storeUrl: null },
    ...{ identity, channel, admin, clock: systemClock, random: systemRandom },
    logger: { info: () => undefined, warn: () => undefined, error: (fields: object) => void faults.push(fields) },
    ...{ snapshotLifetimeMs: 3_600_000, heartbeatMs: 1_000, rotateEveryMs: 86_400_000 },
  });
  return control;
}

const app = `system: app
identity:
  client: app
  public: true
  grants: [authorization_code, refresh_token]
  redirectUris: ["http://127.0.0.1/callback"]
uses:
  - to: billing
    purpose: Show people their invoices
    operations: [invoice.read]
`;
const tv = `system: tv
identity:
  client: tv
  public: true
  grants: [device_code]
uses:
  - to: billing
    purpose: Show people their invoices on the big screen
    operations: [invoice.read]
`;
const estate = (people: string, more: Readonly<Record<string, string>> = {}) =>
  loadEstateFrom(
    memoryEstateIo(
      {
        ...soundEstate(),
        "systems/app.yaml": app,
        "systems/tv.yaml": tv,
        ...more,
        "sallyport.yaml": `estate: default\nenvironments:\n  production:\n${people}`,
      },
      Date.now,
    ),
  );
const call = <T>(method: "GET" | "POST", path: string, body?: unknown) =>
  openAdminClient(join(data, "operator.key.json")).call<T>(method, path, body);
const browserOf = ({ addresses }: Control) =>
  new TestBrowser(addresses.identity, readFileSync(join(data, "ca", "control.pem"), "utf8"));

test("nobody signs in before the estate says so; then a link makes an account, and an operator's word ends what it holds", {
  timeout: 120_000,
}, async () => {
  let running = await start();
  const account = "/main/production/account";
  await running.apply(estate(""));
  assert.equal((await browserOf(running).get("/main/production/login")).status, 404);
  await assert.rejects(call("POST", "/v1/users", { name: "anna" }), /nobody signs in in production/);

  await running.apply(estate("    people:\n      signIn: [passkey, password]\n      idle: 30m\n"));
  const made = await call<{ id: string; link: string }>("POST", "/v1/users", { name: "anna" });
  await assert.rejects(call("POST", "/v1/users", { name: "anna" }), /already/);
  assert.ok(made.link.startsWith(`${running.addresses.identity}/main/production/enrol?link=`));
  const browser = browserOf(running);
  const page = await browser.get(made.link.slice(running.addresses.identity.length));
  assert.equal((await browser.submit(page, "/enrol/password", { password: "correct horse battery" })).status, 303);
  assert.equal((await browser.get(account)).status, 200);

  const issuer = `${running.addresses.identity}/main/production`;
  const body = new URLSearchParams({ client_id: "tv", resource: `${issuer}/systems/billing` }).toString();
  const ca = readFileSync(join(data, "ca", "control.pem"), "utf8");
  const device = () => send(`${issuer}/device_authorization`, ca, { body });
  const begun = await device();
  assert.equal(begun.status, 200, begun.text);
  const typed = { user_code: String(begun.body["user_code"]) };
  const consent = await browser.submit(await browser.get("/main/production/device"), "/device", typed);
  assert.match(consent.text, /Allow tv to act for you\?/);
  const end = await browser.submit(consent, "/device/decide", { answer: "allow" });
  assert.match(end.text, /<h1>Connected/);

  const [user] = await call<readonly Record<string, unknown>[]>("GET", "/v1/users");
  assert.deepEqual([user?.["name"], user?.["password"], user?.["sessions"]], ["anna", true, 1]);
  const [session] = await call<readonly { sid: string; user: string }[]>("GET", "/v1/sessions");
  assert.equal(session?.user, made.id);
  await call("POST", `/v1/sessions/${session?.sid}/end`, { reason: "left the desk" });
  assert.equal((await browser.get(account)).location, "/main/production/login");

  const login = await browser.get("/main/production/login");
  assert.equal(
    (await browser.submit(login, "/login", { name: "anna", password: "correct horse battery" })).status,
    303,
  );
  await call("POST", `/v1/users/${made.id}/disable`, { reason: "left" });
  assert.equal((await browser.get(account)).status, 303);
  await call("POST", `/v1/users/${made.id}/enable`, { reason: "came back" });

  // A log-in of the second in which its user was cut off counts as one from before: tokens know whole seconds.
  const cutOff = Math.floor(Date.now() / 1_000);
  let again = await browser.get("/main/production/login");
  while (Math.floor(Date.now() / 1_000) === cutOff) again = await browser.get("/main/production/login");
  assert.equal(
    (await browser.submit(again, "/login", { name: "anna", password: "correct horse battery" })).status,
    303,
  );
  const cookies = browser.cookies;
  running = await start();
  const restarted = browserOf(running);
  for (const [name, value] of cookies) restarted.cookies.set(name, value);
  assert.equal((await restarted.get(account)).status, 200, "a restart of control signs nobody out");

  await running.apply(estate("    people:\n      signIn: [passkey]\n"));
  assert.doesNotMatch((await browserOf(running).get("/main/production/login")).text, /type="password"/);
  await running.apply(estate(""));
  assert.equal((await restarted.get(account)).status, 404, "and what the estate takes back is gone at once");
  assert.equal((await device()).body["error"], "unauthorized_client", "no device begins where nobody signs in");
  assert.deepEqual(faults, []);
});

const claimsOf = (token: unknown): Readonly<Record<string, unknown>> =>
  JSON.parse(Buffer.from(String(token).split(".")[1] ?? "", "base64url").toString());

const aDay = { notBeforeMs: Date.now() - 3_600_000, notAfterMs: Date.now() + 82_800_000 };

function serverIdentity(ca: LocalCa) {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const publicKeySpki = publicKey.export({ format: "der", type: "spki" });
  const of = {
    ca,
    publicKeySpki,
    names: { dns: ["localhost"] },
    usage: "server",
    random: systemRandom,
    ...aDay,
  } as const;
  return { cert: issueLeaf(of).pem, key: privateKey.export({ type: "pkcs8", format: "pem" }).toString() };
}

/** The app's own server, which hears of ends. */
class Told {
  readonly #ca = createLocalCa({
    tenant: "main",
    environment: "production",
    random: systemRandom,
    ...aDay,
    use: "test",
  });
  readonly tokens: string[] = [];
  status = 503;
  #heard = Promise.withResolvers<void>();
  readonly #server = createServer(serverIdentity(this.#ca), async (req, res) => {
    let body = "";
    for await (const chunk of req) body += chunk;
    this.tokens.push(new URLSearchParams(body).get("logout_token") ?? "");
    res.writeHead(this.status).end();
    this.#heard.resolve();
  });

  async start(): Promise<Readonly<Record<string, string>>> {
    await new Promise<void>((resolve) => this.#server.listen(0, "localhost", resolve));
    const address = this.#server.address();
    const uri = `https://localhost:${typeof address === "object" ? address?.port : ""}/ended`;
    const told = `  postLogoutRedirectUris: ["http://127.0.0.1/bye"]
  backchannelLogout: { uri: "${uri}", allowPrivate: true, tls: { ca: receiver } }
uses:`;
    return {
      "systems/app.yaml": app.replace("uses:", told),
      "trust/receiver.yaml": "trust: receiver\nroots: [receiver.pem]\n",
      "trust/receiver.pem": this.#ca.certificatePem,
    };
  }

  /** The next token. */
  async next(): Promise<string> {
    await this.#heard.promise;
    this.#heard = Promise.withResolvers<void>();
    return this.tokens.at(-1) ?? "";
  }

  stop(): void {
    this.#server.closeAllConnections();
    this.#server.close();
  }
}

test("an app asks, a person signs in and says yes, the token says what their log-in was worth; they sign out, its refresh ends and the app is told, over a restart", {
  timeout: 120_000,
}, async (t) => {
  let running = await start();
  const told = new Told();
  t.after(() => told.stop());
  const more = await told.start();
  await running.apply(estate("    people:\n      signIn: [password]\n", more));
  const issuer = running.issuers()["production"] ?? "";
  const ca = readFileSync(join(data, "ca", "control.pem"), "utf8");
  const made = await call<{ id: string; link: string }>("POST", "/v1/users", { name: "bert" });
  const browser = browserOf(running);
  const link = await browser.get(made.link.slice(running.addresses.identity.length));
  await browser.submit(link, "/enrol/password", { password: "correct horse battery" });
  await browser.submit(await browser.get("/main/production/account"), "/account/logout");

  const verifier = "a-verifier-of-at-least-forty-three-characters";
  const query = new URLSearchParams({
    ...{ client_id: "app", response_type: "code", redirect_uri: "http://127.0.0.1:49152/callback", state: "s" },
    ...{ code_challenge: createHash("sha256").update(verifier).digest("base64url"), code_challenge_method: "S256" },
    ...{ resource: `${issuer}/systems/billing`, scope: "openid billing:invoice.read" },
  });
  const asked = await browser.get(`/main/production/authorize?${query}`);
  const path = (to: string | null) => (to ?? "").replace(running.addresses.identity, "");
  const page = await browser.get(path(asked.location));
  const login = await browser.get(path(page.location));
  const consent = await browser.submit(login, "/login", { name: "bert", password: "correct horse battery" });
  assert.match(consent.text, /Allow app to act for you/);
  const back = new URL((await browser.submit(consent, "/consent", { answer: "allow" })).location ?? "");
  assert.deepEqual(
    [back.origin, back.searchParams.get("iss"), back.searchParams.get("state")],
    ["http://127.0.0.1:49152", issuer, "s"],
  );

  const key = testKey();
  let nonce: string | undefined;
  const token = async (fields: Readonly<Record<string, string>>) => {
    for (;;) {
      const body = new URLSearchParams({ client_id: "app", ...fields }).toString();
      const answer = await send(`${issuer}/token`, ca, {
        body,
        headers: { dpop: dpopProof(key, `${issuer}/token`, nonce) },
      });
      if (answer.body["error"] !== "use_dpop_nonce") return answer;
      nonce = String(answer.headers["dpop-nonce"]);
    }
  };
  const code = back.searchParams.get("code") ?? "";
  const first = await token({
    grant_type: "authorization_code",
    code,
    redirect_uri: "http://127.0.0.1:49152/callback",
    code_verifier: verifier,
  });
  assert.equal(first.status, 200, first.text);
  const [session] = await call<readonly { sid: string }[]>("GET", "/v1/sessions");
  const claims = claimsOf(first.body["access_token"]);
  assert.deepEqual(
    [claims["sub"], claims["sid"], claims["acr"], claims["amr"]],
    [made.id, session?.sid, "urn:sallyport:acr:password", ["pwd"]],
  );

  const fresh = await token({ grant_type: "refresh_token", refresh_token: String(first.body["refresh_token"]) });
  assert.equal(fresh.status, 200, fresh.text);
  assert.equal(claimsOf(fresh.body["access_token"])["auth_time"], claims["auth_time"], "a refresh is no log-in");

  const consents = await call<readonly Record<string, unknown>[]>("GET", `/v1/users/${made.id}/consents`);
  assert.deepEqual(
    consents.map(({ client, environment, scopes, grants }) => [client, environment, scopes, grants]),
    [["app", "production", ["billing:invoice.read"], 1]],
  );

  const { body: metadata } = await send(`${issuer}/.well-known/openid-configuration`, ca);
  const out = new URLSearchParams({
    ...{ id_token_hint: String(first.body["id_token"]), post_logout_redirect_uri: "http://127.0.0.1:49152/bye" },
    state: "s2",
  });
  const leaving = await browser.get(path(`${metadata["end_session_endpoint"]}?${out}`));
  assert.match(leaving.text, /app asks to sign you out here/);
  const left = await browser.submit(leaving, "/session/end/decide", { answer: "yes" });
  assert.equal(left.location, "http://127.0.0.1:49152/bye?state=s2");
  const refused = await told.next();
  // What could not be told is told by the next run of control.
  running = await start();
  // The run before may have ended before it had the answer: then this one asks again first.
  await until("control's word of it", async () => {
    const { warnings } = await call<{ warnings: readonly string[] }>("GET", "/v1/status");
    return warnings.some((text) => /app could not be told of 1 ended log-ins \(status-503\)/.test(text));
  });
  told.status = 200;
  const taken = await told.next();
  const { body: set } = await send(`${issuer}/jwks`, ca);
  const verified = await jwtVerify(taken, createLocalJWKSet(set as unknown as JSONWebKeySet), {
    ...{ issuer, audience: "app", typ: "logout+jwt" },
  });
  assert.deepEqual([verified.payload.sub, verified.payload["sid"]], [made.id, session?.sid]);
  assert.equal(verified.payload.jti, claimsOf(refused)["jti"]);
  const after = await token({ grant_type: "refresh_token", refresh_token: String(fresh.body["refresh_token"]) });
  assert.deepEqual([after.status, after.body["error"]], [400, "invalid_grant"]);
  const takenBack = { client: "app", reason: "she asked for it" };
  await call("POST", `/v1/users/${made.id}/withdraw`, takenBack);
  await assert.rejects(call("POST", `/v1/users/${made.id}/withdraw`, takenBack), /allowed app nothing in production/);
  assert.deepEqual(faults, []);
});

test("a provider outside that the estate names is discovered over its own bundle, gets our key, and an operator connects a user with it", {
  timeout: 120_000,
}, async (t) => {
  const running = await start();
  const ca = createLocalCa({ tenant: "main", environment: "production", random: systemRandom, ...aDay, use: "test" });
  let issuer = "";
  const server = createServer(serverIdentity(ca), (_req, res) => {
    const [authorization_endpoint, token_endpoint, jwks_uri] = ["auth", "token", "jwks"].map((at) => `${issuer}/${at}`);
    const metadata = { issuer, authorization_endpoint, token_endpoint, jwks_uri, response_types_supported: ["code"] };
    res.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(metadata));
  });
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  await new Promise<void>((resolve) => server.listen(0, "localhost", resolve));
  const address = server.address();
  issuer = `https://localhost:${typeof address === "object" ? address?.port : ""}`;
  const corp = `{ issuer: "${issuer}", client: sallyport, name: Corp, allowPrivate: true, tls: { ca: corp } }`;
  const people = `    people:\n      signIn: [password, corp]\n      providers:\n        corp: ${corp}\n`;
  const bundle = { "trust/corp.yaml": "trust: corp\nroots: [corp.pem]\n", "trust/corp.pem": ca.certificatePem };
  await running.apply(estate(people, bundle));

  const browser = browserOf(running);
  const base = "/main/production";
  const begun = await browser.submit(await browser.get(`${base}/login`), "/login/outside/corp");
  assert.equal(begun.status, 303, begun.text);
  const to = new URL(begun.location ?? "");
  assert.equal(`${to.origin}${to.pathname}`, `${issuer}/auth`);
  assert.equal(to.searchParams.get("redirect_uri"), `${running.addresses.identity}${base}/login/back/corp`);
  const keys = async () => JSON.parse((await browser.get(`${base}/client-jwks`)).text).keys;
  const made = await keys();
  assert.deepEqual([made.length, made[0].alg, made[0].d], [1, "ES256", undefined]);

  const { id } = await call<{ id: string }>("POST", "/v1/users", { name: "carla" });
  const link = { provider: "corp", subject: "248289761001", reason: "ticket 4711" };
  await call("POST", `/v1/users/${id}/link`, link);
  await assert.rejects(call("POST", `/v1/users/${id}/link`, link), /somebody's already/);
  await assert.rejects(
    call("POST", `/v1/users/${id}/link`, { ...link, provider: "other" }),
    /nobody signs in through other/,
  );
  await start();
  assert.deepEqual(await keys(), made, "the key outlives a restart");
  assert.deepEqual(faults, []);
});
