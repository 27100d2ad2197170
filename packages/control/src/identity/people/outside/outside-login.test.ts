import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, beforeEach, test } from "node:test";
import { openStore } from "@sallyport/kernel/store/open.ts";
import type { Store } from "@sallyport/kernel/store/port.ts";
import type { ProviderConfig } from "../../../registry/config/estate.ts";
import { type Answer, base, startPages, type TestBrowser, type TestPlace } from "../browser.test-support.ts";
import { addTestUser, commandsUrl, type PeopleTestCommands, place } from "../people.test-support.ts";
import { linkDigest } from "./link-commands.ts";
import { BentProvider, CorpProvider, tls } from "./provider.test-support.ts";

const folder = mkdtempSync(join(tmpdir(), "sallyport-outside-"));
// Providers have a clock of their own: it is the machine's.
const clock = { now: () => Date.now(), monotonic: () => performance.now() };
const password = "correct horse battery";
const corp = new CorpProvider();
const bent = new BentProvider();

let store: Store<PeopleTestCommands>;
let at: TestPlace;
before(async () => {
  await Promise.all([corp.start(), bent.start()]);
  store = await openStore<PeopleTestCommands>({ commands: commandsUrl, path: join(folder, "store.db"), clock });
  at = await startPages(store, clock, { bundles: [{ name: "corp", roots: [tls.cert] }] });
  use({});
  const { text } = await at.browser().get(`${base}/client-jwks`);
  assert.equal(JSON.parse(text).keys.length, 2);
  corp.register(`${at.url}${base}/login/back/corp`, JSON.parse(text));
});
after(async () => {
  await at.close();
  corp.stop();
  bent.stop();
  await store.close();
  rmSync(folder, { recursive: true, force: true });
});
beforeEach(() => {
  use({});
  bent.straighten();
  at.refused.length = 0;
});

function use(over: Partial<ProviderConfig>): void {
  const common = {
    client: "sallyport",
    acr: "urn:sallyport:acr:password",
    jit: false,
    allowPrivate: true,
    trust: "corp",
  };
  // as: `acr` is of that type.
  const providers = [
    { id: "corp", name: "Corp", issuer: corp.issuer, ...common, ...over },
    { id: "bent", name: "Bent", issuer: bent.issuer, ...common, ...over },
  ] as ProviderConfig[];
  const signIn = ["bent", "corp", "passkey", "password"];
  at.config = { signIn, providers, idleMs: 3_600_000, absoluteMs: 12 * 3_600_000 };
}

const own = (url: URL) => `${url.pathname}${url.search}`;
/** Begins at the log-in page, as a person would. */
async function leave(browser: TestBrowser, provider: string, page = `${base}/login`): Promise<URL> {
  const begun = await browser.submit(await browser.get(page), `/login/outside/${provider}`);
  assert.equal(begun.status, 303, begun.text);
  return new URL(begun.location ?? "");
}

async function signInAtCorp(browser: TestBrowser): Promise<Answer> {
  return browser.get(own(await corp.through((await leave(browser, "corp")).href)));
}

/** Comes back from the bent provider with this answer. */
async function comeBack(browser: TestBrowser, over: Readonly<Record<string, string | null>> = {}): Promise<Answer> {
  const to = await leave(browser, "bent");
  bent.nonce = to.searchParams.get("nonce") ?? "";
  const query = new URLSearchParams({ code: "c", state: to.searchParams.get("state") ?? "", iss: bent.issuer });
  for (const [name, value] of Object.entries(over)) {
    if (value === null) query.delete(name);
    else query.set(name, value);
  }
  return browser.get(`${base}/login/back/bent?${query}`);
}

const isSignedIn = async (browser: TestBrowser) => (await browser.get(`${base}/account`)).status === 200;
const link = async (user: string, provider: "corp" | "bent", subject: string) => {
  const { issuer } = provider === "corp" ? corp : bent;
  const input = { ...place, user, provider, digest: linkDigest(issuer, subject), actor: "operator:test" };
  assert.equal(await store.run("linkUser", input), "linked");
};
let names = 0;
const person = () => at.enrol(`outside${names++}`, password);

