import assert from "node:assert/strict";
import { generateKeyPairSync, randomUUID } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, beforeEach, test } from "node:test";
import { openStore } from "@sallyport/kernel/store/open.ts";
import type { Store } from "@sallyport/kernel/store/port.ts";
import type { ProviderConfig } from "../../../registry/config/estate.ts";
import { base, startPages, type TestBrowser, type TestPlace } from "../browser.test-support.ts";
import { throttleRules } from "../decide-throttle.ts";
import { commandsUrl, type PeopleTestCommands, place } from "../people.test-support.ts";
import { linkDigest } from "./link-commands.ts";
import { BentProvider, CorpProvider, tls } from "./provider.test-support.ts";

const folder = mkdtempSync(join(tmpdir(), "sallyport-outside-logout-"));
const clock = { now: () => Date.now(), monotonic: () => performance.now() };
const corp = new CorpProvider();
const bent = new BentProvider();
const event = "http://schemas.openid.net/event/backchannel-logout";

let store: Store<PeopleTestCommands>;
let at: TestPlace;
before(async () => {
  await Promise.all([corp.start(), bent.start()]);
  store = await openStore<PeopleTestCommands>({ commands: commandsUrl, path: join(folder, "store.db"), clock });
  at = await startPages(store, clock, { bundles: [{ name: "corp", roots: [tls.cert] }] });
  const common = {
    client: "sallyport",
    acr: "urn:sallyport:acr:password",
    jit: false,
    allowPrivate: true,
    trust: "corp",
  };
  // as: `acr` is of that type.
  const providers = [
    { id: "corp", name: "Corp", issuer: corp.issuer, ...common },
    { id: "bent", name: "Bent", issuer: bent.issuer, ...common },
  ] as ProviderConfig[];
  at.config = { signIn: ["bent", "corp", "password"], providers, idleMs: 3_600_000, absoluteMs: 12 * 3_600_000 };
  const { text } = await at.browser().get(`${base}/client-jwks`);
  const told = { uri: `${at.url}${base}/login/ended/corp`, ca: at.ca };
  corp.register(`${at.url}${base}/login/back/corp`, JSON.parse(text), told);
});
after(async () => {
  await at.close();
  corp.stop();
  bent.stop();
  await store.close();
  rmSync(folder, { recursive: true, force: true });
});
beforeEach(() => {
  bent.straighten();
  at.refused.length = 0;
});

let names = 0;
const isSignedIn = async (browser: TestBrowser) => (await browser.get(`${base}/account`)).status === 200;

async function person(provider: "corp" | "bent", subject: string): Promise<string> {
  const { user } = await at.enrol(`ended${names++}`, "correct horse battery");
  const { issuer } = provider === "corp" ? corp : bent;
  const order = { ...place, user, provider, digest: linkDigest(issuer, subject), actor: "operator:test" };
  assert.equal(await store.run("linkUser", order), "linked");
  return user;
}

async function leave(browser: TestBrowser, provider: string): Promise<URL> {
  const begun = await browser.submit(await browser.get(`${base}/login`), `/login/outside/${provider}`);
  assert.equal(begun.status, 303, begun.text);
  return new URL(begun.location ?? "");
}

/** A browser that came in through the bent provider as `subject`, in its session `sid`. */
async function cameIn(subject: string, sid: string): Promise<TestBrowser> {
  const browser = at.browser();
  const to = await leave(browser, "bent");
  bent.nonce = to.searchParams.get("nonce") ?? "";
  bent.claims = (own) => ({ ...own, sub: subject, sid });
  const query = new URLSearchParams({ code: "c", state: to.searchParams.get("state") ?? "", iss: bent.issuer });
  const back = await browser.get(`${base}/login/back/bent?${query}`);
  assert.equal(back.status, 303, back.text);
  return browser;
}

const claims = (over: Readonly<Record<string, unknown>> = {}) => {
  const now = Math.floor(Date.now() / 1_000);
  return {
    iss: bent.issuer,
    aud: "sallyport",
    iat: now,
    exp: now + 120,
    jti: randomUUID(),
    events: { [event]: {} },
    ...over,
  };
};
const typ = { typ: "logout+jwt" };
const tell = (token: string, provider = "bent") =>
  at.browser().post(`${base}/login/ended/${provider}`, { logout_token: token }, { origin: "", "sec-fetch-site": "" });

test("who signs out at a real provider is signed out here, in that session and no other, before the provider has its answer", async () => {
  const user = await person("corp", "s-real");
  corp.person = { subject: "s-real" };
  const there = new Map<string, TestBrowser>();
  for (const name of ["laptop", "phone"]) {
    const browser = at.browser();
    const back = await corp.through((await leave(browser, "corp")).href);
    assert.equal((await browser.get(`${back.pathname}${back.search}`)).status, 303);
    there.set(name, browser);
  }
  const revokedBefore = at.revoked;
  const [laptop, phone] = [...there.values()];
  assert.ok(laptop !== undefined && phone !== undefined && (await isSignedIn(laptop)) && (await isSignedIn(phone)));
  const sids = corp.sessions();
  assert.equal(sids.length, 2);
  await corp.tellEnd("s-real", sids[0] ?? "");
  assert.deepEqual([await isSignedIn(laptop), await isSignedIn(phone)], [false, true]);
  assert.ok(at.revoked > revokedBefore, "gateways are told");
  const { entries } = await store.run("readRevocations", { ...place, from: 0 });
  assert.ok(entries.some(({ kind }) => kind === "session"));
  assert.equal(
    (await store.run("listSessions", { ...place, user })).filter(({ amr }) => amr.includes("fed")).length,
    1,
  );
  await corp.tellEnd("s-real", sids[1] ?? "");
  assert.equal(await isSignedIn(phone), false);
  assert.deepEqual(at.refused, []);
});

