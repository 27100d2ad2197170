// Quotas over real sockets against real gateways with a real data-plane store: docs/limits.md "Quotas".
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import type { QuotaLimit } from "@sallyport/protocol/snapshot/limit-objects.ts";
import type { IntegrationObject } from "@sallyport/protocol/snapshot/objects.ts";
import { DataPlaneFault, type OpenDataPlane } from "./idempotency/data-plane.ts";
import { dataStoreAt } from "./idempotency/open-data-store.ts";
import { Quotas } from "./limit/quotas.ts";
import { marketplace } from "./testing/marketplace-estate.ts";
import { type MovableClock, movableClock, until } from "./testing/start-test-gateway.ts";
import { type Answer, call } from "./testing/test-caller.ts";
import { type Bench, type BenchOptions, openBench } from "./testing/three-ways.ts";

const opened: Bench[] = [];
const folders: string[] = [];
after(async () => {
  await Promise.all(opened.map((bench) => bench.close()));
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});

const random = { bytes: (length: number) => new Uint8Array(randomBytes(length)) };
const dayMs = 86_400_000;
/** At noon in UTC: no test sees a midnight that it did not ask for. */
function noonClock(): MovableClock {
  const clock = movableClock();
  clock.shiftMs = dayMs - ((clock.now() + dayMs / 2) % dayMs);
  return clock;
}
const quota = (max: number, more: Partial<QuotaLimit> = {}): QuotaLimit => ({
  per: "client",
  max,
  period: "day",
  timeZone: "UTC",
  ...more,
});

type Changes = Partial<IntegrationObject>;
const estateWith = (changes: Changes) => (url: string) => {
  const base = marketplace(url);
  return { ...base, integrations: base.integrations.map((one) => ({ ...one, limits: [], ...changes })) };
};

async function benchWith(changes: Changes, more: BenchOptions = {}): Promise<Bench> {
  const bench = await openBench({ estate: estateWith(changes), clock: noonClock(), ...more });
  opened.push(bench);
  await until(() => bench.bed.gateway.readiness().ready, "readiness");
  return bench;
}

/** A place where gateways of one installation keep what they count, and which outlives them. */
function sharedPlace() {
  const folder = mkdtempSync(join(tmpdir(), "sallyport-quotas-"));
  folders.push(folder);
  const clock = noonClock();
  const dataKey = random.bytes(32);
  return {
    clock,
    options: (): BenchOptions => ({
      clock,
      dataKey,
      changes: { dataStore: dataStoreAt({ path: join(folder, "data.sqlite") }, { clock, random }) },
    }),
  };
}

const send = (bench: Bench): Promise<Answer> => bench.orders.send(bench.invoice);
async function statuses(bench: Bench, count: number): Promise<readonly number[]> {
  const all = [];
  for (let i = 0; i < count; i++) all.push((await send(bench)).status);
  return all;
}
/** To the first minutes of the next day, with everything a caller needs made anew. */
async function nextDay(bench: Bench, clock: MovableClock): Promise<void> {
  clock.shiftMs += dayMs - (clock.now() % dayMs) + 60_000;
  bench.bed.feed.heartbeat();
  await bench.publish();
  for (const caller of [bench.orders, bench.portal]) caller.nonce = undefined;
}

