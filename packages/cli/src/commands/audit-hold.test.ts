import assert from "node:assert/strict";
import { test } from "node:test";
import { exitCode } from "../exit.ts";
import { runAgainst } from "../program.test-support.ts";

const placedAt = Date.UTC(2026, 10, 30);
const hold = {
  ...{ tenant: "main", id: "acme-v-us", origin: null, environment: "production", fromYear: 2025, toYear: 2027 },
  ...{ owner: "legal", reason: "case 4711", actor: "operator:ada", placedAt, releasedAt: null },
};

test("audit hold add sends what is covered, who answers for it and why, and says what it covers", async () => {
  const place = { "POST /v1/holds": hold };
  const add = ["audit", "hold", "add", "acme-v-us", "--owner", "legal", "--reason", "case 4711"];
  const ran = await runAgainst(place, [...add, "--environment", "production", "--years", "2025..2027"]);
  const body = { id: "acme-v-us", owner: "legal", reason: "case 4711" };
  assert.deepEqual(ran.asked, [
    { route: "POST /v1/holds", body: { ...body, fromYear: 2025, toYear: 2027, environment: "production" } },
  ]);
  assert.match(ran.out.join("\n"), /placed acme-v-us: it covers production, 2025\.\.2027/);
  for (const [years, sent] of [
    ["2026", { fromYear: 2026, toYear: 2026 }],
    ["2026..", { fromYear: 2026 }],
    ["..2026", { toYear: 2026 }],
  ] as const)
    assert.deepEqual((await runAgainst(place, [...add, "--years", years])).asked[0]?.body, { ...body, ...sent });
  for (const years of ["..", "26", "2026-2027", "2026...2027"])
    assert.equal((await runAgainst(place, [...add, "--years", years])).exit, exitCode.badUse, years);
});

test("audit hold list and release say which hold, and keep what was released", async () => {
  const released = { ...hold, releasedAt: Date.UTC(2028, 1, 1) };
  const listed = await runAgainst({ "GET /v1/holds": [hold, { ...released, id: "older" }] }, ["audit", "hold", "list"]);
  assert.match(listed.out.join("\n"), /acme-v-us +production, 2025\.\.2027 +legal +2026-11-30 +- +case 4711/);
  assert.match(listed.out.join("\n"), /older .* 2028-02-01/);
  const answers = { "POST /v1/holds/acme-v-us/release": released };
  const ran = await runAgainst(answers, ["audit", "hold", "release", "acme-v-us", "--reason", "settled"]);
  assert.deepEqual(ran.asked[0]?.body, { reason: "settled" });
});

test("audit retention says until when, what is held, what is due and what was removed", async () => {
  const origin = "sallyport.local/main/production/gw-1/gateway/2026";
  const log = { origin, leaves: 12, retainedUntil: Date.UTC(2034, 0, 1), heldBy: null };
  const report = {
    now: Date.UTC(2034, 0, 2),
    place: "/mnt/archive",
    kept: [
      log,
      { ...log, leaves: 13, heldBy: "acme-v-us" },
      { ...log, leaves: 14, retainedUntil: Date.UTC(2035, 0, 1) },
    ],
    removed: [{ origin: "a/b", leaves: 5, beganAt: placedAt, finishedAt: null }],
  };
  const said = async (answer: unknown) =>
    (await runAgainst({ "GET /v1/retention": answer }, ["audit", "retention"])).out.join("\n");
  const text = await said(report);
  assert.match(text, /12 +2034-01-01 +due/);
  assert.match(text, /13 +2034-01-01 +held by acme-v-us/);
  assert.match(text, /14 +2035-01-01 +retained/);
  assert.match(text, /a\/b: 5 leaves are being removed since 2026-11-30/);
  assert.match(await said({ ...report, place: null }), /no archive store is configured/);
  assert.match(await said({ ...report, kept: null }), /was not looked through yet/);
});