test("a user who is connected signs in through a real provider: with PKCE, state, nonce, a key of ours and a redirect URI of its own", async () => {
  const { user } = await person();
  corp.person = { subject: `s-${user}` };
  await link(user, "corp", corp.person.subject);
  const browser = at.browser();
  const login = await browser.get(`${base}/login`);
  assert.match(login.text, /Sign in with Corp/);
  for (const { issuer } of [corp, bent])
    assert.match(String(login.headers["content-security-policy"]), new RegExp(`form-action 'self'[^;]* ${issuer}`));
  const done = await signInAtCorp(browser);
  assert.equal(done.status, 303, done.text);
  assert.equal(done.location, `${base}/account`);
  const query = corp.asked.at(-1);
  assert.equal(query?.get("redirect_uri"), `${at.url}${base}/login/back/corp`);
  assert.equal(query?.get("code_challenge_method"), "S256");
  assert.equal(query?.get("scope"), "openid");
  const sessions = await store.run("listSessions", { ...place, user });
  const made = sessions.find(({ amr }) => amr.includes("fed"));
  assert.deepEqual([made?.acr, made?.amr], ["urn:sallyport:acr:password", ["fed"]]);
});

test("account linking by e-mail (nOAuth): a provider's account with somebody's name and address is nobody here until it is connected", async () => {
  await at.enrol("anna@corp.example", password);
  corp.person = { subject: "attacker", email: "anna@corp.example" };
  const browser = at.browser();
  const answer = await signInAtCorp(browser);
  assert.equal(answer.status, 400);
  assert.match(answer.text, /not connected with an account here/);
  assert.deepEqual(at.refused, ["provider-unlinked"]);
  assert.equal(await isSignedIn(browser), false);
  use({ jit: true });
  assert.equal((await signInAtCorp(browser)).location, `${base}/account`);
  const users = await store.run("listUsers", place);
  const made = users.filter(({ name }) => name.startsWith("corp-"));
  assert.equal(made.length, 1, "a new user");
  assert.match(made[0]?.name ?? "", /^corp-[a-z2-7]{24}$/, "under a name that says nothing");
  const again = at.browser();
  await signInAtCorp(again);
  assert.equal((await store.run("listUsers", place)).filter(({ name }) => name.startsWith("corp-")).length, 1, "once");
});

test("a user connects an account in their own session, signs in with it, and disconnects it; a second one and somebody else's are refused", async () => {
  const { browser, user } = await person();
  corp.person = { subject: `own-${user}` };
  const account = await browser.get(`${base}/account`);
  assert.match(account.text, /Corp<br><span class="soft">not connected/);
  const begun = await browser.submit(account, "/account/connect", { provider: "corp" });
  const away = new URL(begun.location ?? "");
  assert.deepEqual([away.searchParams.get("prompt"), away.searchParams.get("max_age")], ["login", "0"]);
  const back = own(await corp.through(away.href));
  const done = await browser.get(back);
  assert.match(done.text, /You can sign in with Corp now/);
  assert.deepEqual(
    (await store.run("listLinks", { ...place, user })).map(({ provider }) => provider),
    ["corp"],
  );
  const elsewhere = at.browser();
  assert.equal((await signInAtCorp(elsewhere)).location, `${base}/account`);

  const other = await person();
  const theirs = await other.browser.submit(await other.browser.get(`${base}/account`), "/account/connect", {
    provider: "corp",
  });
  const taken = await other.browser.get(own(await corp.through(theirs.location ?? "")));
  assert.equal(taken.status, 400);
  assert.match(taken.text, /connected already/);
  assert.deepEqual(await store.run("listLinks", { ...place, user: other.user }), []);

  const page = await browser.get(`${base}/account`);
  assert.match((await browser.submit(page, "/account/disconnect")).text, /It was disconnected/);
  assert.deepEqual(await store.run("listLinks", { ...place, user }), []);
});

