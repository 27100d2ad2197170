import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { forEachDialect } from "@sallyport/kernel/store/for-each-dialect.ts";
import { directoryOf } from "./directory.ts";
import { startEstate, type TestEstate } from "./estate.test-support.ts";
import { assertion, dpopProof, form, send } from "./issuer.test-support.ts";

const app = "https://app.acme.example";
const other = "https://other.acme.example";

forEachDialect((_dialect, open) => {
  let estate: TestEstate;
  const client = (id: string, isPublic: boolean, ...redirectUris: string[]) => ({
    id,
    keys: [],
    isPublic,
    redirectUris,
  });
  before(async () => {
    const store = await open({ commands: new URL("commands.test-support.ts", import.meta.url) });
    estate = await startEstate(store);
    estate.production.directory = directoryOf({
      systems: [
        { id: "app", clients: [client("app", true, `${app}/callback`)], certificates: [] },
        { id: "other", clients: [client("other", true, `${other}:8443/cb`)], certificates: [] },
        { id: "cli", clients: [client("cli", true, "http://127.0.0.1/cb", "com.acme.cli:/cb")], certificates: [] },
        {
          id: "portal",
          clients: [{ ...client("portal", false, "https://portal.acme.example/cb"), keys: [estate.orders.jwk] }],
          certificates: [],
        },
      ],
      integrations: [],
      isActive: () => true,
    });
  });
  after(() => estate.close());

  const preflight = (origin: string | string[], over: Record<string, string> = {}, path = "/token") =>
    send(`${estate.production.issuer}${path}`, estate.ca, {
      method: "OPTIONS",
      headers: { origin, "access-control-request-method": "POST", "access-control-request-headers": "dpop", ...over },
    });
  const post = (id: string, origin: string | null, headers: Record<string, string> = {}) => {
    const { issuer } = estate.production;
    const body = new URLSearchParams({ grant_type: "client_credentials", client_id: id }).toString();
    const dpop = dpopProof(estate.holder, `${issuer}/token`, undefined);
    return estate.post(issuer, body, { headers: { dpop, ...(origin === null ? {} : { origin }), ...headers } });
  };
  const cors = (headers: Readonly<Record<string, unknown>>) =>
    Object.keys(headers).filter((name) => name.startsWith("access-control-"));

  test("a page at the origin of a public client may ask, and read the answer and its nonce; no credentials, no wildcard", async () => {
    const asked = await preflight(app);
    assert.deepEqual(
      [asked.status, asked.headers["access-control-allow-origin"], asked.headers["vary"]],
      [204, app, "Origin"],
    );
    assert.deepEqual(cors(asked.headers).sort(), [
      "access-control-allow-headers",
      "access-control-allow-methods",
      "access-control-allow-origin",
      "access-control-max-age",
    ]);
    const answer = await post("app", app);
    assert.deepEqual([answer.status, answer.body["error"]], [400, "use_dpop_nonce"], answer.text);
    assert.equal(answer.headers["access-control-allow-origin"], app);
    assert.equal(answer.headers["access-control-expose-headers"], "DPoP-Nonce");
    assert.equal(answer.headers["vary"], "Origin");
    assert.equal(answer.headers["access-control-allow-credentials"], undefined);
    assert.notEqual(answer.headers["dpop-nonce"], undefined);
  });

  test("attack: an origin that is nearly the client's is told nothing", async () => {
    for (const origin of [
      `${app}.evil.example`,
      `${app}:443`,
      `${app}/`,
      app.toUpperCase(),
      "http://app.acme.example",
      "https://acme.example",
      "https://evil-app.acme.example",
      "https://x.app.acme.example",
      "null",
      "*",
      other,
      "http://127.0.0.1",
      "com.acme.cli://",
      "https://portal.acme.example",
    ]) {
      const asked = await preflight(origin);
      assert.deepEqual([asked.status, cors(asked.headers)], [403, []], origin);
      const answer = await post("app", origin);
      assert.deepEqual(
        [answer.status, answer.body["error"], cors(answer.headers)],
        [400, "invalid_request", []],
        origin,
      );
    }
    assert.equal((await preflight([app, other])).status, 403, "two at once are neither");
  });

  test("attack: a page of one public client cannot use another, nor a client that proves itself", async () => {
    const { issuer } = estate.production;
    for (const id of ["other", "cli", "portal", "nobody"]) {
      const answer = await post(id, app);
      assert.deepEqual([answer.status, answer.body["error"], cors(answer.headers)], [400, "invalid_request", []], id);
    }
    const signed = form("portal", assertion("portal", issuer, estate.orders)).toString();
    assert.deepEqual(cors((await estate.post(issuer, signed, { headers: { origin: app } })).headers), []);
    const basic = { authorization: `Basic ${Buffer.from("app:x").toString("base64")}` };
    assert.deepEqual(cors((await post("app", app, basic)).headers), []);
  });

  test("attack: other methods, other fields and other endpoints are not opened by a preflight", async () => {
    assert.equal((await preflight(app, { "access-control-request-method": "DELETE" })).status, 403);
    assert.equal((await preflight(app, { "access-control-request-headers": "dpop, authorization" })).status, 403);
    for (const path of ["/jwks", "/introspect", "/par"]) {
      const { status, headers } = await preflight(app, {}, path);
      assert.ok(status === 404 || status === 405, path);
      assert.deepEqual(cors(headers), []);
    }
  });

  test("without an origin nothing changes", async () => {
    const answer = await post("app", null);
    assert.deepEqual([answer.status, cors(answer.headers), answer.headers["vary"]], [400, [], undefined]);
  });
});
