import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { after, test } from "node:test";
import type { Leaf } from "@sallyport/protocol/audit/leaf.ts";
import { crossing, intent, originOf, outcome, recordsOf, startMs } from "../search/records.test-support.ts";
import { EdgesFold, type EdgesQuestion } from "./edges-fold.ts";
import { latencyBoundsMs, quantile } from "./latency.ts";

const directories: string[] = [];
after(() => {
  for (const directory of directories) rmSync(directory, { recursive: true, force: true });
});
const fresh = () => {
  const directory = mkdtempSync(join(tmpdir(), "edges-"));
  directories.push(directory);
  return directory;
};

/** A whole minute, hour and day begin here. */
const day = Math.floor(startMs / 86_400_000) * 86_400_000;
const open = (directory: string, now = day + 86_400_000, owner = "control-1") =>
  new EdgesFold({ directory, owner, now: () => now });
const take = (fold: EdgesFold, leaves: readonly Leaf[], from = 0, node = "gw-1") =>
  fold.take({ origin: originOf(node), records: recordsOf(leaves, from) });
const asked: EdgesQuestion = { step: "minute", from: day, to: day + 86_400_000, environment: null, integration: null };
const edgesOf = async (fold: EdgesFold, changes: Partial<EdgesQuestion> = {}) =>
  (await fold.answer({ ...asked, ...changes }))?.edges ?? assert.fail("too many rows");

test("an edge is counted once per crossing, by outcome, minute, hour and day, over a restart and records given twice", async () => {
  const directory = fresh();
  let fold = open(directory);
  const leaves = Array.from({ length: 300 }, (_, n) =>
    crossing(n, { at: day + n * 1_000, outcome: n % 10 === 0 ? "denied" : n % 10 === 1 ? "system-error" : "success" }),
  );
  await take(fold, leaves.slice(0, 200));
  await fold.close();
  fold = open(directory);
  assert.deepEqual([...(await fold.places())], [[originOf("gw-1").origin, 200]]);
  await take(fold, leaves);
  for (const step of ["minute", "hour", "day"] as const) {
    const [edge, ...others] = await edgesOf(fold, { step });
    assert.equal(others.length, 0);
    assert.deepEqual(
      [edge?.requests, edge?.denied, edge?.errors, edge?.bytesOut, edge?.series.length],
      [300, 30, 30, 300 * 512, step === "minute" ? 5 : 1],
    );
    assert.deepEqual(edge?.outcomes, { success: 240, "system-error": 30, denied: 30 });
    assert.deepEqual([edge?.integration, edge?.operation], ["orders-to-billing", "billing:invoice.read"]);
  }
  await fold.close();
});

test("an effect counts under its intent's edge when its outcome comes, also after a restart, and never under another node's", async () => {
  const directory = fresh();
  let fold = open(directory);
  const at = day + 5_000;
  await take(fold, [intent(1, { at, operation: "billing:invoice.create" })]);
  assert.deepEqual(await edgesOf(fold), []);
  await fold.close();
  fold = open(directory);
  await take(fold, [outcome(1, { at })], 0, "gw-2");
  await take(fold, [outcome(1, { at })], 1);
  const edges = await edgesOf(fold);
  assert.deepEqual(edges.map(({ operation, requests }) => [operation, requests]).sort(), [
    [null, 1],
    ["billing:invoice.create", 1],
  ]);
  await fold.close();
});

test("crash: figures that were not written down yet come again with their records, and every crossing counts once", async () => {
  const directory = fresh();
  const leaves = Array.from({ length: 20_000 }, (_, n) => crossing(n, { at: day + n }));
  const batches = Array.from({ length: 9 }, (_, n) => leaves.slice(n * 2_048, (n + 1) * 2_048));
  const ended = open(directory);
  for (const [n, batch] of batches.entries()) await take(ended, batch, n * 2_048);
  // Not closed: what another process finds is what a crash leaves.
  const fold = open(directory);
  const [[, written] = ["", 0]] = [...(await fold.places())];
  assert.equal(written, 16_384, "not every batch is written down by itself, and no more than so many wait");
  await take(fold, leaves.slice(written), written);
  const [edge] = await edgesOf(fold);
  assert.equal(edge?.requests, 20_000);
  await fold.close();
  await assert.doesNotReject(async () => edgesOf(open(directory)));
});

test("an answer has what was counted and not written down yet", async () => {
  const fold = open(fresh());
  await take(
    fold,
    Array.from({ length: 2_048 }, (_, n) => crossing(n, { at: day + n })),
  );
  assert.equal((await edgesOf(fold))[0]?.requests, 2_048);
  await fold.close();
});

