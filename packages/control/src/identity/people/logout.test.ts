import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { openStore } from "@sallyport/kernel/store/open.ts";
import type { Store } from "@sallyport/kernel/store/port.ts";
import { generateSigner } from "@sallyport/kernel/token-crypto.ts";
import { signIdTokenClaims } from "@sallyport/protocol/token/id-token.ts";
import { signCompactJws } from "@sallyport/protocol/token/jws.ts";
import { directoryOf } from "../directory.ts";
import { base, formsOf, startPages, type TestBrowser, type TestPlace } from "./browser.test-support.ts";
import { isPostLogoutUri } from "./decide-logout.ts";
import { commandsUrl, type PeopleTestCommands, place, standingClock } from "./people.test-support.ts";

const folder = mkdtempSync(join(tmpdir(), "sallyport-logout-"));
const clock = standingClock();
const password = "correct horse battery";
const bye = "https://portal.example/bye";
const path = `${base}/session/end`;
const key = generateSigner("ES256").signer;
const stranger = generateSigner("ES256").signer;
const clients = directoryOf({
  systems: [
    {
      id: "portal",
      certificates: [],
      clients: [{ id: "portal", keys: [], postLogoutRedirectUris: [bye, "https://portal.example/bye?a=1"] }],
    },
    {
      id: "shop",
      certificates: [],
      clients: [{ id: "shop", keys: [], postLogoutRedirectUris: ["https://shop.example/bye"] }],
    },
  ],
  integrations: [],
  isActive: () => true,
}).clients;

let store: Store<PeopleTestCommands>;
let at: TestPlace;
before(async () => {
  store = await openStore<PeopleTestCommands>({ commands: commandsUrl, path: join(folder, "store.db"), clock });
  const ring = () => ({ keys: [{ kid: key.kid, alg: key.alg, jwk: { ...key.jwk }, state: "active" as const }] });
  at = await startPages(store, clock, { clients: () => clients, ring });
});
after(async () => {
  await at.close();
  await store.close();
  rmSync(folder, { recursive: true, force: true });
});

let names = 0;
async function person() {
  const { browser, user } = await at.enrol(`logout${names++}`, password);
  const [session] = await store.run("listSessions", { ...place, user });
  assert.ok(session);
  return { browser, user, sid: session.sid };
}

const idToken = (over: Readonly<Record<string, unknown>> = {}, signer = key) =>
  signIdTokenClaims(
    {
      iss: `${at.url}${base}`,
      sub: "usr_1",
      aud: "portal",
      iat: 1_700_000_000,
      exp: 1_700_000_600,
      auth_time: 1_700_000_000,
      ...over,
    },
    signer,
  );

const ask = (browser: TestBrowser, fields: Readonly<Record<string, string>> = {}) =>
  browser.get(fields["raw"] ?? `${path}?${new URLSearchParams(fields)}`);
const isSignedIn = async (browser: TestBrowser) => (await browser.get(`${base}/account`)).status === 200;
const revoked = async (sid: string) =>
  (await store.run("readRevocations", { ...place, from: 0 })).entries.some(
    ({ kind, value }) => kind === "session" && value === sid,
  );

test("a client sends its user here to sign out: the user is asked, every token of the session is revoked, and the browser is sent back with the state", async () => {
  const { browser, sid, user } = await person();
  const page = await ask(browser, {
    id_token_hint: idToken({ sid, sub: user }),
    client_id: "portal",
    post_logout_redirect_uri: bye,
    state: "a b&c",
  });
  assert.equal(page.status, 200);
  assert.match(page.text, /portal asks to sign you out here/);
  assert.doesNotMatch(page.text, /not the sign-in/);
  assert.match(String(page.headers["content-security-policy"]), /form-action 'self' https:\/\/portal\.example;/);
  assert.equal(await isSignedIn(browser), true, "looking ends nothing");
  const before = at.revoked;
  const done = await browser.submit(page, "/session/end/decide", { answer: "yes" });
  assert.equal(done.status, 303);
  assert.equal(done.location, `${bye}?state=a+b%26c`);
  assert.ok(at.revoked > before, "and gateways were told");
  assert.equal(await revoked(sid), true);
  assert.equal(await isSignedIn(browser), false);
  assert.equal(
    [...browser.cookies.keys()].some((name) => name.endsWith(".session")),
    false,
  );
});

