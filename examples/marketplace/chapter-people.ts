// Promises people: a customer signs in, the portal acts for them, providers learn no more than an opaque id, what is bigger wants more of a log-in,
// and after a sign-out what the portal holds is worth nothing. Trusts story.ts to judge three ways. docs/identity/browser-apps.md.
import { setTimeout as delay } from "node:timers/promises";
import { Browser, codeOf, formsOf, type Page } from "./browser.ts";
import { openidCaller } from "./callers.ts";
import type { Telling } from "./telling.ts";

const boundMs = 1_000;
const pollMs = 5;
const pollsMax = 600;
const json = { "content-type": "application/json" };
const mfa = "urn:sallyport:acr:mfa";

interface Customer {
  readonly browser: Browser;
  readonly name: string;
  readonly password: string;
  /** The subject every token of theirs names. */
  readonly id: string;
  /** Base32 seed of their authenticator app. */
  seed: string;
}

export async function tellPeople(telling: Telling): Promise<void> {
  telling.story.chapter("People");
  const customer = await enrol(telling);
  if (customer === null) return;
  await signIn(telling, customer);
  await actFor(telling, customer);
  await stepUp(telling, customer);
  await signOut(telling, customer);
}

/** An operator adds a user; the user opens the link and chooses a password. */
async function enrol({ market, story, planted }: Telling): Promise<Customer | null> {
  const browser = new Browser(market.roots.control.pem + market.workloads.production.root);
  const name = planted.value("a user's name", "zora.");
  const password = planted.value("a user's password", "Correct Horse ");
  planted.except({
    what: "a user's name",
    place: /^control\/control\.sqlite(-wal)?$/,
    reason: "an operator finds a user by it: kept with the user, in no token and no record (docs/identity/people.md)",
  });
  let id = "";
  await story.check("an operator adds a customer, who opens the link and chooses a password", async (expect) => {
    const added = await market.operator.addUser(name);
    planted.remember("an enrolment link's secret", new URL(added.link).searchParams.get("link") ?? "");
    const account = await browser.submit(await browser.visit(added.link), "/enrol/password", { password });
    expect.equal("page after the password was chosen", account.status, 200);
    id = added.id;
    const signedOut = await browser.submit(account, "/account/logout", {});
    expect.equal("page after signing out again", signedOut.status, 200);
    return undefined;
  });
  return id === "" ? null : { browser, name, password, id, seed: "" };
}

