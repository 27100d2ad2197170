// Everything that one issuer gives out, carried to another issuer of the same installation, where the same clients with the same keys and a user of the same name
// and password live: over the wall between two environments, and over that between two tenants of one store. docs/concepts/environment.md.
import assert from "node:assert/strict";
import { createHash, createPrivateKey } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { assertion, dpopProof, send, type TestKey, testKey } from "@sallyport/control/identity/issuer.test-support.ts";
import { testServer } from "@sallyport/kernel/store/for-each-dialect.ts";
import { dropSchema } from "@sallyport/kernel/store/import.ts";
import { createLocalJWKSet, type JSONWebKeySet, jwtVerify } from "jose";
import { clientKey, type Held, holder, startTenant, type Tenant, Wall } from "./two-walls.test-support.ts";

const bounded = { timeout: 180_000 };
const folder = mkdtempSync(join(tmpdir(), "sallyport-walls-"));
const storeSchema = `walls_${process.pid}`;
let server: Awaited<ReturnType<typeof testServer>>;
let [main, acme]: (Tenant | undefined)[] = [];
let home: Wall;
let held: Held;
const others = new Map<string, Wall>();

before(async () => {
  server = await testServer();
  const place = { folder, storeUrl: server.url, storeSchema };
  main = await startTenant("main", place);
  acme = await startTenant("acme", { ...place, kekOf: main.data });
  home = new Wall(main, "main", "production");
  others.set("another environment", new Wall(main, "main", "staging"));
  others.set("another tenant", new Wall(acme, "acme", "production"));
  held = await home.give();
  // Whoever lives there has the same name and password, and has been given as much.
  for (const wall of others.values()) await wall.give();
}, bounded);
after(async () => {
  await acme?.control.stop();
  await main?.control.stop();
  if (server !== undefined) await dropSchema(server.url, storeSchema);
  await server?.stop();
  rmSync(folder, { recursive: true, force: true });
});

const exchangeType = "urn:ietf:params:oauth:grant-type:token-exchange";
const bearerType = "urn:ietf:params:oauth:grant-type:jwt-bearer";
const error = (asked: Promise<{ readonly body: Readonly<Record<string, unknown>> }>) =>
  asked.then(({ body }) => (body["access_token"] === undefined ? String(body["error"]) : "a token"));
const state = async (wall: Wall, token: string) => JSON.stringify(await wall.introspect(token));

interface Carried {
  readonly what: string;
  /** What the other issuer says to it, whose every answer is a refusal. */
  readonly there: (at: Wall) => Promise<unknown>;
  readonly says: unknown;
  /** That it was good, and is after it was tried elsewhere. */
  readonly here: () => Promise<unknown>;
  readonly good: unknown;
}