test("a user who stays signed in stays, and the client is not told that they left", async () => {
  const { browser } = await person();
  const page = await ask(browser, { client_id: "portal", post_logout_redirect_uri: bye });
  const done = await browser.submit(page, "/session/end/decide", { answer: "no" });
  assert.equal(done.location, null);
  assert.match(done.text, /still signed in/);
  assert.equal(await isSignedIn(browser), true);
});

test("a sign-out without a client, and one of a browser that is signed in nowhere, end on a page or where the client registered", async () => {
  const { browser } = await person();
  const page = await ask(browser);
  assert.match(page.text, /You will be signed out here/);
  const done = await browser.submit(page, "/session/end/decide", { answer: "yes" });
  assert.equal(done.status, 200);
  assert.match(done.text, /You are signed out/);
  const nobody = at.browser();
  assert.match((await ask(nobody)).text, /You are signed out/);
  const back = await ask(nobody, {
    client_id: "portal",
    post_logout_redirect_uri: "https://portal.example/bye?a=1",
    state: "s",
  });
  assert.equal(back.location, "https://portal.example/bye?a=1&state=s");
});

test("attack: a link, an image or a form of another site signs nobody out", async () => {
  const { browser, sid } = await person();
  const page = await ask(browser);
  const action = `${base}/session/end/decide`;
  const form = formsOf(page.text).find((one) => one.action === action);
  assert.ok(form);
  const sent = { ...form.fields, answer: "yes" };
  const foreign = await browser.post(action, sent, { origin: "https://evil.example", "sec-fetch-site": "cross-site" });
  assert.equal(foreign.status, 403);
  assert.equal((await browser.post(action, { ...sent, step: "x" })).status, 400);
  const other = await person();
  const stolen = await other.browser.post(action, sent);
  assert.equal(stolen.status, 403, "another browser's form");
  assert.equal(await revoked(sid), false);
  assert.equal(await isSignedIn(browser), true);
  assert.equal(await isSignedIn(other.browser), true);
  assert.equal((await browser.get(`${action}?answer=yes`)).status, 404);
});

test("attack: an open redirect after sign-out: only what the named client registered, byte by byte, is led to", async () => {
  const { browser } = await person();
  for (const uri of [
    "https://evil.example/",
    "https://portal.example/bye/",
    "https://portal.example/BYE",
    "https://portal.example:443/bye",
    "https://portal.example/bye#x",
    "https://portal.example/bye?a=1&b=2",
    "https://portal.example@evil.example/bye",
    "https://shop.example/bye",
    "javascript:alert(1)",
    "",
  ]) {
    const answer = await ask(browser, { client_id: "portal", post_logout_redirect_uri: uri });
    assert.equal(answer.status, 400, uri);
    assert.equal(answer.location, null);
    assert.equal(at.refused.at(-1), "logout-redirect");
    assert.doesNotMatch(answer.text, /evil|shop\.example|script:/, "and nothing of the request is repeated");
  }
  const nobody = await ask(browser, { post_logout_redirect_uri: bye });
  assert.equal(nobody.status, 400, "a place of nobody in particular");
  const foreign = await ask(browser, {
    id_token_hint: idToken({ aud: "shop" }),
    client_id: "portal",
    post_logout_redirect_uri: bye,
  });
  assert.equal(foreign.status, 400);
  assert.equal(at.refused.at(-1), "logout-client");
  assert.equal((await ask(browser, { client_id: "nobody" })).status, 400);
  assert.equal(await isSignedIn(browser), true);
});

test("attack: a parameter that comes twice is no request", async () => {
  const { browser } = await person();
  const raw = `${path}?client_id=portal&client_id=shop&post_logout_redirect_uri=${encodeURIComponent(bye)}`;
  const answer = await ask(browser, { raw });
  assert.equal(answer.status, 400);
  assert.equal(at.refused.at(-1), "logout-malformed");
  assert.equal((await ask(browser, { client_id: "portal", state: "s".repeat(513) })).status, 400);
});