test("a logout token by subject ends all of that person's sessions through the provider, and counts once", async () => {
  await person("bent", "s-all");
  const [one, two] = [await cameIn("s-all", "a"), await cameIn("s-all", "b")];
  const token = bent.sign(claims({ sub: "s-all" }), typ);
  const answer = await tell(token);
  assert.deepEqual([answer.status, answer.headers["cache-control"]], [200, "no-store"]);
  assert.deepEqual([await isSignedIn(one), await isSignedIn(two)], [false, false]);
  const again = await cameIn("s-all", "c");
  assert.equal((await tell(token)).status, 400, "kept and sent again it would end the next log-in");
  assert.equal(await isSignedIn(again), true);
  assert.deepEqual(at.refused, ["provider-replayed"]);
});

test("attack: forged and confused logout tokens end nobody's session, and each is on record", async () => {
  await person("bent", "s-attacked");
  const browser = await cameIn("s-attacked", "mine");
  const sub = { sub: "s-attacked" };
  const stranger = generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey;
  const signedBy = (key: typeof stranger) => {
    bent.signedBy = key;
    const token = bent.sign(claims(sub), typ);
    bent.signedBy = null;
    return token;
  };
  const good = bent.sign(claims(sub), typ);
  const [head, body, signature] = good.split(".");
  const unsigned = Buffer.from(JSON.stringify({ alg: "none", kid: "k1", ...typ })).toString("base64url");
  const now = Math.floor(Date.now() / 1_000);
  const hostile: Readonly<Record<string, string>> = {
    "a stranger's key": signedBy(stranger),
    "no signature": `${unsigned}.${body}.`,
    "another body": `${head}.${Buffer.from(JSON.stringify(claims(sub))).toString("base64url")}.${signature}`,
    "another spelling": `${good}=`,
    "an unknown key": bent.sign(claims(sub), { ...typ, kid: "k2" }),
    "another issuer": bent.sign(claims({ ...sub, iss: corp.issuer }), typ),
    "an issuer by prefix": bent.sign(claims({ ...sub, iss: `${bent.issuer}/` }), typ),
    "another client's": bent.sign(claims({ ...sub, aud: "portal" }), typ),
    "ours and another's": bent.sign(claims({ ...sub, aud: ["sallyport", "portal"] }), typ),
    "an ID token": bent.sign({ ...claims(sub), events: undefined, nonce: "n", auth_time: now }, {}),
    "a nonce": bent.sign(claims({ ...sub, nonce: "n" }), typ),
    "another event": bent.sign(claims({ ...sub, events: { "https://schemas.openid.net/secevent/caep": {} } }), typ),
    "an event that says nothing": bent.sign(claims({ ...sub, events: { [event]: true } }), typ),
    "an access token's type": bent.sign(claims(sub), { typ: "at+jwt" }),
    "a security event's type": bent.sign(claims(sub), { typ: "secevent+jwt" }),
    "no id": bent.sign(claims({ ...sub, jti: undefined }), typ),
    "no end": bent.sign(claims({ ...sub, exp: undefined }), typ),
    over: bent.sign(claims({ ...sub, iat: now - 900, exp: now - 600 }), typ),
    "not yet": bent.sign(claims({ ...sub, iat: now + 600, exp: now + 700 }), typ),
    "good for a day": bent.sign(claims({ ...sub, exp: now + 86_400 }), typ),
    "about nobody": bent.sign(claims(), typ),
    "a name that is none": bent.sign(claims({ sub: ["s-attacked"] }), typ),
    "no token": "x",
  };
  for (const [what, token] of Object.entries(hostile)) {
    const answer = await tell(token);
    assert.equal(answer.status, 400, what);
    assert.equal(at.refused.at(-1), "provider-logout", what);
    assert.equal(await isSignedIn(browser), true, what);
  }
  assert.equal((await tell(good, "corp")).status, 400, "at another provider's address");
  assert.equal((await tell(good, "nobody")).status, 400);
  const twice = await at.browser().send("POST", `${base}/login/ended/bent`, {
    headers: { "content-type": "application/x-www-form-urlencoded" },
    body: `logout_token=${good}&logout_token=${good}`,
  });
  assert.equal(twice.status, 400);
  assert.equal((await at.browser().get(`${base}/login/ended/bent?logout_token=${good}`)).status, 404, "not by a link");
  assert.equal(await isSignedIn(browser), true);
  assert.equal((await tell(good)).status, 200, "the nearest good one");
  assert.equal(await isSignedIn(browser), false);
});

test("attack: a storm of made-up tokens with made-up keys has the provider asked for its keys once, and is slowed down", async () => {
  await tell(bent.sign(claims({ sub: "warm" }), typ));
  bent.asked.length = 0;
  const answers = [];
  for (let n = 0; n < throttleRules.source.burst + 20; n += 1)
    answers.push((await tell(bent.sign(claims({ sub: "s" }), { ...typ, kid: `made-up-${n}` }))).status);
  assert.ok(bent.asked.filter((path) => path === "/jwks").length <= 1, bent.asked.join(" "));
  assert.ok(answers.includes(429), "strangers are slowed down");
  assert.ok(at.refused.includes("login-throttled"));
});
