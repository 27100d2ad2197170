// The pages about tokens, typed as they stand against one running installation: every curl line and every openid-client example of docs/identity.
import assert from "node:assert/strict";
import { createPublicKey, randomUUID } from "node:crypto";
import { globSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { after, before, test } from "node:test";
import { calculateJwkThumbprint, exportJWK, importPKCS8, SignJWT } from "jose";
import * as openid from "openid-client";
import { Browser, formsOf, type Page } from "../../examples/marketplace/browser.ts";
import { type Shown, shownIn, TokenPages, type Typed } from "./token-pages.test-support.ts";

const bounded = { timeout: 120_000 };
const root = dirname(dirname(import.meta.dirname));
const password = "correct horse battery";

/** Pages whose examples another test types. */
const elsewhere: Readonly<Record<string, string>> = {
  "identity/browser-apps.md": "tools/docs/browser-apps.test.ts",
  "identity/by-hand.md": "tools/docs/by-hand.test.ts",
  "identity/message-signatures.md": "packages/cli/src/message-signatures.e2e.test.ts",
};

let pages: TokenPages;
let browser: Browser;
/** Of the user of the code flow, as openid-client got them. */
let tokens: openid.TokenEndpointResponse;

before(async () => {
  pages = await TokenPages.open();
  browser = new Browser(readFileSync(pages.path("roots.pem"), "utf8"));
}, bounded);
after(() => pages?.close());

function json(typed: Typed): Readonly<Record<string, unknown>> {
  assert.equal(typed.exit, 0, typed.err);
  try {
    return JSON.parse(typed.out);
  } catch {
    assert.fail(`not JSON: ${typed.out}`);
  }
}

const claimsOf = (token: unknown): Readonly<Record<string, unknown>> =>
  JSON.parse(Buffer.from(String(token).split(".")[1] ?? "", "base64url").toString("utf8"));

/** What a page says a machine gets: a bound token for this provider, for five minutes at most. */
function isToken(body: Readonly<Record<string, unknown>>, client: string, provider: string): string {
  assert.equal(body["token_type"], "DPoP", JSON.stringify(body));
  assert.ok(Number(body["expires_in"]) <= 600);
  const claims = claimsOf(body["access_token"]);
  assert.deepEqual([claims["client_id"], claims["aud"]], [client, `${pages.issuer}/systems/${provider}`]);
  return String(body["access_token"]);
}

test("a certificate gets a token, billing asks what it is worth, its client ends it", bounded, async () => {
  const got = await pages.type(
    "identity/client-authentication.md",
    blockOf("identity/client-authentication.md", "--cert orders.pem"),
    {
      before: await pages.proof("holder.key.pem"),
    },
  );
  const token = isToken(json(got), "orders", "billing");
  writeFileSync(pages.path("token.txt"), token);
  const ask = async () => json(await pages.type("identity/introspection.md", 0));
  const answer = await ask();
  const shown: Readonly<Record<string, unknown>> = JSON.parse(pages.block("identity/introspection.md", "json", 0));
  assert.deepEqual(Object.keys(answer).toSorted(), Object.keys(shown).toSorted());
  for (const name of ["active", "token_type", "iss", "sub", "client_id", "aud"])
    assert.deepEqual(answer[name], shown[name], name);
  const ended = await pages.type("identity/revocation.md", blockOf("identity/revocation.md", "curl"), {});
  assert.equal(ended.exit, 0, ended.err);
  assert.deepEqual(await ask(), { active: false });
});

test("a secret is made and gets a token", bounded, async () => {
  const page = "identity/client-authentication.md";
  const got = await pages.type(page, blockOf(page, "client secret add shop"), {
    before: await pages.proof("holder.key.pem"),
  });
  const [answer = ""] = /\{.*\}\s*$/.exec(got.out) ?? [];
  isToken(json({ ...got, out: answer }), "shop", "billing");
});

test("a partner's assertion is traded, once", bounded, async () => {
  const now = Math.floor(Date.now() / 1000);
  const assertion = await new SignJWT({ jti: randomUUID() })
    .setProtectedHeader({ alg: "ES256", kid: "k1" })
    .setIssuer("https://idp.partner.example")
    .setSubject("order-robot")
    .setAudience(pages.issuer)
    .setIssuedAt(now)
    .setExpirationTime(now + 60)
    .sign(pages.partnerKey);
  const page = "identity/outside-issuers.md";
  const trade = async () =>
    json(
      await pages.type(page, blockOf(page, "curl"), {
        before: `TOKEN=${assertion}\n${await pages.proof("holder.key.pem")}`,
      }),
    );
  isToken(await trade(), "partner", "billing");
  assert.deepEqual((await trade())["error"], "invalid_grant");
});

test("an API key opens billing", bounded, async () => {
  const page = "identity/api-keys.md";
  const made = await pages.type(page, blockOf(page, "api-key add"), {});
  assert.equal(made.exit, 0, made.err);
  assert.match(made.out, /\{"ok":true\}$/);
});

/** The user of the pages signs in, once. */
async function signedIn(address: string): Promise<Page> {
  const page = await browser.visit(address);
  return page.address.endsWith("/login") ? browser.submit(page, "/login", { name: "zora", password }) : page;
}

/** Says yes at the consent page and is sent back to the application, where nobody listens: the address. */
async function allowed(page: Page): Promise<URL> {
  const form = formsOf(page.text).find(({ action }) => action.endsWith("/consent"));
  assert.ok(form, page.text);
  const body = new URLSearchParams({ ...form.fields, answer: "allow" }).toString();
  const headers = { "content-type": "application/x-www-form-urlencoded" };
  const answer = await browser.request("POST", new URL(form.action, page.address).href, { headers, body });
  return new URL(answer.headers["location"] ?? "");
}

/** Runs an example for openid-client as it stands; `given` is what the page takes for granted. */
async function runs<T>(example: string, given: Readonly<Record<string, unknown>>, result: string): Promise<T> {
  const AsyncFunction = Object.getPrototypeOf(async () => {}).constructor;
  const run = new AsyncFunction(...Object.keys(given), `${example}\nreturn ${result};`);
  return run(...Object.values(given));
}

async function configOf(client: string, key?: string): Promise<openid.Configuration> {
  const auth =
    key === undefined
      ? openid.None()
      : openid.PrivateKeyJwt(await importPKCS8(readFileSync(pages.path(key), "utf8"), "ES256"));
  return openid.discovery(new URL(pages.issuer), client, undefined, auth);
}

/** Which of a page's shell blocks says this. */
function blockOf(page: string, says: string): number {
  const nth = shownIn(page)
    .filter(({ language }) => language === "sh")
    .findIndex(({ text }) => text.includes(says));
  assert.notEqual(nth, -1, `docs/${page} types ${says}`);
  return nth;
}

/** The key that tokens are bound to, which the shell has as a file. */
async function holderKeys(): Promise<Parameters<typeof openid.getDPoPHandle>[1]> {
  const pem = readFileSync(pages.path("holder.key.pem"), "utf8");
  const spki = createPublicKey(pem).export({ type: "spki", format: "der" });
  return {
    privateKey: await importPKCS8(pem, "ES256"),
    publicKey: await crypto.subtle.importKey("spki", spki, { name: "ECDSA", namedCurve: "P-256" }, true, ["verify"]),
  };
}

const assertionOfPortal = 'ASSERTION=$(node sign.mjs assertion portal.key.pem portal "$ISSUER")\n';

test("portal pushes a request, its user allows it, and the code gives tokens", bounded, async () => {
  const operator = pages.installation.operator(pages.path(".sallyport/control/operator.key.json"));
  const { link } = await operator.call<{ link: string }>("POST", "/v1/users", { name: "zora" });
  await browser.submit(await browser.visit(link), "/enrol/password", { password });
  const page = "identity/authorization-code.md";
  const verifier = openid.randomPKCECodeVerifier();
  const challenge = await openid.calculatePKCECodeChallenge(verifier);
  const before = `${assertionOfPortal}STATE=s1 CHALLENGE=${challenge}\n`;
  const pushed = json(await pages.type(page, blockOf(page, "/par"), { before }));
  assert.deepEqual(Object.keys(pushed).toSorted(), ["expires_in", "request_uri"], JSON.stringify(pushed));
  assert.match(String(pushed["request_uri"]), /^urn:ietf:params:oauth:request_uri:/);
  assert.equal(pushed["expires_in"], 60);

  const config = await configOf("portal", "portal.key.pem");
  const example = pages.block(page, "ts", 0);
  const comment = "// … the browser comes back to `current`";
  assert.ok(example.includes(comment));
  tokens = await runs(
    example.replace(comment, "const current = await back(url);"),
    {
      ...{ client: openid, config, state: openid.randomState(), nonce: openid.randomNonce() },
      redirect_uri: "https://portal.acme.example/callback",
      resource: `${pages.issuer}/systems/orders`,
      ...{ code_challenge: challenge, pkceCodeVerifier: verifier },
      DPoP: openid.getDPoPHandle(config, await holderKeys()),
      back: async (url: URL) => allowed(await signedIn(url.href)),
    },
    "tokens",
  );
  const claims = claimsOf(isToken({ ...tokens, token_type: "DPoP" }, "portal", "orders"));
  for (const name of ["sub", "gid", "sid", "acr", "amr", "auth_time", "cnf", "scope"]) assert.ok(name in claims, name);
});

test("the refresh token of the page gives the next tokens", bounded, async () => {
  const before = `${assertionOfPortal}REFRESH=${tokens.refresh_token}\n${await pages.proof("holder.key.pem")}`;
  const next = json(await pages.type("identity/refresh.md", 0, { before }));
  isToken(next, "portal", "orders");
  assert.notEqual(next["refresh_token"], tokens.refresh_token);
});

test(
  "portal exchanges its user's token for one at billing, once the rule says what its words stand for",
  bounded,
  async () => {
    const page = "identity/token-exchange.md";
    const exchange = async () => {
      const before = `${assertionOfPortal}TOKEN=${tokens.access_token}\n${await pages.proof("holder.key.pem")}`;
      return json(await pages.type(page, 0, { before }));
    };
    assert.equal((await exchange())["error"], "invalid_scope", "as the page says of a scope that names orders alone");
    const rule = pages.block(page, "yaml", 1);
    assert.match(rule, /^exchange:\n {2}- subject: own\n/);
    const file = pages.path("estate/integrations/portal-to-billing.yaml");
    const [declared = ""] = readFileSync(file, "utf8").split("exchange:\n");
    writeFileSync(file, declared + rule);
    const applied = await pages.shell("sallyport apply estate");
    assert.equal(applied.exit, 0, applied.err);
    const body = await exchange();
    const claims = claimsOf(isToken(body, "portal", "billing"));
    assert.deepEqual([claims["act"], claims["scope"]], [{ sub: "portal" }, "billing:invoice.read"]);
    assert.equal(body["refresh_token"], undefined);
    assert.equal(body["issued_token_type"], "urn:ietf:params:oauth:token-type:access_token");
  },
);

test("a device shows a code, its user types it, and the device gets tokens", bounded, async () => {
  const page = "identity/device.md";
  const begun = json(await pages.type(page, 0));
  const shown: Readonly<Record<string, unknown>> = JSON.parse(pages.block(page, "json", 0));
  assert.deepEqual(Object.keys(begun), Object.keys(shown));
  for (const name of ["verification_uri", "expires_in", "interval"]) assert.deepEqual(begun[name], shown[name], name);
  const decide = async (address: unknown) => {
    const asked = await browser.submit(await signedIn(String(address)), "/device", {});
    assert.match((await browser.submit(asked, "/device/decide", { answer: "allow" })).text, /device/i);
  };
  const poll = async () => {
    const before = `DEVICE_CODE=${begun["device_code"]}\n${await pages.proof("holder.key.pem")}`;
    return json(await pages.type(page, 1, { before }));
  };
  assert.equal((await poll())["error"], "authorization_pending");
  await decide(begun["verification_uri_complete"]);
  const got = await poll();
  isToken(got, "tv", "orders");
  assert.equal(typeof got["refresh_token"], "string");

  const config = await configOf("tv");
  const told: string[] = [];
  let decided = Promise.resolve();
  const polled: openid.TokenEndpointResponse = await runs(
    pages.block(page, "ts", 0),
    {
      ...{ client: openid, config, resource: `${pages.issuer}/systems/orders` },
      DPoP: openid.getDPoPHandle(config, await holderKeys()),
      console: {
        log: (text: string) => {
          told.push(text);
          const code = /type (\S+)$/.exec(text)?.[1] ?? "";
          decided = decide(`${pages.issuer}/device?user_code=${code}`);
        },
      },
    },
    "tokens",
  );
  await decided;
  assert.match(told.join(), /^Open https:\/\/\S+\/device and type [A-Z]{4}-[A-Z]{4}$/);
  isToken({ ...polled, token_type: "DPoP" }, "tv", "orders");
});

test("openid-client gets a machine's token", bounded, async () => {
  const pem = readFileSync(pages.path("stock.key.pem"), "utf8");
  const key = await importPKCS8(pem, "ES256");
  const example = pages.block("identity.md", "ts", 0).replace('"orders"', '"stock"');
  const got: openid.TokenEndpointResponse = await runs(
    example,
    { ...openid, issuer: pages.issuer, key, kid: undefined, keyPair: await holderKeys() },
    "tokens",
  );
  isToken({ ...got, token_type: "DPoP" }, "stock", "billing");
});

test("a token of Keycloak opens billing with its proof", bounded, async () => {
  const page = "identity/outside-access-tokens.md";
  const now = Math.floor(Date.now() / 1000);
  const jkt = await calculateJwkThumbprint(await exportJWK((await holderKeys()).publicKey));
  const token = await new SignJWT({ typ: "Bearer", azp: "portal-web", scope: "invoices.read", cnf: { jkt } })
    .setProtectedHeader({ alg: "RS256", kid: "k1", typ: "JWT" })
    .setIssuer("https://sso.acme.example/realms/shop")
    .setSubject("ada")
    .setAudience("billing-api")
    .setJti(randomUUID())
    .setIssuedAt(now)
    .setExpirationTime(now + 240)
    .sign(pages.keycloakKey);
  const url = `${pages.gateway}/billing/v1/invoices/1`;
  const refused = await fetch(url, { headers: { authorization: `DPoP ${token}`, dpop: "none" } });
  await refused.arrayBuffer();
  const nonce = refused.headers.get("dpop-nonce") ?? "";
  const before = `TOKEN=${token}\nPROOF=$(node sign.mjs proof holder.key.pem GET ${url} "${nonce}" "$TOKEN")\n`;
  const typed = await pages.type(page, 0, { before });
  assert.equal(typed.exit, 0, typed.err);
  assert.match(typed.out, /\{"ok":true\}$/);
  const asked = await pages.type("identity/outside-introspection.md", 0, {});
  assert.equal(asked.exit, 0, asked.err);
  assert.match(asked.out, /\{"keys":\[\{[^\n]*"kty":"EC"/);
  assert.match(asked.out, /issuer sso .*asked about opaque tokens/);
});

test("what leaked is looked at and ended, and so is what an operator names", bounded, async () => {
  const page = "identity/revocation.md";
  const token = String(tokens.access_token);
  const typed = await pages.type(page, blockOf(page, "cat > found.txt"), { input: token });
  assert.equal(typed.exit, 0, typed.err);
  assert.match(typed.out, /portal/);
  const { gid, sid, sub } = claimsOf(token);
  const changes = { "grt_7Zt…": String(gid), "ses_x2…": String(sid), "usr_9f…": String(sub) };
  const ended = await pages.type(page, blockOf(page, "revoke grant"), { changes });
  assert.equal(ended.exit, 0, ended.err);
  const before = `${assertionOfPortal}REFRESH=${tokens.refresh_token}\n${await pages.proof("holder.key.pem")}`;
  assert.equal(json(await pages.type("identity/refresh.md", 0, { before }))["error"], "invalid_grant");
});

test("the ring is seen, rotated, and one of its keys killed", bounded, async () => {
  const page = "identity/keys.md";
  const seen = await pages.type(page, 0);
  assert.equal(seen.exit, 0, seen.err);
  const { keys } = JSON.parse(/^\{.*\}/.exec(seen.out)?.[0] ?? "{}");
  const rotated = await pages.type(page, 1);
  assert.equal(rotated.exit, 0, rotated.err);
  const killed = await pages.type(page, 2, { changes: { "<kid>": keys[0].kid } });
  assert.equal(killed.exit, 0, killed.err);
});

test("every curl line and every openid-client example of the pages is run, here or by the test named above", () => {
  const names = globSync(["identity.md", "identity/*.md"], { cwd: join(root, "docs") }).toSorted();
  const name = ({ page, language, nth }: Shown) => `docs/${page} ${language} ${nth}`;
  const examples = names
    .filter((page) => !(page in elsewhere))
    .flatMap((page) => shownIn(page))
    .filter(({ language, text }) => language === "ts" || (language === "sh" && /\bcurl\b/.test(text)));
  const taken = new Set(pages.taken.map(name));
  assert.deepEqual(
    examples.map(name).filter((one) => !taken.has(one)),
    [],
  );
  for (const [page, file] of Object.entries(elsewhere))
    assert.ok(readFileSync(join(root, file), "utf8").includes(page), `${file} reads docs/${page}`);
});