const isActive = async (token: string) => (await home.introspect(token))["active"];
const inactive = '{"active":false}';
/** In the order of the table, so that what is good once is used last. */
const carried: readonly Carried[] = [
  {
    what: "an access token, introspected",
    there: (at) => state(at, held.token),
    ...{ says: inactive, here: () => isActive(held.token), good: true },
  },
  {
    what: "a user's access token, introspected",
    there: (at) => state(at, held.userToken),
    ...{ says: inactive, here: () => isActive(held.userToken), good: true },
  },
  {
    what: "an access token, revoked by its client",
    there: async (at) => (await at.post("/revoke", at.by("orders", { token: held.token }))).body,
    ...{ says: {}, here: () => isActive(held.token), good: true },
  },
  {
    what: "an access token, exchanged",
    there: (at) =>
      error(
        at.token(
          at.by("orders", {
            ...{ grant_type: exchangeType, subject_token: held.userToken, resource: at.resource },
            subject_token_type: "urn:ietf:params:oauth:token-type:access_token",
          }),
        ),
      ),
    ...{ says: "unauthorized_client", here: () => isActive(held.userToken), good: true },
  },
  {
    what: "an access token as an assertion",
    there: (at) =>
      error(at.token(new URLSearchParams({ grant_type: bearerType, assertion: held.token, resource: at.resource }))),
    ...{ says: "invalid_grant", here: () => isActive(held.token), good: true },
  },
  {
    what: "an access token, verified with the keys that are published there",
    there: async (at) => {
      const { body } = await send(`${at.issuer}/jwks`, at.tenant.ca);
      const keys = createLocalJWKSet(body as unknown as JSONWebKeySet);
      return jwtVerify(held.token, keys).then(
        () => "verified",
        ({ code }) => code,
      );
    },
    ...{ says: "ERR_JWKS_NO_MATCHING_KEY", here: () => isActive(held.token), good: true },
  },
  {
    what: "a client assertion",
    there: async (at) => {
      const body = at.by("orders", { grant_type: "client_credentials", resource: at.resource });
      body.set("client_assertion", assertion("orders", home.issuer, clientKey));
      return error(at.token(body));
    },
    ...{ says: "invalid_client", here: () => error(home.machine()), good: "a token" },
  },
  {
    what: "a token for a provider here",
    there: (at) => error(at.token(at.by("orders", { grant_type: "client_credentials", resource: home.resource }))),
    ...{ says: "invalid_target", here: () => error(home.machine()), good: "a token" },
  },
  {
    what: "a proof of possession",
    there: async (at) => {
      const dpop = dpopProof(holder, `${home.issuer}/token`, await at.nonce());
      const asked = at.by("orders", { grant_type: "client_credentials", resource: at.resource });
      return error(at.post("/token", asked, { dpop }));
    },
    ...{ says: "invalid_dpop_proof", here: () => error(home.machine()), good: "a token" },
  },
  {
    what: "a nonce",
    there: (at) => {
      const dpop = dpopProof(holder, `${at.issuer}/token`, held.nonce);
      const asked = at.by("orders", { grant_type: "client_credentials", resource: at.resource });
      return error(at.post("/token", asked, { dpop }));
    },
    ...{ says: "use_dpop_nonce", here: () => error(home.machine()), good: "a token" },
  },
  {
    what: "a client secret",
    there: (at) => error(at.withSecret(held.secret)),
    ...{ says: "invalid_client", here: () => error(home.withSecret(held.secret)), good: "a token" },
  },
  {
    what: "a refresh token, introspected and revoked",
    there: async (at) => [
      await state(at, held.refresh),
      (await at.post("/revoke", at.ofPortal({ token: held.refresh }))).body,
    ],
    ...{ says: [inactive, {}], here: () => isActive(held.userToken), good: true },
  },
  {
    what: "a refresh token",
    there: (at) => error(at.refresh(held.refresh)),
    ...{ says: "invalid_grant", here: () => error(home.refresh(held.refresh)), good: "a token" },
  },
  {
    what: "an authorization code",
    there: (at) => error(at.redeem(held.code)),
    ...{ says: "invalid_grant", here: () => isActive(held.userToken), good: true },
  },
  {
    what: "a device code",
    there: (at) => error(at.poll(held.deviceCode)),
    ...{ says: "invalid_grant", here: () => error(home.poll(held.deviceCode)), good: "authorization_pending" },
  },
  {
    what: "a user code",
    there: async (at) => {
      const { browser } = await at.give("anna");
      const page = await browser.submit(await browser.get(`${at.path}/device`), "/device", {
        user_code: held.userCode,
      });
      return /\/device\/decide/.test(page.text);
    },
    says: false,
    here: async () => {
      const page = await held.browser.get(`${home.path}/device`);
      return /\/device\/decide/.test((await held.browser.submit(page, "/device", { user_code: held.userCode })).text);
    },
    good: true,
  },
  {
    what: "a pushed request",
    there: async (at) => {
      const query = new URLSearchParams({ client_id: "portal", request_uri: held.requestUri });
      const { location } = await at.browser().get(`${at.path}/authorize?${query}`);
      return new URL(location ?? "").searchParams.get("error");
    },
    says: "invalid_request_uri",
    here: async () => {
      const query = new URLSearchParams({ client_id: "portal", request_uri: held.requestUri });
      return (await held.browser.get(`${home.path}/authorize?${query}`)).status;
    },
    good: 303,
  },
  {
    what: "a log-in session",
    there: async (at) => {
      const browser = at.browser();
      for (const [name, value] of held.browser.cookies) browser.cookies.set(name, value);
      const page = await at.account(browser);
      return [page.status, at.within(page.location)];
    },
    says: undefined,
    here: async () => (await home.account(held.browser)).status,
    good: 200,
  },
  {
    what: "an ID token as a hint of whom to sign out",
    there: (at) => leaving(at, at.browser()),
    ...{ says: [400, false], here: () => leaving(home, held.browser), good: [200, true] },
  },
  {
    what: "a user's link",
    there: async (at) => /\/enrol\/password/.test((await at.browser().get(at.path + held.link)).text),
    says: false,
    here: async () => /\/enrol\/password/.test((await home.browser().get(home.path + held.link)).text),
    good: true,
  },
  {
    what: "a code for a workload's key",
    there: async (at) => error(enrol(at, held.enrolmentCode)),
    ...{ says: "invalid_grant", here: async () => (await enrol(home, held.enrolmentCode)).status, good: 201 },
  },
];