/** From the portal to the issuer's page and back: by the page, with what a person would type. */
async function signIn({ market, story }: Telling, { browser, name, password }: Customer): Promise<void> {
  const { portal } = market;
  await story.check(
    "she signs in through the portal: authorization code, PKCE, pushed request, DPoP",
    async (expect) => {
      const stranger = await browser.request("GET", `${portal.origin}/orders/ord-1`);
      expect.equal("what a browser without a session is told", stranger.status, 401);
      const login = await browser.visit(`${portal.origin}/sign-in`);
      const consent = await browser.submit(login, "/login", { name, password });
      const home = await browser.submit(consent, "/consent", { answer: "allow" });
      expect.equal("where she ends", `${home.status} ${home.address}`, `200 ${portal.origin}/`);
      const set = browser.received.findLast(({ text }) => text.includes("__Host-portal="))?.text ?? "";
      expect.ok(
        "the cookie is a __Host- one, kept from scripts",
        /__Host-portal=[^"]*; Path=\/; Secure; HttpOnly/.test(set),
      );
      return undefined;
    },
  );
}

/** What the portal calls for her, and what the providers are told of her. */
async function actFor({ market, story }: Telling, { browser, id, name }: Customer): Promise<void> {
  const { portal } = market;
  const { orders, billing } = market.services.production;
  await story.allowed({
    caption: "she looks at an order: the portal calls with her token, for orders alone",
    send: () => browser.request("GET", `${portal.origin}/orders/ord-1`),
    counter: orders,
  });
  await story.allowed({
    caption: "she looks at an invoice: her token exchanged for one that says billing:invoice.read",
    send: () => browser.request("GET", `${portal.origin}/invoices/inv-1001`),
    counter: billing,
  });
  await story.check("billing was told who acts for whom, and nothing else about her", (expect) => {
    const seen = billing.last();
    expect.equal("who calls", seen?.caller, "portal");
    expect.equal("for whom: an opaque id", seen?.subject, id);
    expect.equal("who acts", seen?.act, { sub: "portal" });
    expect.equal("for which operation", seen?.operation, "billing:invoice.read");
    expect.ok("no name", !billing.saw().includes(name) && !orders.saw().includes(name));
    const exchanged = portal.tokens().find(({ what }) => what.startsWith("an exchanged token"));
    const claims = claimsOf(exchanged?.token ?? "");
    expect.equal("scope of the exchanged token", claims["scope"], "billing:invoice.read");
    const known = ["iss", "sub", "client_id", "aud", "exp", "iat", "jti", "scope", "cnf", "act", "gid", "sid"];
    const more = Object.keys(claims).filter((claim) => ![...known, "acr", "amr", "auth_time"].includes(claim));
    expect.equal("claims it has beside those of every token", more, []);
    return `sub ${id.slice(0, 8)}…, act portal`;
  });
}

/** Money leaves only for somebody who showed a second factor. */
async function stepUp(telling: Telling, customer: Customer): Promise<void> {
  const { market, story } = telling;
  const { portal } = market;
  const { billing } = market.services.production;
  const payout = () =>
    customer.browser.request("POST", `${portal.origin}/payouts`, { headers: json, body: '{"cents":500}' });
  const refused = {
    counter: billing,
    status: 401,
    publicCode: "insufficient-user-authentication",
    code: "insufficient-user-authentication",
    stage: "authorize",
  };
  const answer = await story.denied({
    ...refused,
    caption: "she asks for a payout after a log-in by password alone",
    send: payout,
  });
  await explain(telling, answer?.id ?? "");
  await setUpApp(telling, customer);
  await story.check(
    "the portal sends her to sign in again, with a code, as the gateway asked (RFC 9470)",
    async (expect) => {
      const next = answer?.headers["portal-sign-in"] ?? "";
      expect.equal("where the portal sends her", next, `/sign-in?acr_values=${encodeURIComponent(mfa)}&max_age=600`);
      const { browser, name, password, seed } = customer;
      const login = await browser.visit(portal.origin + next);
      const code = await browser.submit(login, "/login", { name, password });
      const home = await browser.submit(code, "/login/code", { code: codeOf(seed, 1) });
      expect.equal("where she ends", `${home.status} ${home.address}`, `200 ${portal.origin}/`);
      return undefined;
    },
  );
  await story.allowed({ caption: "now the payout passes", send: payout, counter: billing, status: 201 });
  const machine = await openidCaller(market.target("production", "billing"), {
    clientId: "portal",
    key: market.workloads.production.clients.portal,
  });
  telling.planted.token("the portal's own token for billing", machine.token);
  await story.denied({
    ...refused,
    caption: "the portal asks for a payout for nobody: not for machines",
    send: () => machine.send("/billing/v1/payouts", { method: "POST", headers: json, body: '{"cents":500}' }),
  });
  const form = {
    method: "POST",
    headers: { ...json, cookie: "", origin: "https://evil.example" },
    body: '{"cents":1}',
  };
  await story.check("another site's form, with her cookie, is refused by the portal", async (expect) => {
    const before = billing.reached();
    const cookie = `__Host-portal=${customer.browser.cookie(portal.origin, "__Host-portal")}`;
    const headers = { ...form.headers, cookie };
    const reply = await customer.browser.request("POST", `${portal.origin}/payouts`, { headers, body: form.body });
    expect.equal("answer", reply.status, 403);
    expect.equal("requests that reached billing", billing.reached() - before, 0);
    return undefined;
  });
}

/** What the operator is told of it, before anybody tries and after somebody did: the commands themselves. */
async function explain({ market, story }: Telling, id: string): Promise<void> {
  const sallyport = (...args: readonly string[]) =>
    market.processes.run("why", ["--operator", market.operatorKeyFile, "why", ...args]);
  await story.check("sallyport why: what was wanted and what came; and that machines need not try", async (expect) => {
    const [tried, machine] = await Promise.all([
      sallyport(id),
      sallyport("--from", "portal", "--op", "billing:payout.create"),
    ]);
    expect.equal("exit codes: the answer is no", [tried.code, machine.code], [1, 1]);
    const row = (name: string) => new RegExp(`^${name} +(.+)$`, "m").exec(tried.stdout)?.[1] ?? "";
    expect.ok("what was wanted", /worth mfa or more and at most 600 s old/.test(row("expected")), tried.stdout);
    expect.ok("what came", /worth password and \d+ s old/.test(row("sent")), tried.stdout);
    expect.ok("the file and line of the grant", /portal-to-billing\.yaml:\d+/.test(row("declared")), tried.stdout);
    expect.ok("a machine is refused beforehand", machine.stdout.includes("machines are refused"), machine.stdout);
    return `wanted ${row("expected")}; came ${row("sent")}`;
  });
}

/** At the issuer's own page: the seed it shows, proven by a code. */
async function setUpApp({ market, story, planted }: Telling, customer: Customer): Promise<void> {
  const { browser } = customer;
  await story.check("she sets up an authenticator app at the issuer's page", async (expect) => {
    const account = await browser.visit(`${market.target("production", "portal").issuer}/account`);
    const app = await browser.submit(account, "/account/app", {});
    customer.seed = /<code>([A-Z2-7 ]+)<\/code>/.exec(app.text)?.[1] ?? "";
    planted.remember("an authenticator app's seed", customer.seed.replaceAll(" ", ""));
    // Each is good once: the next one is for the log-in. Both still count when a step ends between their reading and their judging.
    const codes: Page = await browser.submit(app, "/account/app/confirm", { code: codeOf(customer.seed, 0) });
    expect.equal("page after the code", codes.status, 200);
    expect.equal("forms on the page of recovery codes", formsOf(codes.text).length, 0);
    return undefined;
  });
}

/** She signs out where she signed in; what the portal still holds is worth nothing, for whoever copied it too. */
async function signOut({ market, story, planted }: Telling, { browser }: Customer): Promise<void> {
  const { portal } = market;
  const { orders } = market.services.production;
  const steal = () => portal.callAsThief("/orders/v1/orders/ord-1");
  for (const { what, token } of portal.tokens()) planted.token(what, token);
  planted.remember("the portal's session cookie", browser.cookie(portal.origin, "__Host-portal"));
  await story.check("none of the customer's tokens was ever sent to her browser", (expect) => {
    const sent = browser.received.map(({ text }) => text).join("\n");
    for (const { what, token } of portal.tokens()) expect.ok(`${what} stayed in the portal`, !sent.includes(token));
    expect.ok("nothing that looks like a token was sent", !/eyJ[\w-]{10,}\.eyJ[\w-]{10,}\./.test(sent));
    return `${portal.tokens().length} tokens, ${browser.received.length} answers`;
  });
  await story.check("she signs out, from the click to the first refusal at the gateway", async (expect) => {
    const account = await browser.visit(`${market.target("production", "portal").issuer}/account`);
    expect.equal("what a copy of the portal's memory is worth before", (await steal()).status, 200);
    const startedMs = performance.now();
    const clicked = browser.submit(account, "/account/logout", {});
    let refusedMs: number | null = null;
    for (let poll = 0; poll < pollsMax && refusedMs === null; poll += 1) {
      if ((await steal()).status === 401) refusedMs = performance.now() - startedMs;
      else await delay(pollMs);
    }
    await clicked;
    expect.ok(`refused within ${boundMs} ms`, refusedMs !== null && refusedMs < boundMs, `${refusedMs} ms`);
    return refusedMs === null ? undefined : `${Math.round(refusedMs)} ms`;
  });
  await story.denied({
    caption: "whoever copied the portal's memory calls with her token and the portal's key",
    send: steal,
    counter: orders,
    status: 401,
    publicCode: "unauthenticated",
    code: "token-revoked",
    stage: "identify",
  });
}

function claimsOf(token: string): Readonly<Record<string, unknown>> {
  const claims: unknown = JSON.parse(Buffer.from(token.split(".")[1] ?? "", "base64url").toString("utf8") || "{}");
  return typeof claims === "object" && claims !== null ? Object.fromEntries(Object.entries(claims)) : {};
}
