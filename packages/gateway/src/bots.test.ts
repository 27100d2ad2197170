// Programs that look around, over real sockets: who is turned away before credentials, who is counted, and who never is (docs/bots.md).
import assert from "node:assert/strict";
import { afterEach, describe, test } from "node:test";
import { type BotRule, type BotsObject, botRules } from "@sallyport/protocol/snapshot/bot-rule.ts";
import { decideAgent, decideMiss, probeWorth } from "./admit/bots.ts";
import { type CountingUpstream, startCountingUpstream } from "./testing/counting-upstream.ts";
import { openTestLog } from "./testing/open-test-log.ts";
import { movableClock, startTestGateway, type TestGateway } from "./testing/start-test-gateway.ts";
import { call, TestCaller } from "./testing/test-caller.ts";
import type { TestEstate } from "./testing/test-estate.ts";

const failedMax = 60;
const probesMax = failedMax / probeWorth;

interface Bed {
  readonly bed: TestGateway;
  readonly upstream: CountingUpstream;
  readonly orders: TestCaller;
  readonly url: string;
  readonly metric: (rule: BotRule, mode: BotsObject["mode"]) => Promise<number>;
}

const open: { close(): Promise<unknown> }[] = [];
afterEach(async () => {
  for (const one of open.splice(0).reverse()) await one.close();
});

async function start(bots: BotsObject): Promise<Bed> {
  const upstream = await startCountingUpstream();
  open.push(upstream);
  const operations = [
    { name: "invoice.read", method: "GET", path: "/v1/invoices/{id}" },
    { name: "env.read", method: "GET", path: "/.env" },
  ];
  const estate: TestEstate = {
    systems: [
      { id: "orders", clients: ["orders"] },
      { id: "billing", url: upstream.url, operations },
      {
        ...{ id: "old", url: upstream.url, operations: [] },
        changes: { passthrough: { untilMs: 4e12, reason: "a test" } },
      },
    ],
    integrations: [
      { id: "orders-to-billing", from: "orders", to: "billing", operations: operations.map(({ name }) => ({ name })) },
    ],
  };
  const bed = await startTestGateway({
    ...{ estate, openLog: openTestLog, clock: movableClock() },
    changes: { admission: { badCredentialsPerPrefixMax: failedMax } },
  });
  open.push(bed);
  const url = bed.addresses[0]?.url ?? "";
  const orders = new TestCaller(bed.feed, "orders", () => bed.clock.now());
  await orders.learnNonce(`${url}/billing`);
  await bed.publish({ ...estate, estate: { listeners: { public: { url, trustedProxies: [], bots } } } });
  const metric: Bed["metric"] = async (rule, mode) =>
    Number(
      new RegExp(`sallyport_bots_total\\{rule="${rule}",mode="${mode}"\\} (\\d+)`).exec(
        await bed.gateway.metricsText(),
      )?.[1] ?? 0,
    );
  return { bed, upstream, orders, url, metric };
}

const enforced: BotsObject = { mode: "enforce", rules: botRules, agents: ["acme-scraper", "curl/"] };
const agent = { headers: { "user-agent": "orders/1.0" } };

describe("agents", () => {
  test("attack: a scanner's name is refused before its credentials are looked at, also with good ones; another name passes", async () => {
    const { orders, url, upstream, metric } = await start(enforced);
    for (const name of [
      "sqlmap/1.8#stable",
      "Mozilla/5.0 (compatible; Nmap Scripting Engine)",
      "NIKTO",
      "Acme-Scraper 2",
      "CURL/8.1",
      "",
    ]) {
      const answer = await orders.send(`${url}/billing/v1/invoices/1`, { headers: { "user-agent": name } });
      assert.deepEqual([answer.status, answer.code, upstream.seen.length], [403, "agent-refused", 0], name);
    }
    assert.equal((await call(`${url}/billing/v1/invoices/1`)).code, "agent-refused", "none at all");
    assert.equal((await orders.send(`${url}/billing/v1/invoices/1`, agent)).status, 200);
    assert.deepEqual(
      [
        await metric("scanner-agent", "enforce"),
        await metric("named-agent", "enforce"),
        await metric("absent-agent", "enforce"),
      ],
      [3, 2, 2],
    );
  });

  test("an agent is refused alike whatever it asks for, and what it says is in no answer, log or metric", async () => {
    const { bed, url } = await start(enforced);
    const scanner = { headers: { "user-agent": "sqlmap canary-4711" } };
    const answers = await Promise.all(
      ["/billing/v1/invoices/1", "/nothing", "/.env"].map((path) => call(`${url}${path}`, scanner)),
    );
    const plain = (text: string) => text.replace(/gw-test-\w+/, "");
    assert.equal(new Set(answers.map(({ status, text }) => `${status} ${plain(text)}`)).size, 1);
    assert.doesNotMatch(
      [...answers.map(({ text }) => text), ...bed.messages, await bed.gateway.metricsText()].join(),
      /canary/,
    );
  });

  test("attack: many refusals of one network are tallied: few records of their own, the rest counted", async () => {
    const { bed, url } = await start(enforced);
    const scanner = { headers: { "user-agent": "sqlmap" } };
    const ids: string[] = [];
    for (let i = 0; i < 40; i++) ids.push((await call(`${url}/`, scanner)).id);
    const leaves = (await Promise.all([...new Set(ids)].map((id) => bed.leaves(id)))).flat();
    // Eight of each window of ten seconds; the forty may lie in two.
    assert.ok(leaves.filter(({ t }) => t === "crossing").length <= 16, `${leaves.length}`);
  });

  test("names are words or beginnings, literally and in any case; no patterns", () => {
    const found = (said: string, agents: readonly string[] = []) => decideAgent({ ...enforced, agents }, said);
    assert.deepEqual(
      [found("Mozilla/5.0 Chrome/131.0"), found("my-sqlmapper/1"), found("x curl/8", ["curl/"])],
      [null, null, null],
    );
    assert.deepEqual(
      [found("curl/8", ["curl/"]), found("a acme b", ["acme"]), found("a.c", ["a.c"])],
      ["named-agent", "named-agent", "named-agent"],
    );
    assert.deepEqual([found("abc", ["a.c"]), found("   ")], [null, "absent-agent"]);
    assert.equal(decideAgent({ ...enforced, rules: ["probe-path"] }, "sqlmap"), null);
  });

  test("attack: the longest agent costs a time that grows with it", () => {
    for (const seed of ["a", "a ", "curl/", "-", "sqlma "])
      assert.equal(decideAgent({ ...enforced, agents: ["zzz"] }, seed.repeat(100_000)), null);
  });
});