describe("a quota", () => {
  test("allows so many a day and no more, says what is left, when it renews and which quota it is, and renews", async () => {
    const clock = noonClock();
    const bench = await benchWith({ quotas: [quota(2)] }, { clock });
    const first = await send(bench);
    assert.equal(first.status, 200);
    assert.match(String(first.headers["ratelimit-policy"]), /^"day";q=2;w=86400$/);
    assert.match(String(first.headers["ratelimit"]), /^"day";r=1;t=\d+$/);
    assert.equal((await send(bench)).status, 200);
    const refused = await send(bench);
    assert.equal(refused.status, 429);
    const problem = JSON.parse(refused.text);
    assert.equal(problem.code, "quota-exhausted");
    const midnight = new Date((Math.floor(clock.now() / dayMs) + 1) * dayMs).toISOString();
    assert.equal(problem.detail, `Integration orders-to-billing allows 2 a day per client; that renews at ${midnight}`);
    assert.ok(Math.abs(Number(refused.headers["retry-after"]) * 1_000 - (Date.parse(midnight) - clock.now())) < 5_000);
    assert.match(String(refused.headers["ratelimit"]), /^"day";r=0;t=\d+$/);
    await nextDay(bench, clock);
    assert.deepEqual(await statuses(bench, 3), [200, 200, 429]);
  });

  test("counts per client, per user and per integration, and the operations it names", async () => {
    const perClient = await benchWith({ quotas: [quota(1)] });
    assert.deepEqual(await statuses(perClient, 2), [200, 429]);
    assert.equal((await perClient.portal.send(perClient.invoice)).status, 200);

    const perUser = await benchWith({ quotas: [quota(1, { per: "subject" })] });
    const as = (sub: string) =>
      perUser.orders.send(perUser.invoice, { token: perUser.orders.token("billing", { sub }) });
    assert.deepEqual(
      [(await as("usr_anna")).status, (await as("usr_anna")).status, (await as("usr_bert")).status],
      [200, 429, 200],
    );

    const some = await benchWith({
      operations: [{ name: "invoice.read" }, { name: "region.read" }],
      quotas: [quota(1, { operations: ["invoice.read"] })],
    });
    assert.deepEqual(await statuses(some, 2), [200, 429]);
    assert.equal((await some.orders.send(`${some.url}/billing/v1/regions/eu`)).status, 200);
  });

  test("stands beside a rate in the RateLimit fields", async () => {
    const bench = await benchWith({
      limits: [{ per: "client", rate: 10, periodMs: 60_000, burst: 5 }],
      quotas: [quota(30, { period: "month" })],
    });
    const { headers } = await send(bench);
    assert.match(String(headers["ratelimit-policy"]), /^"default";q=5;w=30, "month";q=30;w=2\d{6}$/);
    assert.match(String(headers["ratelimit"]), /^"default";r=4;t=\d+, "month";r=29;t=\d+$/);
  });

  test("costs nothing when another limit refuses, and its own refusal costs the others nothing", async () => {
    const bench = await benchWith({
      limits: [{ per: "client", rate: 1, periodMs: 3_600_000, burst: 3 }],
      concurrency: [{ per: "client", max: 1 }],
      quotas: [quota(10), quota(2, { per: "integration" })],
    });
    assert.deepEqual(await statuses(bench, 2), [200, 200]);
    for (let i = 0; i < 4; i++) assert.equal(JSON.parse((await send(bench)).text).code, "quota-exhausted");
    await bench.bed.publish(
      estateWith({ limits: [{ per: "client", rate: 1, periodMs: 3_600_000, burst: 3 }], quotas: [quota(10)] })(
        bench.upstream.url,
      ),
      { version: 50 },
    );
    const last = await send(bench);
    assert.equal(last.status, 200, "one of the burst of three was left");
    assert.match(String(last.headers["ratelimit"]), /"day";r=7;/, "the quota of ten was used three times");
    assert.equal(JSON.parse((await send(bench)).text).code, "rate-limited");
  });

  test("goes on where it was after a restart, a change of the snapshot and a raise, and a raise opens only what it adds", async () => {
    const place = sharedPlace();
    const first = await benchWith({ quotas: [quota(2)] }, place.options());
    assert.deepEqual(await statuses(first, 1), [200]);
    await first.publish();
    assert.deepEqual(await statuses(first, 2), [200, 429]);
    await first.close();
    const second = await benchWith({ quotas: [quota(3)] }, place.options());
    assert.deepEqual(await statuses(second, 2), [200, 429]);
  });

  test("is shared by gateways of one store: together they let through what it allows, to the last one", async () => {
    const place = sharedPlace();
    const changes = { quotas: [quota(40)] };
    const [one, two] = [await benchWith(changes, place.options()), await benchWith(changes, place.options())];
    let passed = 0;
    for (let i = 0; i < 60; i++) if ((await send(i % 2 === 0 ? one : two)).status === 200) passed++;
    assert.equal(passed, 40);
  });

  test("attack: a hundred at once get what is there, and no more", async () => {
    const bench = await benchWith({ quotas: [quota(30)] });
    await bench.orders.learnNonce(bench.invoice);
    await send(bench).catch(() => null);
    const all = await Promise.all(Array.from({ length: 100 }, () => send(bench)));
    assert.ok(all.filter(({ status }) => status === 200).length <= 30);
    assert.equal(bench.upstream.seen.length, 30);
  });

  test("attack: who has used it up makes no work for the store by asking on", async () => {
    const bench = await benchWith({ quotas: [quota(1)] });
    await statuses(bench, 2);
    const draws = async () => Number(/sallyport_quota_draws (\d+)/.exec(await bench.bed.gateway.metricsText())?.[1]);
    const before = await draws();
    const began = performance.now();
    let asked = 0;
    while (performance.now() - began < 500) {
      assert.equal((await send(bench)).status, 429);
      asked++;
    }
    const rounds = Math.ceil((performance.now() - began) / 1_000) + 1;
    assert.ok((await draws()) - before <= rounds, `${asked} refusals`);
  });

  test("attack: strangers and callers without a grant use nothing of it", async () => {
    const bench = await benchWith({ quotas: [quota(1, { per: "integration" })] });
    for (let i = 0; i < 3; i++) assert.equal((await call(bench.invoice, {})).status, 401);
    assert.equal((await bench.analytics.send(bench.invoice)).status, 403);
    assert.equal((await send(bench)).status, 200);
  });

  test("attack: a clock that is set back a day finds what was used that day", async () => {
    const clock = noonClock();
    const place = sharedPlace();
    clock.shiftMs += 3 * dayMs;
    const options = (): BenchOptions => ({ ...place.options(), clock });
    const first = await benchWith({ quotas: [quota(1)] }, options());
    assert.deepEqual(await statuses(first, 2), [200, 429]);
    await nextDay(first, clock);
    assert.deepEqual(await statuses(first, 2), [200, 429]);
    await first.close();
    clock.shiftMs -= dayMs;
    const second = await benchWith({ quotas: [quota(1)] }, options());
    assert.deepEqual(await statuses(second, 1), [429]);
  });
});