test("an ID token counts as a hint after its time, and one that is not ours counts against the request", async () => {
  const { browser } = await person();
  const good = await ask(browser, { id_token_hint: idToken(), post_logout_redirect_uri: bye });
  assert.equal(good.status, 200);
  assert.match(good.text, /not the sign-in the application asked about|portal asks/);
  const elsewhere = await ask(browser, { id_token_hint: idToken({ sid: "ses_other" }), post_logout_redirect_uri: bye });
  assert.match(elsewhere.text, /This is not the sign-in the application asked about/);
  const forgeries = {
    "of another issuer": idToken({ iss: "https://evil.example" }),
    "signed by somebody else under our kid": idToken({}, { ...stranger, kid: key.kid }),
    "an access token": signCompactJws(
      { alg: key.alg, typ: "at+jwt", kid: key.kid },
      { iss: `${at.url}${base}`, aud: "portal" },
      key,
    ),
    "a logout token": signCompactJws(
      { alg: key.alg, typ: "logout+jwt", kid: key.kid },
      { iss: `${at.url}${base}`, aud: "portal" },
      key,
    ),
    "for many": signCompactJws(
      { alg: key.alg, typ: "JWT", kid: key.kid },
      { iss: `${at.url}${base}`, aud: ["portal"] },
      key,
    ),
    "not a token": "x",
  };
  for (const [what, hint] of Object.entries(forgeries)) {
    const answer = await ask(browser, { id_token_hint: hint, client_id: "portal", post_logout_redirect_uri: bye });
    assert.equal(answer.status, 400, what);
    assert.equal(at.refused.at(-1), "logout-hint", what);
  }
  const old = { id_token_hint: idToken({}, stranger), post_logout_redirect_uri: bye };
  assert.equal((await ask(browser, old)).status, 400, "a key that has left the ring names no client");
  assert.equal(
    (await ask(browser, { ...old, client_id: "portal" })).status,
    200,
    "who is named besides is asked about",
  );
});

test("a client's form reaches the same page without its ID token in an address, and without a cookie", async () => {
  const { browser, sid } = await person();
  const stranger = at.browser();
  const carried = await stranger.post(
    path,
    { id_token_hint: idToken({ sid }), post_logout_redirect_uri: bye, state: "s" },
    { origin: "https://portal.example", "sec-fetch-site": "cross-site" },
  );
  assert.equal(carried.status, 303);
  assert.equal(stranger.set.length, 0, "a cookie set here would replace the browser's own");
  assert.doesNotMatch(carried.location ?? "", /id_token_hint|eyJ/);
  const page = await browser.get(carried.location ?? "");
  assert.equal(page.status, 200);
  const done = await browser.submit(page, "/session/end/decide", { answer: "yes" });
  assert.equal(done.location, `${bye}?state=s`);
  assert.equal(await revoked(sid), true);
  const changed = `${carried.location?.slice(0, -2)}AA`;
  assert.equal((await browser.get(changed)).status, 400, "what was changed on its way is no request");
  const bad = await at.browser().post(path, { client_id: "portal", post_logout_redirect_uri: "https://evil.example" });
  assert.equal(bad.status, 400);
});

test("a session that is idle can still be ended: what it allowed lives on until then", async () => {
  const { browser, sid } = await person();
  clock.move(2 * 3_600_000);
  assert.equal(await isSignedIn(browser), false);
  const page = await ask(browser, { client_id: "portal" });
  await browser.submit(page, "/session/end/decide", { answer: "yes" });
  assert.equal(await revoked(sid), true);
});

test("an app on the user's machine is sent back to any port of its loopback address, and nobody else is", () => {
  const app = { isPublic: true, postLogoutRedirectUris: ["http://127.0.0.1/bye"] };
  assert.equal(isPostLogoutUri("http://127.0.0.1:49152/bye", app), true);
  for (const uri of [
    "http://127.0.0.1:49152/other",
    "http://127.0.0.1:99999/bye",
    "http://127.0.0.1:80@evil.example/bye",
    "http://localhost:49152/bye",
    "http://127.0.0.1.evil.example:80/bye",
  ])
    assert.equal(isPostLogoutUri(uri, app), false, uri);
  assert.equal(isPostLogoutUri("http://127.0.0.1:49152/bye", { ...app, isPublic: false }), false);
});