describe("looking around", () => {
  test("attack: looks for well-known holes count as failed credentials, and the source is turned away", async () => {
    const { bed, url, orders, metric } = await start(enforced);
    for (let i = 0; i < probesMax; i++) {
      const answer = await call(`${url}/${["wp-login.php", ".git/config", "a/.ENV"][i % 3]}`, agent);
      assert.deepEqual([answer.status, answer.code], [401, "unauthenticated"], "a stranger learns nothing");
    }
    assert.equal((await call(`${url}/x`, agent)).code, "too-many-from-source");
    assert.equal((await orders.send(`${url}/billing/v1/invoices/1`, agent)).code, "too-many-from-source");
    assert.equal(await metric("probe-path", "enforce"), probesMax);
    bed.clock.shiftMs += 31_000;
    assert.notEqual((await orders.send(`${url}/billing/v1/invoices/1`, agent)).status, 429, "for a while");
  });

  test("attack: an operation at such a path is served, and asked for by strangers never counted", async () => {
    const { url, orders, metric, upstream } = await start(enforced);
    for (let i = 0; i < 2 * failedMax; i++) assert.equal((await call(`${url}/billing/.env`, agent)).status, 401);
    const answer = await orders.send(`${url}/billing/.env`, agent);
    assert.deepEqual([answer.status, upstream.seen.length], [200, 1]);
    assert.deepEqual([await metric("probe-path", "enforce"), await metric("unknown-route", "enforce")], [0, 0]);
  });

  test("attack: what a system lets pass undeclared is no probe", async () => {
    const { url, metric } = await start(enforced);
    for (let i = 0; i < probesMax + 2; i++) await call(`${url}/old/wp-login.php`, agent);
    assert.equal(await metric("probe-path", "enforce"), 0);
  });

  test("paths that nobody owns count one each, but never those of a caller we know, nor questions of browsers", async () => {
    const { url, orders, metric } = await start(enforced);
    for (let i = 0; i < 2 * failedMax; i++) {
      assert.equal((await orders.send(`${url}/billing/nothing/${i}`, agent)).code, "no-route");
      await call(`${url}/nothing/${i}`, { method: "OPTIONS", ...agent });
    }
    assert.equal(await metric("unknown-route", "enforce"), 0);
    for (let i = 0; i < failedMax; i++) assert.equal((await call(`${url}/nothing/${i}`, agent)).status, 401);
    assert.equal((await call(`${url}/nothing`, agent)).code, "too-many-from-source");
  });

  test("rules that are not named find nothing", () => {
    assert.equal(decideMiss({ ...enforced, rules: ["scanner-agent"] }, [".env"]), null);
    assert.equal(decideMiss({ ...enforced, rules: ["probe-path"] }, ["x"]), null);
    assert.equal(decideMiss({ ...enforced, rules: ["unknown-route"] }, [".env"]), "unknown-route");
  });
});

test("attack: in shadow nobody is refused or counted against its source; the metric says what would have been", async () => {
  const { url, orders, metric } = await start({ ...enforced, mode: "shadow" });
  assert.equal(
    (await orders.send(`${url}/billing/v1/invoices/1`, { headers: { "user-agent": "sqlmap" } })).status,
    200,
  );
  for (let i = 0; i < 2 * probesMax; i++) await call(`${url}/.env`, agent);
  for (let i = 0; i < 2 * failedMax; i++) assert.equal((await call(`${url}/nothing`, agent)).status, 401);
  assert.equal((await orders.send(`${url}/billing/v1/invoices/1`, agent)).status, 200);
  assert.deepEqual(
    [
      await metric("scanner-agent", "shadow"),
      await metric("probe-path", "shadow"),
      await metric("unknown-route", "shadow"),
    ],
    [1, 2 * probesMax, 2 * failedMax],
  );
});
