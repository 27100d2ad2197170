import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { openStore } from "@sallyport/kernel/store/open.ts";
import type { Store } from "@sallyport/kernel/store/port.ts";
import { TestAuthenticator } from "./authenticator.test-support.ts";
import { type Answer, base, formsOf, startPages, type TestBrowser, type TestPlace } from "./browser.test-support.ts";
import { throttleRules } from "./decide-throttle.ts";
import { addTestUser, commandsUrl, type PeopleTestCommands, place, standingClock } from "./people.test-support.ts";
import { totpOf, totpStepMs } from "./totp.ts";

const folder = mkdtempSync(join(tmpdir(), "sallyport-people-"));
const clock = standingClock();
let store: Store<PeopleTestCommands>;
let at: TestPlace;
before(async () => {
  store = await openStore<PeopleTestCommands>({ commands: commandsUrl, path: join(folder, "store.db"), clock });
  at = await startPages(store, clock);
});
after(async () => {
  await at.close();
  await store.close();
  rmSync(folder, { recursive: true, force: true });
});

const password = "correct horse battery";
const session = "__Host-sallyport.main.production.session";
let names = 0;
const nameOf = () => `person${names++}`;

const signIn = async (browser: TestBrowser, name: string, typed = password) =>
  browser.submit(await browser.get(`${base}/login`), "/login", { name, password: typed });
const errorOf = (page: Answer) => /role="alert" id="error">([^<]*)</.exec(page.text)?.[1] ?? null;

/** What a browser's prompt for a passkey would send. */
const ceremony = (page: Answer, action: string) => {
  const options = JSON.parse(formsOf(page.text).find((form) => form.action.endsWith(action))?.options ?? "{}");
  return { challenge: String(options.challenge), origin: at.url, rpId: "localhost" };
};

async function withPasskey(name: string) {
  const { user, link } = await addTestUser(store, name, clock.now());
  const browser = at.browser();
  const device = new TestAuthenticator(user);
  const page = await browser.get(`${base}/enrol?link=${link}`);
  const response = device.register(ceremony(page, "/enrol/passkey"));
  assert.equal((await browser.submit(page, "/enrol/passkey", { response })).status, 303);
  return { user, browser, device };
}

/** Sets an authenticator app up in a browser that is signed in; returns its seed and the recovery codes. */
async function withApp(browser: TestBrowser) {
  const page = await browser.submit(await browser.get(`${base}/account`), "/account/app");
  const text = (/<code>([A-Z2-7 ]+)<\/code>/.exec(page.text)?.[1] ?? "").replaceAll(" ", "");
  const bits = [...text]
    .map((c) => "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567".indexOf(c).toString(2).padStart(5, "0"))
    .join("");
  const seed = Buffer.from((bits.match(/.{8}/g) ?? []).map((byte) => Number.parseInt(byte, 2)));
  const codes = await browser.submit(page, "/account/app/confirm", { code: codeAt(seed) });
  assert.equal(codes.status, 200);
  return { seed, recovery: [...codes.text.matchAll(/<li>([A-Z2-7-]{19})<\/li>/g)].map(([, code = ""]) => code) };
}
const codeAt = (seed: Uint8Array) => totpOf(seed, Math.floor(clock.now() / totpStepMs));

test("a person sets up their account by a link, signs out, and signs in again", async () => {
  const { browser } = await at.enrol(nameOf(), password);
  const account = await browser.get(`${base}/account`);
  assert.equal(account.status, 200);
  assert.match(account.text, /<h1>person0<\/h1>/);
  assert.equal((await browser.submit(account, "/account/logout")).status, 200);
  assert.equal(browser.cookies.has(session), false);
  assert.equal((await browser.get(`${base}/account`)).location, `${base}/login`);
  assert.equal((await signIn(browser, "PERSON0 ")).location, `${base}/account`);
  assert.equal((await browser.get(`${base}/account`)).status, 200);
});

test("an enrolment link is used up by the credential it set, and says nothing to strangers", async () => {
  const { link } = await addTestUser(store, nameOf(), clock.now());
  const [first, second] = [at.browser(), at.browser()];
  const pages = [
    await first.get(`${base}/enrol?link=${link}`),
    await second.get(`${base}/enrol?link=${link}`),
  ] as const;
  assert.equal((await first.submit(pages[0], "/enrol/password", { password: "short" })).status, 400);
  assert.equal((await first.submit(pages[0], "/enrol/password", { password })).status, 303);
  assert.equal((await second.submit(pages[1], "/enrol/password", { password: `${password}2` })).status, 404);
  for (const bad of [link, "x", "", "A".repeat(43)])
    assert.equal((await at.browser().get(`${base}/enrol?link=${bad}`)).status, 404);
});

