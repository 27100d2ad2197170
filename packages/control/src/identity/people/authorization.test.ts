import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { openStore } from "@sallyport/kernel/store/open.ts";
import type { Store } from "@sallyport/kernel/store/port.ts";
import type { AuthorizationDesk, LoginResult, PendingAuthorization } from "../oauth/interaction.ts";
import { type Answer, base, formsOf, startPages, type TestBrowser, type TestPlace } from "./browser.test-support.ts";
import { digestOf } from "./one-time-secrets.ts";
import { commandsUrl, type PeopleTestCommands, place, standingClock } from "./people.test-support.ts";

const folder = mkdtempSync(join(tmpdir(), "sallyport-flows-"));
const clock = standingClock();
const password = "correct horse battery";

/** The authorization endpoint's side as its port says: one use for each id, and only in the browser that began. */
class Desk implements AuthorizationDesk {
  readonly requests = new Map<string, PendingAuthorization>();
  readonly allowed: LoginResult[] = [];
  readonly refused: string[] = [];
  /** Happens before the next grant, which is therefore not made. */
  meanwhile: (() => Promise<unknown>) | null = null;
  #count = 0;

  begin(over: Partial<PendingAuthorization> = {}): string {
    this.#count += 1;
    const id = `request-number-${String(this.#count).padStart(6, "0")}`;
    const ask = {
      client: "shop",
      system: "shop",
      providers: ["billing"],
      scopes: ["billing:invoice.read"],
      openid: true,
    };
    const rest = { prompts: [], maxAgeSeconds: null, acrValues: [], loginHint: null, uiLocales: null };
    this.requests.set(id, {
      ...ask,
      ...rest,
      id,
      returnsTo: "https://shop.example",
      expiresAt: clock.now() + 600_000,
      ...over,
    });
    return id;
  }

  async pending(id: string, cookie: string | undefined): Promise<PendingAuthorization | null> {
    return cookie?.includes(`begun=${id}`) === true ? (this.requests.get(id) ?? null) : null;
  }

  async allow(id: string, cookie: string | undefined, login: LoginResult) {
    if ((await this.pending(id, cookie)) === null) return null;
    if (this.meanwhile !== null) {
      await this.meanwhile();
      this.meanwhile = null;
      return null;
    }
    this.requests.delete(id);
    this.allowed.push(login);
    return { location: "https://shop.example/callback?code=c" };
  }

  async refuse(id: string, cookie: string | undefined, error: string) {
    if ((await this.pending(id, cookie)) === null) return null;
    this.requests.delete(id);
    this.refused.push(error);
    return { location: `https://shop.example/callback?error=${error}` };
  }
}

const desk = new Desk();
let store: Store<PeopleTestCommands>;
let at: TestPlace;
before(async () => {
  store = await openStore<PeopleTestCommands>({ commands: commandsUrl, path: join(folder, "store.db"), clock });
  at = await startPages(store, clock, { desk });
});
after(async () => {
  await at.close();
  await store.close();
  rmSync(folder, { recursive: true, force: true });
});

let names = 0;
async function person() {
  const name = `flow${names++}`;
  const { browser, user } = await at.enrol(name, password);
  return { name, browser, user };
}

/** A browser at the authorization endpoint is sent here with the cookie that says it began. */
async function arrive(
  browser: TestBrowser,
  over: Partial<PendingAuthorization> = {},
): Promise<{ id: string; page: Answer }> {
  const id = desk.begin(over);
  browser.cookies.set("begun", id);
  return { id, page: await browser.get(`${base}/interaction/${id}`) };
}

async function signIn(browser: TestBrowser, login: Answer, name: string): Promise<Answer> {
  return browser.submit(await browser.get(login.location ?? ""), "/login", { name, password });
}

test("a request leads a stranger through a log-in and a consent to a code, and the same person not through a consent again", async () => {
  const { name, user } = await person();
  const browser = at.browser();
  const { id, page } = await arrive(browser);
  assert.equal(page.location, `${base}/login?flow=${id}`);
  const login = await browser.get(page.location ?? "");
  assert.match(login.text, /Sign in to continue to shop/);
  assert.match(String(login.headers["content-security-policy"]), /form-action 'self' https:\/\/shop\.example;/);
  const consent = await signIn(browser, page, name);
  assert.equal(consent.status, 200);
  assert.match(consent.text, /Allow shop to act for you\?[\s\S]*<strong>billing<\/strong>: <code>invoice.read<\/code>/);
  const done = await browser.submit(consent, "/consent", { answer: "allow" });
  assert.equal(done.location, "https://shop.example/callback?code=c");
  const result = desk.allowed.at(-1);
  assert.equal(result?.subject.id, user);
  assert.equal(result?.subject.acr, "urn:sallyport:acr:password");
  assert.equal(result?.subject.authTime, Math.floor(clock.now() / 1_000));
  assert.ok((await store.run("listSessions", { ...place, user })).some(({ sid }) => sid === result?.subject.session));
  assert.deepEqual(result?.scopes, ["billing:invoice.read"]);
  assert.equal((await arrive(browser)).page.location, "https://shop.example/callback?code=c");
  assert.equal((await arrive(browser, { scopes: ["billing:invoice.create"] })).page.status, 200, "more is asked again");
  assert.equal((await arrive(browser, { scopes: null })).page.status, 200, "and everything is more");
  assert.equal((await arrive(browser, { prompts: ["consent"] })).page.status, 200);
});

