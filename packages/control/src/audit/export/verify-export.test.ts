// A copy says which records are changed or missing, in every format, and whether it is the log that was signed.
import assert from "node:assert/strict";
import { test } from "node:test";
import { sha256 } from "@sallyport/kernel/log/log-crypto.ts";
import { Frontier } from "@sallyport/protocol/audit/merkle.ts";
import { type EncodedRecord, type ExportFormat, encodeRecord } from "./encode.ts";
import { type ExportedRecord, noNames } from "./exported-record.ts";
import { syslogFrame } from "./syslog-frame.ts";
import { everyRecord, sampleOrigin } from "./testing/every-leaf.ts";
import { type CopyReport, CopyVerifier, type SignedSize } from "./verify-export.ts";

const records = everyRecord();
const encoded = (
  format: ExportFormat,
  of: readonly ExportedRecord[] = records,
  nameOf = noNames,
): readonly EncodedRecord[] => of.map((record) => encodeRecord(record, { format, version: "1.5.0", nameOf }));
const lines = (format: ExportFormat, of?: readonly ExportedRecord[]): string[] =>
  encoded(format, of).map(({ json }) => json);
const signed = (): SignedSize => {
  const frontier = new Frontier(sha256);
  for (const { leafHash } of records) frontier.push(Buffer.from(leafHash, "hex"));
  return { origin: sampleOrigin, size: records.length, root: frontier.root() };
};
const controlOrigin = "sallyport.local/main/sallyport/control-1/control/2026";
const logOf = (...held: readonly string[]) =>
  new Map(held.map((origin) => [origin, records.map(({ leafHash }) => leafHash)]));
function verify(copy: readonly string[], more: Partial<Parameters<CopyVerifier["report"]>[0]> = {}): CopyReport {
  const verifier = new CopyVerifier();
  for (const line of copy) verifier.take(line);
  return verifier.report({ checkpoints: [], log: null, ...more });
}
const problems = (report: CopyReport) => report.problems.map(({ kind, from, to }) => [kind, from, to]);
const without = (copy: readonly string[], ...at: readonly number[]) =>
  copy.filter((_line, index) => !at.includes(index));

test("a whole copy is the log that was signed, in every format and wrapping", () => {
  const frame = { enterprise: 32_473, facility: 13, bare: true };
  const copies: Readonly<Record<string, readonly string[]>> = {
    ocsf: lines("ocsf"),
    ecs: lines("ecs"),
    leaf: lines("leaf"),
    splunk: lines("ocsf").map((json) => `{"time":"1","event":${json}}`),
    elastic: lines("ecs").flatMap((json, at) => [`{"create":{"_id":"${at}"}}`, json]),
    hits: lines("ecs").map((json) => `{"_index":"a","_source":${json}}`),
    otlp: lines("ocsf").map((json) => JSON.stringify({ body: { stringValue: json } })),
    webhook: [`{"type":"sallyport.audit.records","data":{"events":[${lines("ocsf").join(",")}]}}`],
    syslog: encoded("leaf").map((one) => syslogFrame({ ...one, json: one.record.text }, frame)),
  };
  for (const [name, copy] of Object.entries(copies)) {
    const report = verify(copy, { checkpoints: [signed()] });
    assert.deepEqual(report.problems, [], name);
    assert.deepEqual(
      [report.ok, report.origins[0]?.checkpoint, report.origins[0]?.events],
      [true, "whole", records.length],
      name,
    );
  }
});

test("what came twice is counted, and is no problem", () => {
  const report = verify([...lines("ocsf"), ...lines("ocsf").slice(5, 9)]);
  assert.deepEqual([report.ok, report.origins[0]?.duplicates], [true, 4]);
});

test("attack: a record deleted from the copy is missing by its index, whatever the format", () => {
  for (const format of ["ocsf", "ecs", "leaf"] as const) {
    const report = verify(without(lines(format), 4, 9, 10), { checkpoints: [signed()] });
    assert.deepEqual(
      problems(report),
      [
        ["missing", 4, 4],
        ["missing", 9, 10],
      ],
      format,
    );
    assert.deepEqual([report.ok, report.origins[0]?.checkpoint], [false, "part"]);
  }
});

test("what a filter left out is no gap, and what is missing beside it still is", () => {
  const kept = [0, 3, 4, 9, 15].map((index, at, all) => ({
    ...(records[index] ?? assert.fail()),
    previous: all[at - 1] ?? null,
  }));
  const whole = verify(lines("ocsf", kept));
  assert.deepEqual([whole.ok, whole.origins[0]?.leftOut], [true, 11]);
  assert.deepEqual(problems(verify(without(lines("ocsf", kept), 2))), [["missing", 4, 4]]);
});