const onlyOutside = () => {
  use({});
  at.config = { ...(at.config ?? { idleMs: 3_600_000, absoluteMs: 12 * 3_600_000 }), signIn: ["corp", "bent"] };
};
const invite = () => addTestUser(store, `outside${names++}`, clock.now());
/** Opens an enrolment link and leaves for a provider. */
async function enrolAt(browser: TestBrowser, provider: string, link: string): Promise<URL> {
  const page = await browser.get(`${base}/enrol?link=${link}`);
  return new URL((await browser.submit(page, `/enrol/outside/${provider}`)).location ?? "");
}

test("where people sign in outside only, an enrolment link connects its user with who they are there, once, and lets them in", async () => {
  onlyOutside();
  const { user, link } = await invite();
  const browser = at.browser();
  const page = await browser.get(`${base}/enrol?link=${link}`);
  assert.match(page.text, /Sign in with Corp/);
  assert.doesNotMatch(page.text, /password|Make a passkey/i);
  assert.match(String(page.headers["content-security-policy"]), new RegExp(`form-action 'self'[^;]* ${corp.issuer}`));
  corp.person = { subject: `invited-${user}` };
  const away = await enrolAt(browser, "corp", link);
  assert.deepEqual([away.searchParams.get("prompt"), away.searchParams.get("max_age")], ["login", "0"]);
  assert.ok(!away.href.includes(link), "the provider never sees the link");
  const done = await browser.get(own(await corp.through(away.href)));
  assert.equal(done.location, `${base}/account`, done.text);
  assert.equal(await isSignedIn(browser), true);
  const digest = linkDigest(corp.issuer, corp.person.subject);
  assert.equal(await store.run("readLink", { ...place, digest }), user);
  assert.equal((await browser.get(`${base}/enrol?link=${link}`)).status, 404, "the link is used up");
  assert.equal((await signInAtCorp(at.browser())).location, `${base}/account`, "and nobody needs it again");
});

test("an invited person is the user of their link, not a new one, also where first log-ins make users", async () => {
  onlyOutside();
  const { user, link } = await invite();
  at.config = {
    ...(at.config ?? assert.fail()),
    providers: (at.config?.providers ?? []).map((one) => ({ ...one, jit: true })),
  };
  corp.person = { subject: `jit-${user}` };
  const browser = at.browser();
  await browser.get(own(await corp.through((await enrolAt(browser, "corp", link)).href)));
  const digest = linkDigest(corp.issuer, corp.person.subject);
  assert.equal(await store.run("readLink", { ...place, digest }), user);
});