test("a person who says no is no code, and the client learns that", async () => {
  const { browser } = await person();
  const { page } = await arrive(browser);
  assert.equal(
    (await browser.submit(page, "/consent", { answer: "deny" })).location,
    "https://shop.example/callback?error=access_denied",
  );
  assert.equal((await arrive(browser)).page.status, 200, "and nothing was kept as allowed");
});

test("consent by GET: a link allows nothing, and a consent form of another browser, session or request does not either", async () => {
  const { browser } = await person();
  const { page, id } = await arrive(browser);
  const before = desk.allowed.length;
  const form = formsOf(page.text).find(({ action }) => action.endsWith("/consent"));
  assert.ok(form);
  const query = new URLSearchParams({ ...form.fields, answer: "allow" });
  assert.equal((await browser.get(`${base}/consent?${query}`)).status, 404);
  assert.equal((await browser.get(`${base}/consent`)).status, 405);
  const fields = { ...form.fields, answer: "allow" };
  assert.equal((await browser.post(form.action, fields, { origin: "https://evil.example" })).status, 403);
  const { browser: other } = await person();
  other.cookies.set("begun", id);
  const own = formsOf((await other.get(`${base}/account`)).text)[0]?.fields["form"] ?? "";
  assert.equal((await other.post(form.action, { ...fields, form: own })).status, 400);
  const second = desk.begin();
  assert.equal(
    (await browser.post(form.action, { ...fields, flow: second })).status,
    400,
    "a form of one request for another",
  );
  assert.equal(desk.allowed.length, before);
  assert.equal((await browser.post(form.action, fields)).status, 303);
  assert.equal((await browser.post(form.action, fields)).status, 400, "twice");
  assert.equal(desk.allowed.length, before + 1);
});

test("a request of another browser, or one that is over, opens nothing", async () => {
  const { browser } = await person();
  const id = desk.begin();
  assert.equal((await browser.get(`${base}/interaction/${id}`)).status, 400);
  assert.equal((await browser.get(`${base}/login?flow=${id}`)).status, 400);
  assert.equal((await browser.get(`${base}/interaction/unknown-unknown-unknown`)).status, 400);
});

test("prompt=none never shows a page: login_required, consent_required, or a code", async () => {
  const silent = { prompts: ["none"] } as const;
  const end = async (browser: TestBrowser, over: Partial<PendingAuthorization> = {}) =>
    new URL((await arrive(browser, { ...silent, ...over })).page.location ?? "").search;
  assert.equal(await end(at.browser()), "?error=login_required");
  const { browser } = await person();
  assert.equal(await end(browser), "?error=consent_required");
  await browser.submit((await arrive(browser)).page, "/consent", { answer: "allow" });
  assert.equal(await end(browser), "?code=c");
  clock.move(61_000);
  assert.equal(await end(browser, { maxAgeSeconds: 60 }), "?error=login_required");
  assert.equal(await end(browser, { acrValues: ["urn:other"] }), "?error=unmet_authentication_requirements");
});

test("prompt=login and max_age ask again, and one log-in for the request is enough", async () => {
  const { browser, name } = await person();
  await browser.submit((await arrive(browser)).page, "/consent", { answer: "allow" });
  for (const over of [{ prompts: ["login"] as const }, { maxAgeSeconds: 0 }]) {
    clock.move(5_000);
    const { page } = await arrive(browser, over);
    assert.match(page.location ?? "", /\/login\?flow=/);
    assert.equal((await signIn(browser, page, name)).location, "https://shop.example/callback?code=c");
    assert.equal(desk.allowed.at(-1)?.subject.authTime, Math.floor(clock.now() / 1_000));
  }
});

test("step-up: acr_values asks for the second factor, and a level nobody here can reach is an answer, not a loop", async () => {
  const { browser } = await person();
  assert.equal(
    (await arrive(browser, { acrValues: ["urn:sallyport:acr:mfa"] })).page.location,
    "https://shop.example/callback?error=unmet_authentication_requirements",
  );
  assert.equal((await arrive(browser, { acrValues: ["urn:sallyport:acr:password"] })).page.status, 200);
});