test("attack: one changed character of a leaf, its hash or a mapped field is found", () => {
  const change = (from: string, to: string, at = 2) =>
    lines("ocsf").map((line, index) => (index === at ? line.replace(from, to) : line));
  assert.deepEqual(problems(verify(change('\\"status\\":200', '\\"status\\":201'))), [["changed", 2, 2]]);
  assert.deepEqual(problems(verify(change('"disposition_id":1', '"disposition_id":2'))), [["changed", 2, 2]]);
  assert.match(
    verify(change('"disposition_id":1', '"disposition_id":2')).problems[0]?.message ?? "",
    /^disposition_id is not what the leaf says$/,
  );
  assert.deepEqual(problems(verify(change('"app_uid":"2026:a', '"app_uid":"2026:z'))), [["changed", 2, 2]]);
  assert.deepEqual(
    problems(
      verify(
        change('"leaf_hash":"', '"leaf_hash":"00').map((line) => line.replace(/("leaf_hash":"00[0-9a-f]{62})../, "$1")),
      ),
    ),
    [["changed", 2, 2]],
  );
  const ecs = lines("ecs").map((line, index) =>
    index === 4 ? line.replace('"outcome":"failure"', '"outcome":"success"') : line,
  );
  assert.deepEqual(problems(verify(ecs)), [["changed", 4, 4]]);
});

test("attack: a leaf and its hash changed together are held against the log, and against the root that was signed", () => {
  const forged = { ...(records[2] ?? assert.fail()) };
  const text = forged.text.replace('"status":200', '"status":201');
  const { leafHash } = { leafHash: sha256(Buffer.concat([Buffer.of(0), Buffer.from(text)])) };
  const copy = lines("leaf").map((line, index) =>
    index === 2
      ? JSON.stringify({
          sallyport: { origin: sampleOrigin, index: 2, previous: 1, leaf_hash: Buffer.from(leafHash).toString("hex") },
          leaf: text,
        })
      : line,
  );
  assert.equal(verify(copy).ok, true, "nothing outside was given to hold it against");
  assert.equal(verify(copy, { checkpoints: [signed()] }).origins[0]?.checkpoint, "differs");
  assert.deepEqual(problems(verify(copy, { log: logOf(sampleOrigin) })), [["differs", 2, 2]]);
});

test("a copy has events of many logs: the one that was given is compared, the others are not, and that is said", () => {
  const ofControl = lines(
    "leaf",
    records.map((record) => ({ ...record, origin: controlOrigin })),
  );
  const report = verify([...ofControl, ...lines("leaf")], { log: logOf(sampleOrigin) });
  assert.deepEqual([report.ok, report.origins.map(({ log }) => log)], [true, ["compared", "other"]]);
});

test("attack: the last events are deleted, and no later one misses them; a checkpoint or the log does", () => {
  const copy = lines("leaf").slice(0, -3);
  assert.equal(verify(copy).ok, true, "nothing outside was given to hold it against");
  const end = [["missing", records.length - 3, records.length - 1]];
  assert.deepEqual(problems(verify(copy, { checkpoints: [signed()] })), end);
  assert.deepEqual(problems(verify(copy, { log: logOf(sampleOrigin) })), end);
  assert.deepEqual(problems(verify(copy, { checkpoints: [signed()], log: logOf(sampleOrigin) })), end);
});

test("attack: every event of a log is deleted, so that no event is left to miss another; a checkpoint or the log does", () => {
  const others = lines(
    "leaf",
    records.map((record) => ({ ...record, origin: controlOrigin })),
  );
  const all = [["missing", 0, records.length - 1]];
  for (const copy of [[], others]) {
    assert.equal(verify(copy).ok, true, "nothing outside was given to hold it against");
    assert.deepEqual(problems(verify(copy, { checkpoints: [signed(), { ...signed(), size: 2 }] })), all);
    assert.deepEqual(problems(verify(copy, { log: logOf(sampleOrigin) })), all);
    assert.deepEqual(problems(verify(copy, { checkpoints: [signed()], log: logOf(sampleOrigin) })), all);
  }
});

test("attack: all of a year is deleted from the copy; a sink that began in a later one never had it", () => {
  const later = sampleOrigin.replace(/\d{4}$/, (year) => String(Number(year) + 1));
  const earlier = sampleOrigin.replace(/\d{4}$/, (year) => String(Number(year) - 1));
  const report = verify(lines("leaf"), { log: logOf(earlier, sampleOrigin, later) });
  assert.deepEqual(
    report.problems.map(({ kind, origin, to }) => [kind, origin, to]),
    [["missing", later, records.length - 1]],
  );
  assert.equal(verify(lines("leaf"), { log: logOf(earlier, sampleOrigin) }).ok, true);
  const filtered = records
    .filter((_record, at) => at !== 1)
    .map((record, at, all) => ({ ...record, previous: all[at - 1]?.index ?? null }));
  assert.equal(
    verify(lines("leaf", filtered), { log: logOf(sampleOrigin, later) }).ok,
    true,
    "a filter may leave out a year",
  );
});

test("names that a sink may say, and fields that a receiver adds, are no change", () => {
  const named = encoded("ocsf", records, () => "orders").map(({ json }) =>
    json.replace("{", '{"ingested":"2026-11-22",'),
  );
  assert.deepEqual(verify(named).problems, []);
  assert.deepEqual(verify(encoded("ecs", records, () => "orders").map(({ json }) => json)).problems, []);
});

test("events of another version are not compared field by field, and that is said", () => {
  const other = lines("ocsf").map((line) =>
    line
      .replace('"version":"0.1.0"},"uid"', '"version":"0.0.9"},"uid"')
      .replace('"disposition_id":1', '"disposition_id":2'),
  );
  const report = verify(other);
  assert.deepEqual([report.ok, report.notCompared], [true, records.length]);
});

test("attack: lines that are no events, too long or nested without end are named by their line, and end nothing", () => {
  const nested = `${'{"event":'.repeat(2_000)}{}${"}".repeat(2_000)}`;
  const report = verify([
    "{}",
    "nonsense",
    '{"sallyport":{"origin":"../x","index":-1}}',
    nested,
    `{"x":"${"y".repeat(1_100_000)}"}`,
    ...lines("ocsf"),
  ]);
  assert.deepEqual(
    report.problems.map(({ kind, line }) => [kind, line]),
    [1, 2, 3, 4, 5].map((line) => ["unreadable", line]),
  );
  assert.equal(report.origins[0]?.events, records.length);
});