test("full disk: figures that cannot be written down are asked for again from where the file is, and count once", async () => {
  const directory = fresh();
  const fold = open(directory);
  const leaves = Array.from({ length: 4_100 }, (_, n) => crossing(n, { at: day + n }));
  await take(fold, leaves.slice(0, 4));
  await take(fold, leaves.slice(4, 2_052), 4);
  const other = new DatabaseSync(join(directory, "edges.sqlite"));
  other.exec("CREATE TRIGGER full BEFORE INSERT ON place BEGIN SELECT RAISE(ABORT, 'disk is full'); END");
  await assert.rejects(take(fold, leaves.slice(2_052, 2_060), 2_052), /disk is full/);
  assert.equal(fold.restarts, 1);
  await assert.rejects(take(fold, leaves.slice(2_060), 2_060), /is due/, "what was read before is behind a gap");
  other.exec("DROP TRIGGER full");
  other.close();
  assert.deepEqual([...(await fold.places())], [[originOf("gw-1").origin, 4]]);
  await take(fold, leaves.slice(4), 4);
  assert.equal((await edgesOf(fold))[0]?.requests, 4_100);
  await fold.close();
});

test("strangers that were only counted count", async () => {
  const fold = open(fresh());
  const { id, tenant, environment, region, node } = crossing(1) as Extract<Leaf, { t: "crossing" }>;
  const prefix = "2026:abcdefghijklmnopqrstuQ";
  const where = { id, at: day, tenant, environment, region, node };
  await take(fold, [{ t: "denials", ...where, code: "token-malformed", prefix, count: 41, windowMs: 10_000 }]);
  const [edge] = await edgesOf(fold);
  assert.deepEqual([edge?.integration, edge?.denied, edge?.requests], [null, 41, 41]);
  await fold.close();
});

test("forged leaf attack: another environment, the far future, the distant past and bytes that are no leaf count nowhere they claim", async () => {
  const fold = open(fresh());
  await fold.take({
    origin: originOf("gw-1"),
    records: [
      { index: 0, leaf: Buffer.from("{}"), reference: null },
      ...recordsOf([crossing(1, { environment: "staging" })], 1),
      ...recordsOf([crossing(2, { at: 9_999_999_999_999 }), crossing(3, { at: 0 })], 2),
    ],
  });
  for (const step of ["minute", "hour", "day"] as const)
    assert.deepEqual(await edgesOf(fold, { step, from: 0, to: 8.64e15 }), []);
  assert.deepEqual([...(await fold.places())], [[originOf("gw-1").origin, 4]]);
  await fold.close();
});

test("figures of minutes go after two days, those of hours after sixty, and days stay", async () => {
  const directory = fresh();
  let fold = open(directory);
  await take(fold, [crossing(1, { at: day })]);
  await fold.close();
  fold = open(directory, day + 3 * 86_400_000);
  await take(fold, [crossing(2, { at: day + 3 * 86_400_000 })], 1);
  const later = { to: day + 10 * 86_400_000 };
  const count = async (step: EdgesQuestion["step"]) => (await edgesOf(fold, { ...later, step }))[0]?.requests;
  assert.deepEqual([await count("minute"), await count("hour"), await count("day")], [1, 2, 2]);
  await fold.close();
});

test("a file that is damaged or of another installation is made again from the log", async () => {
  const directory = fresh();
  let fold = open(directory);
  await take(fold, [crossing(1, { at: day })]);
  await fold.close();
  fold = open(directory, day, "control-2");
  assert.deepEqual([...(await fold.places())], []);
  await take(fold, [crossing(1, { at: day })]);
  await fold.close();
  const path = join(directory, "edges.sqlite");
  writeFileSync(path, readFileSync(path).fill(0x55, 200));
  fold = open(directory, day, "control-2");
  assert.deepEqual([...(await fold.places())], []);
  await fold.close();
});

test("quantiles lie in the bucket that has them, and of nothing there is none", () => {
  const counts = new Float64Array(latencyBoundsMs.length + 1);
  assert.equal(quantile(counts, 0.5), null);
  counts[latencyBoundsMs.indexOf(10)] = 90;
  counts[latencyBoundsMs.indexOf(1_000)] = 10;
  const p50 = quantile(counts, 0.5) ?? 0;
  const p95 = quantile(counts, 0.95) ?? 0;
  assert.ok(p50 > 7.5 && p50 <= 10 && p95 > 750 && p95 <= 1_000, `${p50} ${p95}`);
  counts[latencyBoundsMs.length] = 1_000;
  assert.equal(quantile(counts, 0.99), latencyBoundsMs.at(-1));
});