test("a session that ends while its person reads the consent allows nothing any more", async () => {
  const { browser, user } = await person();
  const { page, id } = await arrive(browser);
  const [session] = await store.run("listSessions", { ...place, user });
  await store.run("endSession", { ...place, sid: session?.sid ?? "", actor: "operator:test", why: "operator" });
  const before = desk.allowed.length;
  const answer = await browser.submit(page, "/consent", { answer: "allow" });
  assert.equal(answer.location, `${base}/login?flow=${id}`, "they are asked who they are, for the same request");
  assert.equal(desk.allowed.length, before);
});

test("after an operator revoked everything of a user, their browser's old log-in allows nothing: they sign in again, and the request goes on", async () => {
  const { browser, name, user } = await person();
  await browser.submit((await arrive(browser)).page, "/consent", { answer: "allow" });
  const [old] = await store.run("listSessions", { ...place, user });
  const before = desk.allowed.length;
  clock.move(5_000);
  const order = { ...place, kind: "subject", value: user, actor: "operator:test" } as const;
  await store.run("revoke", { ...order, notBefore: clock.now(), until: clock.now() + 660_000 });
  assert.equal((await browser.get(`${base}/account`)).location, `${base}/login`);
  const silent = (await arrive(browser, { prompts: ["none"] })).page;
  assert.equal(silent.location, "https://shop.example/callback?error=login_required");
  clock.move(5_000);
  const { id, page } = await arrive(browser);
  assert.equal(page.location, `${base}/login?flow=${id}`);
  const done = await signIn(browser, page, name);
  assert.equal(done.location, "https://shop.example/callback?code=c", done.text);
  assert.equal(desk.allowed.length, before + 1);
  const { entries } = await store.run("readRevocations", { ...place, from: 0 });
  assert.ok(
    entries.some(({ kind, value }) => kind === "session" && value === old?.sid),
    "the old one is over",
  );
});

test("a revocation between the last look at a session and the grant: the person is asked again, for the same request", async () => {
  const { browser, user } = await person();
  await browser.submit((await arrive(browser)).page, "/consent", { answer: "allow" });
  desk.meanwhile = () =>
    store.run("revoke", {
      ...{ ...place, kind: "subject", value: user, actor: "operator:test" },
      ...{ notBefore: clock.now(), until: clock.now() + 660_000 },
    });
  const { id, page } = await arrive(browser);
  assert.equal(page.location, `${base}/login?flow=${id}`);
});

test("a session with a passkey stays one after a password, and max_age is met only by something as strong", async () => {
  const { browser, name, user } = await person();
  const cookie = browser.cookies.get("__Host-sallyport.main.production.session") ?? "";
  const passkey = { acr: "urn:sallyport:acr:phishing-resistant", amr: ["hwk", "user", "mfa"] } as const;
  const digest = digestOf("session", cookie);
  const raise = {
    ...place,
    from: digest,
    to: digest,
    user,
    ...passkey,
    authTime: null,
    outside: null,
    idleMs: 3_600_000,
  };
  assert.ok(await store.run("raiseSession", raise));
  const provenAt = Math.floor(clock.now() / 1_000);
  await browser.submit((await arrive(browser)).page, "/consent", { answer: "allow" });
  clock.move(120_000);
  const asked = (await arrive(browser, { prompts: ["login"] })).page;
  assert.equal((await signIn(browser, asked, name)).location, "https://shop.example/callback?code=c");
  const { acr, authTime } = desk.allowed.at(-1)?.subject ?? {};
  assert.deepEqual([acr, authTime], [passkey.acr, provenAt]);
  const { id, page } = await arrive(browser, { maxAgeSeconds: 60 });
  const before = desk.allowed.length;
  const still = await signIn(browser, page, name);
  assert.equal(still.location, `${base}/login?flow=${id}`, "a password makes nothing fresh that a passkey proved");
  assert.match((await browser.get(still.location ?? "")).text, /what you signed in with before or something as strong/);
  assert.equal(desk.allowed.length, before);
});

test("a person sees what they allowed and takes it back from their account: the client has to ask again; another site's form takes nothing back", async () => {
  const { browser, user } = await person();
  const { page } = await arrive(browser);
  await browser.submit(page, "/consent", { answer: "allow" });
  assert.equal((await arrive(browser)).page.location, "https://shop.example/callback?code=c");
  const account = await browser.get(`${base}/account`);
  assert.match(account.text, /Applications you allowed[\s\S]*shop<br>[\s\S]*may call billing for you/);
  const form = formsOf(account.text).find((one) => one.action.endsWith("/account/withdraw"));
  assert.ok(form);
  const foreign = { origin: "https://evil.example", "sec-fetch-site": "cross-site" };
  assert.equal((await browser.post(form.action, form.fields, foreign)).status, 403);
  assert.equal((await store.run("listConsents", { ...place, user })).length, 1);
  const before = at.revoked;
  const done = await browser.submit(account, "/account/withdraw");
  assert.match(done.text, /It was taken back/);
  assert.doesNotMatch(done.text, /Applications you allowed/);
  assert.ok(at.revoked > before, "gateways are told");
  assert.equal((await arrive(browser)).page.status, 200, "asked again");
});