test("cookies are __Host-, Secure, HttpOnly and SameSite=Lax, and the session's is a new one after every log-in", async () => {
  const { browser, user } = await at.enrol(nameOf(), password);
  for (const field of browser.set)
    assert.match(field, /^__Host-[^=]+=[A-Za-z0-9_-]{43}; Path=\/; Secure; HttpOnly; SameSite=Lax(; Max-Age=\d+)?$/);
  const before = browser.cookies.get(session);
  assert.equal(
    (
      await browser.submit(await browser.get(`${base}/login?again=1`), "/login", {
        name: `person${names - 1}`,
        password,
      })
    ).status,
    303,
  );
  assert.notEqual(browser.cookies.get(session), before);
  assert.equal((await store.run("listSessions", { ...place, user })).length, 1, "it is the same session");
});

test("session fixation: a cookie planted before the log-in is worth nothing after it", async () => {
  const { browser: attacker } = await at.enrol(nameOf(), password);
  const victim = nameOf();
  await at.enrol(victim, password);
  const browser = at.browser();
  const planted = attacker.cookies.get(session) ?? "";
  browser.cookies.set(session, planted);
  const page = await browser.get(`${base}/login?again=1`);
  assert.equal((await browser.submit(page, "/login", { name: victim, password })).status, 303);
  assert.notEqual(browser.cookies.get(session), planted);
  assert.equal(
    (await attacker.get(`${base}/account`)).status,
    303,
    "and the planted session is over for who planted it",
  );
});

test("session of another issuer: a production session is nobody in staging", async () => {
  const { browser } = await at.enrol(nameOf(), password);
  const value = browser.cookies.get(session) ?? "";
  browser.cookies.set("__Host-sallyport.main.staging.session", value);
  assert.equal((await browser.get("/main/staging/account")).location, "/main/staging/login");
  const name = `person${names - 1}`;
  const page = await browser.get("/main/staging/login");
  const refused = await browser.submit(page, "/main/staging/login", { name, password });
  assert.equal(errorOf(refused), "That did not work. Check what you typed and try again.", "nor is the user one there");
});

test("enumeration by text: an unknown name, a wrong password, a disabled user and one without a password get one answer", async () => {
  const [known, disabled, keyed] = [nameOf(), nameOf(), nameOf()];
  await at.enrol(known, password);
  const { user } = await at.enrol(disabled, password);
  await store.run("disableUser", { ...place, user, actor: "operator:test", reason: "left" });
  await withPasskey(keyed);
  const answers = await Promise.all(
    [
      [known, "wrong horse battery"],
      ["nobody-of-this-name", password],
      [disabled, password],
      [keyed, password],
      ["Not A Name!", password],
    ].map(async ([name = "", typed = ""]) => {
      const answer = await signIn(at.browser(), name, typed);
      const shown = answer.text.replace(/value="[^"]*"/g, "").replace(/data-options="[^"]*"/g, "");
      return JSON.stringify([answer.status, shown, Object.keys(answer.headers)]);
    }),
  );
  assert.equal(new Set(answers).size, 1);
  assert.match(answers[0] ?? "", /That did not work/);
});

test("guessing is slowed down by name and network, the same for names that do not exist", async () => {
  for (const name of [nameOf(), "no-such-person"]) {
    if (name !== "no-such-person") await at.enrol(name, password);
    const burst = throttleRules.accountFromSource.burst;
    for (let guess = 0; guess < burst; guess += 1)
      assert.equal((await signIn(at.browser(), name, "wrong horse battery")).status, 400);
    const slowed = await signIn(at.browser(), name, password);
    assert.equal(slowed.status, 429, "even with the right password");
    assert.ok(Number(slowed.headers["retry-after"]) >= 1);
    assert.equal(at.refused.at(-1), "login-throttled");
  }
  clock.move(600_000);
});

test("account lock-out: while strangers guess, the owner's own browser still gets in", async () => {
  const name = nameOf();
  const { browser } = await at.enrol(name, password);
  for (let guess = 0; guess < throttleRules.accountFromSource.burst; guess += 1)
    await signIn(at.browser(), name, "wrong horse battery");
  assert.equal((await signIn(at.browser(), name)).status, 429);
  await browser.submit(await browser.get(`${base}/account`), "/account/logout");
  assert.equal((await signIn(browser, name)).status, 303);
  clock.move(600_000);
});