/** What a browser is asked that portal sends to sign out, with the ID token alone to say who sends it: the status, and whether portal is named. */
async function leaving(at: Wall, browser: Held["browser"]): Promise<readonly [number, boolean]> {
  const asked = { id_token_hint: held.idToken, post_logout_redirect_uri: "http://127.0.0.1/bye" };
  const page = await browser.get(`${at.path}/session/end?${new URLSearchParams(asked)}`);
  return [page.status, page.text.includes("portal asks to sign you out")];
}

/** Brings in a key of its own with a code. */
async function enrol(at: Wall, code: string) {
  const key = testKey();
  const ath = createHash("sha256").update(code).digest("base64url");
  const body = new URLSearchParams({ code, jwk: JSON.stringify(key.jwk) });
  const dpop = dpopProof(key, `${at.issuer}/client-keys`, await at.nonce(), { ath });
  return at.post("/client-keys", body, { dpop });
}

for (const wall of ["another environment", "another tenant"])
  describe(`at ${wall}`, () => {
    for (const { what, there, says } of carried)
      test(`attack: ${what} is worth nothing`, bounded, async () => {
        const at = others.get(wall);
        assert.ok(at);
        assert.deepEqual(await there(at), says ?? [303, `${at.path}/login`]);
      });
  });

describe("where it belongs", () => {
  for (const { what, here, good } of carried)
    test(`${what} is still good after it was tried elsewhere`, bounded, async () => {
      assert.deepEqual(await here(), good);
    });

  test("the code is still good, once", bounded, async () => {
    assert.equal(await error(home.redeem(held.code)), "a token");
    assert.equal(await error(home.redeem(held.code)), "invalid_grant");
  });
});

interface OperatorFile {
  readonly operator: string;
  readonly issuer: string;
  readonly kid: string;
  readonly jwk: Readonly<Record<string, string>>;
}

/** The first operator of a tenant, and their key. */
function operatorOf({ data }: Tenant): OperatorFile & { readonly key: TestKey } {
  const file: OperatorFile = JSON.parse(readFileSync(join(data, "operator.key.json"), "utf8"));
  const { kty = "", crv = "", x = "", y = "" } = file.jwk;
  const privateKey = createPrivateKey({ format: "jwk", key: file.jwk });
  return { ...file, key: { privateKey, jwk: { kty, crv, x, y }, kid: file.kid } };
}

/** Asks for an operator's token at the admin listener of `at`. */
async function operatorToken(at: Tenant, who: OperatorFile & { readonly key: TestKey }) {
  const url = `${at.control.addresses.admin}/operators`;
  const ask = (nonce?: string) => {
    const body = new URLSearchParams({
      grant_type: "client_credentials",
      client_assertion_type: "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
      client_assertion: assertion(who.operator, url, who.key),
    });
    return send(`${url}/token`, at.ca, {
      body: body.toString(),
      headers: { dpop: dpopProof(holder, `${url}/token`, nonce) },
    });
  };
  return ask(String((await ask()).headers["dpop-nonce"]));
}

/** Status of a question to the admin API with this token. */
async function adminStatus(at: Tenant, token: string): Promise<number> {
  const url = `${at.control.addresses.admin}/v1/status`;
  const ath = createHash("sha256").update(token).digest("base64url");
  const ask = (nonce?: string) =>
    send(url, at.ca, {
      headers: {
        authorization: `DPoP ${token}`,
        dpop: dpopProof(holder, url, nonce, { htm: "GET", ath }),
      },
    });
  return (await ask(String((await ask()).headers["dpop-nonce"]))).status;
}

describe("operators", () => {
  test("attack: an operator's key of one tenant is nobody's at another", bounded, async () => {
    assert.ok(main && acme);
    assert.equal(await error(operatorToken(main, operatorOf(main))), "a token");
    assert.equal(await error(operatorToken(acme, operatorOf(main))), "invalid_client");
    assert.equal(await error(operatorToken(main, operatorOf(acme))), "invalid_client");
  });

  test(
    "attack: an operator's token of one tenant opens nothing at another, nor at an issuer of its own tenant",
    bounded,
    async () => {
      assert.ok(main && acme);
      const token = String((await operatorToken(main, operatorOf(main))).body["access_token"]);
      assert.equal(await adminStatus(main, token), 200);
      assert.equal(await adminStatus(acme, token), 401);
      for (const wall of [home, ...others.values()]) assert.equal(await state(wall, token), inactive);
    },
  );

  test("attack: a client's or a user's token opens no admin listener", bounded, async () => {
    assert.ok(main && acme);
    for (const tenant of [main, acme])
      for (const token of [held.token, held.userToken]) assert.equal(await adminStatus(tenant, token), 401);
  });
});
