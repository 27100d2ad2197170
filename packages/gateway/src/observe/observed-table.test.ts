import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { observedGroupsMax, observedShadowsMax } from "@sallyport/protocol/channel/messages.ts";
import { deny } from "@sallyport/protocol/verdict.ts";
import { beginExchange, type Exchange, type ExchangeStart } from "../exchange.ts";
import { openStateDirectory } from "../snapshot/state-directory.ts";
import { ObservedTable, shapedGroupsMax } from "./observed-table.ts";

const folder = mkdtempSync(join(tmpdir(), "sallyport-observed-"));
after(() => rmSync(folder, { recursive: true, force: true }));

const dayMs = 86_400_000;
const start = Date.parse("2026-11-10T12:00:00Z");
let directories = 0;

function openTable(path = join(folder, String(directories++))) {
  const clock = { nowMs: start, now: () => clock.nowMs, monotonic: () => clock.nowMs };
  const warned: string[] = [];
  const keep = (_fields: object, message: string) => void warned.push(message);
  const open = () =>
    new ObservedTable({
      clock,
      directory: openStateDirectory(path),
      recorder: {
        ready: true,
        pseudonym: (domain, value) =>
          `2026:${Buffer.from(`${domain} ${value}`).toString("base64url").padEnd(22, "A").slice(-22)}`,
      },
      logger: { info: keep, warn: keep, error: keep },
    });
  return { clock, warned, path, open, table: open() };
}

let ids = 0;
/** An ended crossing, as far as the table reads it. */
function crossing(
  about: { operation?: string; path?: string; code?: "not-granted" | null; untilMs?: number } = {},
): Exchange {
  const { operation = "invoice.read", path, code = "not-granted", untilMs = start + 400 * dayMs } = about;
  const source = { address: "10.0.0.1", prefix: "v4:10.0.0", addressClass: "private" as const };
  const id = `gw-1-01KAMZZZZZ${String(ids++).padStart(16, "0")}`;
  // Only what the table reads: no sockets, no snapshot.
  const bare = { id, startedAtMs: start, startedMonotonicMs: 0, on: { source } } as unknown as ExchangeStart;
  const exchange = beginExchange(bare);
  const name = path === undefined ? operation : "(undeclared)";
  const system = { observeUntilMs: untilMs, public: { strip: true } };
  return Object.assign(exchange, {
    system,
    operation: { fullName: `billing:${name}`, undeclared: path !== undefined, system },
    request: { method: "GET", segments: (path ?? "/x").slice(1).split("/") },
    wouldDeny: code === null ? null : deny("bind", code),
  });
}

const ended = { outcome: "success", status: 200, upstreamStatus: 200, upstreamMs: 1, deny: null } as const;
const ask = (table: ObservedTable, sinceMs = 0) => table.answer({ t: "question", id: "1", ask: "observed", sinceMs });

test("alike crossings are one group with the newest ids first; what would be allowed is counted beside them", () => {
  const { table } = openTable();
  const seen = [crossing(), crossing(), crossing(), crossing()];
  for (const one of seen) table.crossing(one, ended);
  table.crossing(crossing({ code: null }), ended);
  const { groups, uncounted, sinceMs } = ask(table);
  assert.deepEqual(
    [groups.map(({ code, count }) => [code, count]), uncounted, sinceMs],
    [
      [
        ["not-granted", 4],
        [null, 1],
      ],
      0,
      start,
    ],
  );
  assert.deepEqual(
    groups[0]?.examples,
    seen
      .slice(1)
      .map(({ id }) => id)
      .reverse(),
  );
});

test("enforced crossings and denials that were carried out are not counted", () => {
  const { table } = openTable();
  table.crossing(crossing({ untilMs: start }), ended);
  table.crossing(crossing(), { ...ended, outcome: "denied", deny: deny("bind", "not-active") });
  assert.deepEqual(ask(table).groups, []);
});

test("days are counted apart, and a group that was not seen since then is left out", () => {
  const { table, clock } = openTable();
  for (let day = 0; day < 60; day++) {
    table.crossing(crossing(), ended);
    clock.nowMs += dayMs;
  }
  const counts = (daysBack: number) => ask(table, clock.nowMs - daysBack * dayMs).groups.map(({ count }) => count);
  assert.deepEqual([counts(1), counts(3), counts(60), counts(400)], [[1], [3], [60], [60]]);
  assert.deepEqual(ask(table, clock.nowMs).groups, []);
});