test("with an authenticator app a password alone signs nobody in, and a code passes once", async () => {
  const name = nameOf();
  const { browser, user } = await at.enrol(name, password);
  const { seed, recovery } = await withApp(browser);
  assert.equal(recovery.length, 10);
  const other = at.browser();
  const step = await signIn(other, name);
  assert.equal(step.status, 200);
  assert.equal(other.cookies.has(session), false);
  assert.equal(
    (await other.submit(step, "/login/code", { code: codeAt(seed) })).status,
    400,
    "the code that set it up",
  );
  clock.move(totpStepMs);
  const code = codeAt(seed);
  assert.equal((await other.submit(step, "/login/code", { code: "000000" })).status, 400);
  assert.equal((await other.submit(step, "/login/code", { code })).status, 303);
  const third = at.browser();
  const replayed = await third.submit(await signIn(third, name), "/login/code", { code });
  assert.equal(replayed.status, 400, "TOTP replay");
  assert.equal((await third.submit(replayed, "/login/code", { code: (recovery[0] ?? "").toLowerCase() })).status, 303);
  const fourth = at.browser();
  assert.equal(
    (await fourth.submit(await signIn(fourth, name), "/login/code", { code: recovery[0] ?? "" })).status,
    400,
  );
  const acrs = (await store.run("listSessions", { ...place, user })).map(({ acr }) => acr);
  assert.equal(acrs.filter((acr) => acr === "urn:sallyport:acr:mfa").length, 2);
});

test("the password step of one browser is no step of another, and guessing codes is slow", async () => {
  const name = nameOf();
  const { browser } = await at.enrol(name, password);
  const { seed } = await withApp(browser);
  clock.move(totpStepMs);
  const step = await signIn(at.browser(), name);
  const thief = at.browser();
  const own = formsOf((await thief.get(`${base}/login`)).text)[0]?.fields["form"] ?? "";
  const stolen = formsOf(step.text)[0]?.fields["step"] ?? "";
  const refused = await thief.post(`${base}/login/code`, { form: own, step: stolen, code: codeAt(seed) });
  assert.equal(refused.status, 400);
  assert.equal(thief.cookies.has(session), false);
  const guesser = at.browser();
  let page = await signIn(guesser, name);
  for (let guess = 0; guess < throttleRules.secondFactor.burst; guess += 1)
    page = await guesser.submit(page, "/login/code", { code: "000000" });
  assert.equal((await guesser.submit(page, "/login/code", { code: codeAt(seed) })).status, 429);
});

test("a passkey signs in without a name, and its challenge is good once and in its own browser", async () => {
  const { device, user } = await withPasskey(nameOf());
  const browser = at.browser();
  const page = await browser.get(`${base}/login`);
  const response = device.login(ceremony(page, "/login/passkey"));
  const thief = at.browser();
  const theirs = await thief.get(`${base}/login`);
  assert.equal(
    (await thief.submit(theirs, "/login/passkey", { response })).status,
    400,
    "challenge of another browser",
  );
  assert.equal((await browser.submit(page, "/login/passkey", { response })).location, `${base}/account`);
  const sessions = await store.run("listSessions", { ...place, user });
  assert.ok(sessions.some(({ acr, amr }) => acr === "urn:sallyport:acr:phishing-resistant" && amr.includes("hwk")));
  browser.cookies.delete(session);
  assert.equal((await browser.submit(page, "/login/passkey", { response })).status, 400, "challenge reuse");
  assert.ok(at.refused.includes("login-passkey"));
});

test("passkey of another origin is refused at the page, and so is one that was removed", async () => {
  const { device, user } = await withPasskey(nameOf());
  const browser = at.browser();
  const page = await browser.get(`${base}/login`);
  const response = device.login({ ...ceremony(page, "/login/passkey"), origin: "https://evil.example" });
  assert.equal((await browser.submit(page, "/login/passkey", { response })).status, 400);
  await store.run("setPassword", { ...place, user, password: "$argon2id$", right: { kind: "session" }, actor: "a" });
  await store.run("removePasskey", { ...place, user, id: device.id, actor: "a" });
  const next = await browser.get(`${base}/login`);
  assert.equal(
    (await browser.submit(next, "/login/passkey", { response: device.login(ceremony(next, "/login/passkey")) })).status,
    400,
  );
});