test("attack: an enrolment through a provider without the link, with a used one, in another browser, or with an identity that is somebody's", async () => {
  onlyOutside();
  const { user, link } = await invite();
  const [first, second] = [at.browser(), at.browser()];
  const page = await first.get(`${base}/enrol?link=${link}`);
  const without = await first.submit(page, "/enrol/outside/corp", { link: "x".repeat(43) });
  assert.equal(without.status, 404);
  assert.equal(at.refused.at(-1), "enrolment-link");
  corp.person = { subject: `first-${user}` };
  const back = own(await corp.through((await enrolAt(first, "corp", link)).href));
  assert.equal((await second.get(back)).status, 400, "what began in one browser does not end in another");
  assert.equal(at.refused.at(-1), "provider-state");

  use({});
  const other = await person();
  await store.run("linkUser", {
    ...{ ...place, user: other.user, provider: "corp", actor: "operator:test" },
    digest: linkDigest(corp.issuer, `theirs-${user}`),
  });
  onlyOutside();
  corp.person = { subject: `theirs-${user}` };
  const taken = await second.get(own(await corp.through((await enrolAt(second, "corp", link)).href)));
  assert.equal(taken.status, 400);
  assert.match(taken.text, /somebody&#39;s here already/);
  assert.equal(at.refused.at(-1), "provider-taken");
  assert.equal(await isSignedIn(second), false, "and nobody is let in as the other one");
  assert.deepEqual(await store.run("listLinks", { ...place, user }), []);

  corp.person = { subject: `second-${user}` };
  const late = own(await corp.through((await enrolAt(second, "corp", link)).href));
  assert.equal((await first.get(back)).status, 303, "the link is still good, for the first who comes back");
  assert.equal((await second.get(late)).status, 404);
  assert.equal(at.refused.at(-1), "enrolment-link");
  assert.equal(await store.run("readLink", { ...place, digest: linkDigest(corp.issuer, `second-${user}`) }), null);
});

test("a link whose environment names no way that can be set up says so, and stays good", async () => {
  const { link } = await invite();
  at.config = { signIn: ["elsewhere"], idleMs: 3_600_000, absoluteMs: 12 * 3_600_000 };
  const page = await at.browser().get(`${base}/enrol?link=${link}`);
  assert.equal(page.status, 503);
  assert.match(page.text, /no way to sign in here yet/);
  use({});
  assert.equal((await at.browser().get(`${base}/enrol?link=${link}`)).status, 200);
});

test("attack: a connection that was begun in one session does not end in another's", async () => {
  const mallory = await person();
  corp.person = { subject: `mallory-${mallory.user}` };
  const begun = await mallory.browser.submit(await mallory.browser.get(`${base}/account`), "/account/connect", {
    provider: "corp",
  });
  const back = own(await corp.through(begun.location ?? ""));
  const victim = await person();
  assert.equal((await victim.browser.get(back)).status, 400, "the victim's browser has not begun it");
  assert.equal(at.refused.at(-1), "provider-state");
  await mallory.browser.submit(await mallory.browser.get(`${base}/account`), "/account/logout");
  assert.equal((await mallory.browser.get(back)).status, 400, "nor has it a session any more");
  assert.equal(at.refused.at(-1), "provider-session");
  const name = `outside${names}`;
  const other = await person();
  const begunAgain = await other.browser.submit(await other.browser.get(`${base}/account`), "/account/connect", {
    provider: "corp",
  });
  const backAgain = own(await corp.through(begunAgain.location ?? ""));
  await other.browser.submit(await other.browser.get(`${base}/account`), "/account/logout");
  await other.browser.submit(await other.browser.get(`${base}/login`), "/login", { name, password });
  assert.equal(await isSignedIn(other.browser), true);
  assert.equal((await other.browser.get(backAgain)).status, 400, "nor is a later session the one that asked");
  assert.equal(at.refused.at(-1), "provider-session");
  for (const { user } of [mallory, victim, other])
    assert.deepEqual(await store.run("listLinks", { ...place, user }), []);
});

test("attack: what the provider and its logs see of a way (state) names no session, no provider's id and nothing that opens", async () => {
  const { browser, user } = await person();
  const account = await browser.get(`${base}/account`);
  const connecting = await browser.submit(account, "/account/connect", { provider: "corp" });
  const ways = [connecting.location ?? "", (await leave(at.browser(), "corp", `${base}/login?flow=device`)).href];
  const sids = (await store.run("listSessions", { ...place, user })).map(({ sid }) => sid);
  for (const way of ways) {
    const state = new URL(way).searchParams.get("state") ?? "";
    const seen = `${state} ${Buffer.from(state, "base64url").toString("latin1")}`;
    const nested = Buffer.from(/"([A-Za-z0-9_-]+)"/.exec(seen)?.[1] ?? "", "base64url").toString("latin1");
    for (const word of [...sids, "device", "corp", "startedAt"])
      assert.equal(`${seen} ${nested}`.includes(word), false, `${word} can be read`);
  }
  const back = own(await corp.through(ways[1] ?? ""));
  assert.equal((await at.browser().get(back)).status, 400, "and it leads nowhere without its cookie");
});

test("attack: whoever came in by an account is out when it is disconnected", async () => {
  const { browser, user } = await person();
  corp.person = { subject: `planted-${user}` };
  await link(user, "corp", corp.person.subject);
  const thief = at.browser();
  assert.equal((await signInAtCorp(thief)).location, `${base}/account`);
  const done = await browser.submit(await browser.get(`${base}/account`), "/account/disconnect", { provider: "corp" });
  assert.match(done.text, /disconnected, and your other sessions were ended/);
  assert.equal(await isSignedIn(thief), false);
  assert.equal(await isSignedIn(browser), true, "not who did it");
});

test("attack: another site's form begins no log-in, and a link cannot", async () => {
  const browser = at.browser();
  const login = await browser.get(`${base}/login`);
  const form = { origin: "https://evil.example", "sec-fetch-site": "cross-site" };
  assert.equal((await browser.submit(login, "/login/outside/corp", {}, form)).status, 403);
  assert.equal((await browser.get(`${base}/login/outside/corp`)).status, 405);
});

test("log-in CSRF and replay: an answer counts once, in the browser that began", async () => {
  const { user } = await person();
  corp.person = { subject: `csrf-${user}` };
  await link(user, "corp", corp.person.subject);
  const mallory = at.browser();
  const back = own(await corp.through((await leave(mallory, "corp")).href));
  const victim = at.browser();
  await victim.get(`${base}/login`);
  assert.equal((await victim.get(back)).status, 400);
  const began = at.browser();
  await leave(began, "corp");
  assert.equal((await began.get(back)).status, 400, "a browser that began another one");
  assert.deepEqual(at.refused, ["provider-state", "provider-state"]);
  assert.equal(await isSignedIn(victim), false);
  assert.equal((await mallory.get(back)).status, 303, "the one that began it");
  await link(user, "bent", `csrf-${user}`);
  bent.claims = (claims) => ({ ...claims, sub: `csrf-${user}` });
  const kept = at.browser();
  const to = await leave(kept, "bent");
  bent.nonce = to.searchParams.get("nonce") ?? "";
  const cookies = [...kept.cookies];
  const query = new URLSearchParams({ code: "c", state: to.searchParams.get("state") ?? "", iss: bent.issuer });
  const answer = `${base}/login/back/bent?${query}`;
  assert.equal((await kept.get(answer)).status, 303);
  const copy = at.browser();
  for (const [name, value] of cookies) copy.cookies.set(name, value);
  assert.equal((await copy.get(answer)).status, 400, "a second time, though the provider would take it");
  assert.equal(at.refused.at(-1), "provider-state");
});

test("mix-up: an answer of another issuer, of none, or at another provider's redirect URI never reaches a token endpoint", async () => {
  const browser = at.browser();
  for (const [what, over] of Object.entries({
    "another issuer": { iss: corp.issuer },
    "a longer one": { iss: `${bent.issuer}/` },
    "none, of a provider that names itself": { iss: null },
    "an error": { error: "access_denied", code: null },
  })) {
    bent.asked.length = 0;
    assert.equal((await comeBack(browser, over)).status, 400, what);
    assert.equal(at.refused.at(-1), "provider-answer", what);
    assert.ok(!bent.asked.includes("/token"), what);
  }
  const to = await leave(browser, "bent");
  const query = new URLSearchParams({ code: "c", state: to.searchParams.get("state") ?? "", iss: corp.issuer });
  assert.equal((await browser.get(`${base}/login/back/corp?${query}`)).status, 400);
  assert.equal(at.refused.at(-1), "provider-state");
  const twice = `${base}/login/back/bent?${query}&state=x`;
  assert.equal((await browser.get(twice)).status, 400, "a parameter that comes twice");
});

test("forged and confused ID tokens: each claim and the signature counts", async () => {
  const { user } = await person();
  await link(user, "bent", "s1");
  const signedIn = at.browser();
  assert.equal((await comeBack(signedIn)).status, 303, "the nearest good one");
  assert.equal(await isSignedIn(signedIn), true);
  const now = Math.floor(Date.now() / 1000);
  const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const cases: Readonly<Record<string, Partial<Pick<BentProvider, "claims" | "header" | "signedBy">>>> = {
    "of another issuer": { claims: (claims) => ({ ...claims, iss: corp.issuer }) },
    "for another client": { claims: (claims) => ({ ...claims, aud: "other" }) },
    "for us and another, issued to that one": {
      claims: (claims) => ({ ...claims, aud: ["sallyport", "other"], azp: "other" }),
    },
    "of another log-in (nonce)": { claims: (claims) => ({ ...claims, nonce: "other" }) },
    "without a nonce, as a logout token": {
      claims: ({ nonce: _, ...claims }) => ({ ...claims, events: {}, sid: "s" }),
    },
    "whose time is over": { claims: (claims) => ({ ...claims, iat: now - 600, exp: now - 300 }) },
    "that says not when they signed in": { claims: ({ auth_time: _, ...claims }) => claims },
    "about nobody": { claims: ({ sub: _, ...claims }) => claims },
    "signed by somebody else": { signedBy: privateKey },
    "of a key that is not published": { header: { kid: "k2" } },
    "signed with nothing": { header: { alg: "none" } },
    "signed with a secret": { header: { alg: "HS256" } },
  };
  for (const [what, bend] of Object.entries(cases)) {
    bent.straighten();
    Object.assign(bent, bend);
    const browser = at.browser();
    assert.equal((await comeBack(browser)).status, 400, what);
    assert.equal(at.refused.at(-1), "provider-token", what);
    assert.equal(await isSignedIn(browser), false, what);
  }
});

test("SSRF via discovered endpoints: metadata leads to no private address, no other scheme and no other issuer", async () => {
  const begin = async () => {
    // A provider that has failed is left alone for a while: each case is one of its own.
    use({ client: `sallyport-${names++}` });
    const browser = at.browser();
    return browser.submit(await browser.get(`${base}/login`), "/login/outside/bent");
  };
  assert.equal((await begin()).status, 303);
  const naming = (over: object): Partial<Pick<BentProvider, "metadata">> => ({
    metadata: (own) => ({ ...own, ...over }),
  });
  const answers = (answer: BentProvider["answer"]): Pick<BentProvider, "answer"> => ({ answer });
  const cases = [
    ["provider-metadata", "keys over http", naming({ jwks_uri: "http://localhost/jwks" })],
    ["provider-metadata", "a file", naming({ token_endpoint: "file:///etc/passwd" })],
    ["provider-metadata", "a script for the browser", naming({ authorization_endpoint: "javascript:alert(1)" })],
    ["provider-unreachable", "another issuer", naming({ issuer: "https://evil.example" })],
    ["provider-unreachable", "a redirect", answers((res) => void res.writeHead(302, { location: corp.issuer }).end())],
    ["provider-unreachable", "too much", answers((res) => void res.end(Buffer.alloc(400_000, 0x20)))],
  ] as const;
  for (const [code, what, bend] of cases) {
    bent.straighten();
    Object.assign(bent, bend);
    const answer = await begin();
    assert.equal(answer.status, 400, what);
    assert.equal(at.refused.at(-1), code, what);
    assert.doesNotMatch(answer.text, /evil|passwd|javascript|localhost/);
  }
  bent.straighten();
  bent.metadata = (own) => ({
    ...own,
    token_endpoint: "https://127.0.0.2:9/token",
    jwks_uri: "https://127.0.0.2:9/jwks",
  });
  use({ client: `sallyport-${names++}` });
  assert.equal((await comeBack(at.browser())).status, 400, "another private host than the one that was named");
  assert.equal(at.refused.at(-1), "provider-token");
  bent.straighten();
  use({ allowPrivate: false });
  const closed = at.browser();
  assert.equal((await closed.submit(await closed.get(`${base}/login`), "/login/outside/bent")).status, 400);
  assert.equal(at.refused.at(-1), "provider-unreachable");
  assert.deepEqual(bent.asked, [], "loopback without the word for it is never dialled");
});

test("step-up confusion: what a log-in elsewhere is worth is ours to say, and it is as old as it is there", async () => {
  const { user } = await person();
  await link(user, "bent", "s1-old");
  const signedInAt = Math.floor(Date.now() / 1000) - 7_200;
  bent.claims = (claims) => ({
    ...{ ...claims, sub: "s1-old", auth_time: signedInAt, acr: "urn:sallyport:acr:phishing-resistant" },
    amr: ["hwk", "mfa"],
  });
  const browser = at.browser();
  assert.equal((await comeBack(browser)).status, 303);
  const find = async () => (await store.run("listSessions", { ...place, user })).find(({ amr }) => amr[0] === "fed");
  assert.deepEqual([(await find())?.acr, (await find())?.authTime], ["urn:sallyport:acr:password", signedInAt * 1_000]);
  assert.match((await browser.get(`${base}/account`)).text, /You signed in a while ago/, "and changes no credentials");
  const stale = await comeBackAgain(browser);
  assert.equal(stale.status, 400, "who is asked again is not let through by what they did before");
  assert.equal(at.refused.at(-1), "provider-stale");
  use({ acr: "urn:sallyport:acr:mfa" });
  bent.claims = (claims) => ({ ...claims, sub: "s1-old" });
  assert.equal((await comeBack(at.browser())).status, 303);
  const levels = (await store.run("listSessions", { ...place, user })).map(({ acr }) => acr);
  assert.ok(levels.includes("urn:sallyport:acr:mfa"), "a level the estate has given it");
});

async function comeBackAgain(browser: TestBrowser): Promise<Answer> {
  const to = await leave(browser, "bent", `${base}/login?again=1`);
  assert.deepEqual([to.searchParams.get("prompt"), to.searchParams.get("max_age")], ["login", "0"]);
  bent.nonce = to.searchParams.get("nonce") ?? "";
  const query = new URLSearchParams({ code: "c", state: to.searchParams.get("state") ?? "", iss: bent.issuer });
  return browser.get(`${base}/login/back/bent?${query}`);
}

test("a provider that the estate takes back, and a user who is disabled or reset, let nobody in", async () => {
  const { user } = await person();
  await link(user, "bent", `s-${user}`);
  bent.claims = (claims) => ({ ...claims, sub: `s-${user}` });
  assert.equal((await comeBack(at.browser())).status, 303);
  await store.run("disableUser", { ...place, user, actor: "operator:test", reason: "left" });
  const disabled = at.browser();
  assert.equal((await comeBack(disabled)).status, 400);
  assert.equal(at.refused.at(-1), "login-disabled");
  await store.run("enableUser", { ...place, user, actor: "operator:test", reason: "back" });
  const fresh = { digest: "of-a-link", until: clock.now() + 60_000 };
  await store.run("resetUser", { ...place, user, actor: "operator:test", reason: "lost", link: fresh });
  assert.equal((await comeBack(at.browser())).status, 400);
  assert.equal(at.refused.at(-1), "provider-unlinked", "a reset takes every way in away");
  const browser = at.browser();
  const login = await browser.get(`${base}/login`);
  at.config = { signIn: ["password"], idleMs: 3_600_000, absoluteMs: 12 * 3_600_000 };
  assert.equal((await browser.submit(login, "/login/outside/corp")).status, 400);
  assert.equal(at.refused.at(-1), "provider-unknown");
  assert.doesNotMatch((await browser.get(`${base}/login`)).text, /Corp/);
});
