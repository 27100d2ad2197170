import assert from "node:assert/strict";
import { test } from "node:test";
import type { RecordHit } from "@sallyport/control/audit/search/search-actions.ts";
import { CommandEnd } from "../exit.ts";
import { runAgainst } from "../program.test-support.ts";
import { csvLine } from "./record-words.ts";
import { parseMoment } from "./where.ts";

const caller = "2026:abcdefghijklmnopqrstuQ";
const leaf = {
  ...{ v: 3, t: "crossing", id: "gw-1-00000000000000000000000001", at: 1_795_305_600_000, caller },
  ...{ operation: "billing:invoice.read", outcome: "denied", status: 403, code: "not-granted" },
};
const hit: RecordHit = {
  ...{ origin: "sallyport.local/main/production/gw-1/gateway/2026", index: 4, leafHash: "ab".repeat(32), at: leaf.at },
  ...{ node: "gw-1", environment: "production", odd: null, leaf: JSON.stringify(leaf), intent: null },
};
const page = { hits: [hit], names: { [caller]: "orders" }, next: null, searchedTo: 0, bounded: false, behind: 3 };
const answers = { "POST /v1/audit/records": page };

test("a hit is one line with names, what happened and the id; --json has what a receipt needs", async () => {
  const table = await runAgainst(answers, [
    "audit",
    "search",
    "--caller",
    "orders",
    "--outcome",
    "denied",
    "--since",
    "2h",
  ]);
  assert.equal(table.exit, 0);
  assert.match(table.out.join(""), /gw-1 +crossing +orders +billing:invoice\.read +denied 403 not-granted +gw-1-0+1/);
  assert.match(table.out.join(""), /3 records behind/);
  const body = table.asked[0]?.body as { where: object; from: number; limit: number };
  assert.deepEqual(body.where, { caller: ["orders"], outcome: ["denied"] });
  assert.ok(body.from > 0 && body.limit === 100);
  const json = await runAgainst(answers, ["audit", "search"], true);
  const [record] = JSON.parse(json.out.join("")).records;
  assert.deepEqual([record.origin, record.index, record.leafHash], [hit.origin, hit.index, hit.leafHash]);
  assert.deepEqual([record.leaf, record.names], [leaf, { [caller]: "orders" }]);
});

test("nothing found is exit 1, and pages are fetched until there are enough", async () => {
  const none = { ...page, hits: [] };
  assert.equal((await runAgainst({ "POST /v1/audit/records": none }, ["audit", "search"])).exit, 1);
  const more = { ...page, next: "more" };
  const ran = await runAgainst({ "POST /v1/audit/records": more }, ["audit", "search", "--limit", "3"]);
  assert.deepEqual(
    ran.asked.map(({ body }) => [(body as { limit: number }).limit, (body as { cursor?: string }).cursor]),
    [
      [3, undefined],
      [2, "more"],
      [1, "more"],
    ],
  );
});

test("spreadsheet attack: a cell that would be a formula is text, quotes and line feeds stay in their cell", async () => {
  assert.equal(csvLine(["=cmd()", "+1", "-1", "@x", 'a"b', "a,b", "a\nb"]), `'=cmd(),'+1,'-1,'@x,"a""b","a,b","a\nb"`);
  const ran = await runAgainst(answers, ["audit", "search", "--csv"]);
  const [headings, row] = ran.out.join("").split("\n");
  assert.equal(headings?.split(",").length, row?.split(",").length);
  assert.match(row ?? "", /,orders,/);
});

test("a token on the command line is refused without being repeated", async () => {
  const token = "eyJhbGciOiJFUzI1NiJ9.e30.c2ln";
  for (const words of [
    ["--jti", token],
    ["--token", token],
    ["--caller", token],
  ]) {
    const { end, exit } = await runAgainst(answers, ["audit", "search", ...words]);
    assert.equal(exit, 2);
    assert.ok(end instanceof CommandEnd && !`${end.message}${end.fix}`.includes(token));
  }
});

test("a moment is how long ago, a day or a time, and nothing else", () => {
  const now = Date.parse("2026-11-30T10:00:00Z");
  assert.equal(parseMoment("2h", now), now - 7_200_000);
  assert.equal(parseMoment("2026-11-30", now), Date.parse("2026-11-30T00:00:00Z"));
  assert.equal(parseMoment("2026-11-30T08:00:00Z", now), Date.parse("2026-11-30T08:00:00Z"));
  for (const text of ["yesterday", "2h ago", "2026-13-40", "", "1", "2026-11-30T08:00"])
    assert.throws(() => parseMoment(text, now), CommandEnd, text);
});