test("attack: whoever came in by a stolen passkey is out when it is removed", async () => {
  const { device, browser, user } = await withPasskey(nameOf());
  await store.run("setPassword", { ...place, user, password: "$argon2id$", right: { kind: "session" }, actor: "a" });
  const thief = at.browser();
  const page = await thief.get(`${base}/login`);
  const response = device.login(ceremony(page, "/login/passkey"));
  assert.equal((await thief.submit(page, "/login/passkey", { response })).location, `${base}/account`);
  const account = await browser.get(`${base}/account`);
  const removed = await browser.submit(account, "/account/passkey/remove", { id: device.id });
  assert.match(removed.text, /removed, and your other sessions were ended/);
  assert.equal((await thief.get(`${base}/account`)).status, 303);
  assert.equal((await browser.get(`${base}/account`)).status, 200, "not who did it");
});

test("CSRF: a form of another site, of another browser, or without its token changes nothing", async () => {
  const { browser, user } = await at.enrol(nameOf(), password);
  const account = await browser.get(`${base}/account`);
  const forms = formsOf(account.text);
  const logout = forms.find(({ action }) => action.endsWith("/account/logout"));
  assert.ok(logout);
  const sameToken = async (headers: Record<string, string>) =>
    (await browser.post(logout.action, logout.fields, headers)).status;
  assert.equal(await sameToken({ origin: "https://evil.example" }), 403);
  assert.equal(await sameToken({ origin: "null" }), 403);
  assert.equal(await sameToken({ origin: "" }), 403);
  assert.equal(await sameToken({ origin: `${at.url}.evil.example` }), 403);
  assert.equal(await sameToken({ "sec-fetch-site": "cross-site" }), 403);
  const other = formsOf((await at.browser().get(`${base}/login`)).text)[0]?.fields["form"] ?? "";
  for (const form of [other, "", `${logout.fields["form"]}A`])
    assert.equal((await browser.post(logout.action, { form })).status, 403);
  assert.equal((await browser.get(`${base}/account/logout`)).status, 405, "and a link does nothing");
  assert.equal((await store.run("listSessions", { ...place, user })).length, 1);
  assert.equal(at.refused.at(-1), "form-not-ours");
  assert.equal(await sameToken({}), 200);
});

test("log-in CSRF: nobody is signed in to another's account by a form that was prepared for them", async () => {
  const name = nameOf();
  await at.enrol(name, password);
  const attacker = at.browser();
  const prepared = formsOf((await attacker.get(`${base}/login`)).text)[0]?.fields["form"] ?? "";
  const victim = at.browser();
  await victim.get(`${base}/login`);
  assert.equal((await victim.post(`${base}/login`, { form: prepared, name, password })).status, 403);
  assert.equal(victim.cookies.has(session), false);
});

test("clickjacking and script injection: every page forbids frames and every script but the one by its digest", async () => {
  const { browser } = await at.enrol(nameOf(), password);
  for (const [who, path] of [
    [at.browser(), "/login"],
    [at.browser(), "/enrol?link=x"],
    [browser, "/account"],
  ] as const) {
    const { headers } = await who.get(`${base}${path}`);
    const policy = String(headers["content-security-policy"]);
    assert.match(policy, /frame-ancestors 'none'/);
    assert.match(policy, /default-src 'none'/);
    assert.match(policy, /base-uri 'none'/);
    assert.doesNotMatch(policy, /unsafe|\*|https?:/);
    assert.equal(headers["x-frame-options"], "DENY");
    assert.equal(headers["cache-control"], "no-store");
    assert.equal(headers["referrer-policy"], "same-origin");
  }
});

test("what somebody typed comes back as text, never as markup", async () => {
  const name = `"><script>alert(1)</script>`;
  const answer = await signIn(at.browser(), name);
  assert.equal(answer.status, 400);
  assert.ok(answer.text.includes("&quot;&gt;&lt;script&gt;alert(1)"));
  assert.doesNotMatch(answer.text, /<script>alert/);
});

test("open redirect: no parameter of a page names where it leads", async () => {
  const { browser } = await at.enrol(nameOf(), password);
  for (const name of ["next", "return", "returnTo", "redirect", "redirect_uri", "continue", "flow"]) {
    const path = `${base}/login?${name}=${encodeURIComponent("https://evil.example/")}`;
    assert.equal((await browser.get(path)).location, `${base}/account`, name);
  }
  const stranger = at.browser();
  const page = await stranger.get(`${base}/login?flow=${encodeURIComponent("//evil.example/aaaaaaaaaaaa")}`);
  assert.doesNotMatch(page.text, /evil/);
});

