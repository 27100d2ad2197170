// Two lists of what is wrong, each of which says what it covers and names the other; a search that says a name it does not know.
import assert from "node:assert/strict";
import { test } from "node:test";
import { runAgainst } from "../program.test-support.ts";

const finding = (rule: string, kind: string) => ({
  ...{ id: `fnd-${rule}`, rule, version: 1, severity: "high", state: "open", count: 1, environment: "production" },
  ...{ subject: { kind, name: "x" }, subjectName: null, firstAt: 0, lastAt: 0, facts: {}, evidence: [], change: null },
});
const forked = {
  ...{ code: "forked", origin: "a/main/production/gw-1/gateway/2026", witness: "w1", by: "control", at: 0 },
  ...{ kept: "a\n5\n", shown: "a\n5\n" },
};
const list = (...findings: readonly object[]) =>
  runAgainst({ "GET /v1/findings": findings, "GET /v1/alerts": [] }, ["finding", "list"]);

test("finding list says that it is about rules and logs alike, and where the evidence against a log is", async () => {
  const [none, rule, log] = [
    await list(),
    await list(finding("replay", "caller")),
    await list(finding("replay", "caller"), finding("log-forked", "log")),
  ];
  assert.deepEqual([none.exit, rule.exit, log.exit], [0, 1, 1]);
  assert.match(none.out.join(""), /neither of a rule over the records nor about a log/);
  assert.doesNotMatch(rule.out.join("\n"), /audit findings/);
  assert.match(log.out.join("\n"), /sallyport audit findings$/m);
  const shown = await runAgainst(
    { "GET /v1/findings/fnd-log-forked": { ...finding("log-forked", "log"), describe: "" } },
    ["finding", "show", "fnd-log-forked"],
  );
  assert.match(shown.out.join("\n"), /^see {5}sallyport audit findings/m);
});

test("audit findings says that it is the evidence about logs alone, and where the rest is", async () => {
  for (const [found, exit, says] of [
    [[], 0, /^no log contradicts.*what rules noticed in the records: sallyport finding list/s],
    [[forked], 1, /^forked {2}a\/main.*this is the evidence, which stays.*sallyport finding list/s],
  ] as const) {
    const ran = await runAgainst({ "GET /v1/log-findings": found }, ["audit", "findings"]);
    assert.equal(ran.exit, exit);
    assert.match(ran.out.join("\n"), says);
  }
});

test("audit search says a name that nothing declared bears, and the one that was probably meant", async () => {
  const page = { hits: [], names: {}, next: null, searchedTo: 0, bounded: false, behind: 0, unheld: [] };
  const unknown = [
    { field: "caller", value: "ordrs", nearest: "orders" },
    { field: "client", value: "warehouse", nearest: null },
  ];
  const words = ["audit", "search", "--caller", "ordrs", "--client", "warehouse"];
  const ran = await runAgainst({ "POST /v1/audit/records": { ...page, unknown } }, words);
  assert.deepEqual([ran.exit, ran.end?.message], [1, "no record matches"]);
  assert.equal(ran.end?.fix, "--caller ordrs: no system is called so now; did you mean `orders`?");
  assert.match(ran.out.join("\n"), /note: --client warehouse: no client is called so now$/m);
  const known = await runAgainst({ "POST /v1/audit/records": { ...page, unknown: [] } }, words);
  assert.match(known.end?.fix ?? "", /whether the index is behind/);
  const away = { ...page, unknown, unheld: [{ node: "gw-1", why: "it is away" }] };
  const both = await runAgainst({ "POST /v1/audit/records": away }, words);
  assert.match(both.end?.message ?? "", /not all are there: gw-1/);
  assert.match(both.out.join("\n"), /note: --caller ordrs/);
});

test("alert list says what was given up and how to tell it again; replay is exit 1 while some are left", async () => {
  const standing = {
    takenAtMs: null,
    fault: null,
    shortfall: null,
    deadLetters: 2,
    deadLetterReason: "it answered 404",
  };
  const alert = { alert: "hook", to: "webhook", where: "https://h", severity: "low", recipients: null, fault: null };
  const listed = await runAgainst({ "GET /v1/alerts": [{ ...alert, standing }] }, ["alert", "list"]);
  assert.equal(listed.exit, 1);
  assert.match(listed.out.join("\n"), /tells, 2 dead letters/);
  assert.match(
    listed.out.join("\n"),
    /gave up 2 findings: it answered 404: mend it, then sallyport alert replay hook$/m,
  );
  const before = { takenAtMs: null, fault: null, shortfall: null };
  assert.equal((await runAgainst({ "GET /v1/alerts": [{ ...alert, standing: before }] }, ["alert", "list"])).exit, 0);
  for (const [answer, exit, says] of [
    [{ told: 2, gone: 1, left: 0, why: null }, 0, /^2 told, 1 that control no longer has$/m],
    [{ told: 0, gone: 0, left: 2, why: "it answered 404" }, 1, /2 are left: it answered 404/],
    [{ told: 60, gone: 0, left: 9, why: null }, 1, /9 are left: the minute has no more messages/],
  ] as const) {
    const ran = await runAgainst({ "POST /v1/alerts/hook/replay": answer }, [
      "alert",
      "replay",
      "hook",
      "--reason",
      "x",
    ]);
    assert.equal(ran.exit, exit);
    assert.match(ran.out.join("\n"), says);
    assert.deepEqual(ran.asked[0]?.body, { reason: "x" });
  }
});