/** A store in memory that counts as the real one does, and can be away. */
function memoryStore() {
  const used = new Map<string, number>();
  const state = { away: false, now: Date.UTC(2026, 10, 30, 12), draws: 0 };
  const run = async (name: string, input: { quotaHash: Uint8Array; max: number; wanted: number; permits: number }) => {
    if (state.away) throw new DataPlaneFault("away");
    const key = Buffer.from(input.quotaHash).toString();
    const now = used.get(key) ?? 0;
    if (name === "giveBackQuota") return void used.set(key, now - input.permits);
    state.draws++;
    const granted = Math.min(input.wanted, Math.max(0, input.max - now));
    used.set(key, now + granted);
    return { granted, left: input.max - now - granted };
  };
  const keys = { quotaOf: (name: string, period: string) => Buffer.from(`${name} ${period}`) };
  // as: the two commands that quotas use.
  const plane = { keys, run } as unknown as OpenDataPlane;
  return { state, used: () => [...used.values()], store: { now: () => state.now, ready: () => plane } };
}

describe("permits drawn ahead", () => {
  const silent = { info() {}, warn() {}, error() {} };
  const counted = { rule: quota(1_000), name: "orders" };
  const open = () => {
    const memory = memoryStore();
    const time = { ms: 0 };
    const quotas = new Quotas(memory.store, { logger: silent, monotonic: () => time.ms });
    return { ...memory, time, quotas };
  };

  test("most crossings ask nobody: 200 of a quota of 1,000 take some 20 draws", async () => {
    const { quotas, state, used } = open();
    for (let i = 0; i < 200; i++) assert.equal((await quotas.take(counted))?.allowed, true);
    assert.ok(state.draws <= 30, `${state.draws} draws`);
    await quotas.close();
    assert.deepEqual(used(), [200], "what was not used went back");
  });

  test("a gateway that dies has used at most one draw more than passed, and never less", async () => {
    const { quotas, used } = open();
    for (let i = 0; i < 55; i++) await quotas.take(counted);
    await until(() => quotas.held > 0, "a draw ahead");
    const [drawn = 0] = used();
    assert.ok(drawn >= 55 && drawn <= 55 + 2 * 10, `${drawn} drawn`);
  });

  test("what lies idle goes back after half a minute, and what is asked for again is drawn again", async () => {
    const { quotas, used, time } = open();
    await quotas.take(counted);
    quotas.sweep();
    assert.deepEqual(used(), [10]);
    time.ms += 30_001;
    quotas.sweep();
    await until(() => used()[0] === 1, "given back");
    assert.equal((await quotas.take(counted))?.remaining, 998);
  });

  test("a refund after midnight opens nothing of the new day", async () => {
    const { quotas, state, used } = open();
    const small = { rule: quota(1), name: "orders" };
    const before = await quotas.take(small);
    assert.ok(before !== null);
    state.now += dayMs / 2;
    assert.equal((await quotas.take(small))?.allowed, true);
    quotas.refund(small, before);
    assert.equal((await quotas.take(small))?.allowed, false);
    assert.deepEqual(used(), [1, 1]);
  });

  test("the store away: what was drawn can be used, then a fault, and then on as soon as it is back", async () => {
    const { quotas, state } = open();
    await quotas.take(counted);
    state.away = true;
    let passed = 0;
    while ((await Promise.resolve(quotas.take(counted)).catch(() => null)) !== null) passed++;
    assert.equal(passed, 9);
    await assert.rejects(async () => quotas.take(counted), DataPlaneFault);
    state.away = false;
    assert.equal((await quotas.take(counted))?.allowed, true);
  });

  test("attack: forty that wait for the last permits get those, in one draw", async () => {
    const { quotas, state } = open();
    const small = { rule: quota(25), name: "orders" };
    const all = await Promise.all(Array.from({ length: 40 }, () => quotas.take(small)));
    assert.equal(all.filter((one) => one?.allowed === true).length, 25);
    assert.ok(state.draws <= 4, `${state.draws} draws`);
  });
});