test("a stolen password cannot add a passkey or an authenticator app beside a stronger one", async () => {
  const name = nameOf();
  const { browser, user } = await withPasskey(name);
  const form = await browser.get(`${base}/account`);
  assert.equal((await browser.submit(form, "/account/password", { password })).status, 200);
  const thief = at.browser();
  assert.equal((await signIn(thief, name)).status, 303, "the password alone signs in");
  const account = await thief.get(`${base}/account`);
  assert.match(account.text, /sign in with a passkey first/);
  const token = formsOf(account.text)[0]?.fields["form"] ?? "";
  for (const path of [
    "/account/app",
    "/account/password",
    "/account/passkey",
    "/account/passkey/remove",
    "/account/recovery",
  ])
    assert.equal(
      (await thief.post(`${base}${path}`, { form: token, password: "another horse battery" })).status,
      403,
      path,
    );
  const left = await store.run("readUser", { ...place, user });
  assert.deepEqual([left?.passkeys.length, left?.totp], [1, null]);
});

test("credentials change only after a log-in of a moment ago", async () => {
  const name = nameOf();
  const { browser } = await at.enrol(name, password);
  const page = await browser.get(`${base}/account`);
  clock.move(900_001);
  const refused = await browser.submit(page, "/account/password", { password: "another horse battery" });
  assert.equal(refused.status, 403);
  assert.match(errorOf(refused) ?? "", /sign in again/);
  const again = await browser.submit(refused, "/account/again");
  assert.equal(again.location, `${base}/login?again=1`);
  const login = await browser.get(again.location ?? "");
  assert.equal((await browser.submit(login, "/login", { name, password })).status, 303);
  const fresh = await browser.get(`${base}/account`);
  assert.equal((await browser.submit(fresh, "/account/password", { password: "another horse battery" })).status, 200);
});

test("a new password, or a first authenticator app, ends every other session and leaves this one", async () => {
  const name = nameOf();
  const { browser, user } = await at.enrol(name, password);
  const other = at.browser();
  await signIn(other, name);
  const pushes = at.revoked;
  await browser.submit(await browser.get(`${base}/account`), "/account/password", {
    password: "another horse battery",
  });
  assert.equal((await other.get(`${base}/account`)).status, 303);
  assert.ok(at.revoked > pushes, "gateways were told");
  await signIn(other, name, "another horse battery");
  await withApp(browser);
  assert.equal((await other.get(`${base}/account`)).status, 303);
  assert.equal((await store.run("listSessions", { ...place, user })).length, 1);
});

test("a person ends a session of their own, and nobody else's", async () => {
  const name = nameOf();
  const { browser, user } = await at.enrol(name, password);
  const other = at.browser();
  await signIn(other, name);
  const { user: stranger } = await at.enrol(nameOf(), password);
  const theirs = (await store.run("listSessions", { ...place, user: stranger }))[0]?.sid ?? "";
  const account = await browser.get(`${base}/account`);
  await browser.submit(account, "/account/end", { sid: theirs });
  assert.equal((await store.run("listSessions", { ...place, user: stranger })).length, 1);
  await browser.submit(account, "/account/end");
  assert.equal((await other.get(`${base}/account`)).status, 303);
  assert.equal((await browser.get(`${base}/account`)).status, 200);
  assert.equal((await store.run("listSessions", { ...place, user })).length, 1);
});

test("hostile forms: twice the same field, too large, too many, of another type, without a length", async () => {
  const browser = at.browser();
  await browser.get(`${base}/login`);
  const send = async (body: string, headers: Record<string, string> = {}) => {
    const own = { origin: at.url, "content-type": "application/x-www-form-urlencoded", ...headers };
    return (await browser.send("POST", `${base}/login`, { headers: own, body })).status;
  };
  assert.equal(await send("name=a&name=b"), 400);
  assert.equal(await send(Array.from({ length: 40 }, (_, index) => `a${index}=1`).join("&")), 400);
  assert.equal(await send(`name=${"a".repeat(40_000)}`), 413);
  assert.equal(await send("name=a", { "content-type": "multipart/form-data; boundary=x" }), 415);
  assert.equal(await send("{}", { "content-type": "application/json" }), 415);
  assert.equal(await send("name=%FF%FE", {}), 403);
  assert.ok(at.refused.includes("form-malformed"));
  const twice = at.browser();
  twice.cookies.set(
    "__Host-sallyport.main.production.browser",
    `${"A".repeat(43)}; __Host-sallyport.main.production.browser=${"B".repeat(43)}`,
  );
  const page = await twice.get(`${base}/login`);
  assert.equal(page.status, 200);
  assert.equal(twice.set.length, 1, "a cookie that is there twice counts as none");
});