test("counts outlive a restart, with no name and no path in the file, and a damaged file is said and begun anew", () => {
  const { table, open, path, clock, warned } = openTable();
  table.crossing(crossing(), ended);
  table.crossing(crossing({ path: "/secret/patients/4711" }), ended);
  table.sweep(true);
  clock.nowMs += dayMs;
  const again = open();
  again.crossing(crossing(), ended);
  assert.deepEqual(
    ask(again).groups.map(({ count }) => count),
    [2, 1],
  );
  assert.equal(ask(again).sinceMs, start);
  assert.ok(!readFileSync(join(path, "observed.json"), "utf8").includes("patients"));
  for (const damaged of [
    "{",
    "null",
    '{"v":2}',
    '{"v":1,"sinceMs":1,"uncounted":0,"groups":[{"lastMs":99999999999999}]}',
  ]) {
    writeFileSync(join(path, "observed.json"), damaged);
    const anew = open();
    assert.deepEqual([ask(anew).groups, ask(anew).sinceMs], [[], clock.nowMs], damaged);
  }
  assert.equal(warned.length, 4);
});

test("it is written at most every ten seconds, and only when something changed", () => {
  const { table, path, clock } = openTable();
  const file = join(path, "observed.json");
  const written = () => {
    try {
      return readFileSync(file, "utf8");
    } catch {
      return "";
    }
  };
  table.crossing(crossing(), ended);
  table.sweep();
  const first = written();
  assert.notEqual(first, "");
  clock.nowMs += 9_999;
  table.crossing(crossing(), ended);
  table.sweep();
  assert.equal(written(), first);
  clock.nowMs += 1;
  table.sweep();
  assert.notEqual(written(), first);
});

test("path walking attack: strangers who try a million paths leave room for every other group, and the table says what it could not hold", () => {
  const { table } = openTable();
  for (let i = 0; i < 2_000; i++)
    table.crossing(
      crossing({ path: `/walk/${"abcdefghij"[i % 10]}${i.toString(26).replace(/[0-9]/g, "z")}x${"q".repeat(i % 23)}` }),
      ended,
    );
  const walked = ask(table);
  const shaped = walked.groups.filter(({ shape }) => shape !== null).length;
  assert.ok(shaped <= shapedGroupsMax && shaped > 100);
  assert.equal(
    walked.groups.reduce((sum, { count }) => sum + count, 0),
    2_000,
    "nothing is lost, only told apart no more",
  );
  for (let i = 0; i < observedGroupsMax; i++) table.crossing(crossing({ operation: `op-${i}` }), ended);
  const full = ask(table);
  assert.equal(full.groups.length, observedGroupsMax);
  assert.ok(
    full.groups.filter(({ operation }) => operation !== "billing:(undeclared)").length >=
      observedGroupsMax - shapedGroupsMax - 1,
  );
  assert.ok(full.uncounted > 0);
  assert.ok(JSON.stringify(full).length < 1_000_000, "an answer fits the channel");
});

/** An enforced crossing whose decision policies in shadow would have changed. */
function shadowed(policies: readonly string[], operation = "invoice.read"): Exchange {
  const shadow = policies.map((policy) => ({ policy, would: "deny" as const }));
  return Object.assign(crossing({ operation, code: null, untilMs: start }), {
    shadow,
    principal: { caller: "orders" },
  });
}
const askShadows = (table: ObservedTable, sinceMs = 0) =>
  table.answer({ t: "question", id: "1", ask: "observed", sinceMs, shadows: true });

test("what policies in shadow would change is counted of enforced crossings too, and told to whoever asks for it", () => {
  const { table, open } = openTable();
  for (let i = 0; i < 3; i++) table.crossing(shadowed(["a", "b"]), ended);
  const told = askShadows(table).shadows?.map(({ policy, would, operation, count }) => [
    policy,
    would,
    operation,
    count,
  ]);
  assert.deepEqual(told, [
    ["a", "deny", "billing:invoice.read", 3],
    ["b", "deny", "billing:invoice.read", 3],
  ]);
  assert.equal("shadows" in ask(table), false, "a control of before would not take the answer");
  assert.deepEqual(ask(table).groups, [], "and it is no denial that passed");
  table.sweep(true);
  assert.deepEqual(askShadows(open()).shadows, askShadows(table).shadows, "it outlives a restart");
});

test("attack: more groups than there is room for leave the others counted, and say how many were not", () => {
  const { table } = openTable();
  for (let i = 0; i < observedShadowsMax + 5; i++) table.crossing(shadowed([`p-${i}`]), ended);
  table.crossing(shadowed(["p-0"]), ended);
  const { shadows, uncountedShadows } = askShadows(table);
  assert.deepEqual([shadows?.length, uncountedShadows, shadows?.[0]?.count], [observedShadowsMax, 5, 2]);
});
