import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import { printCheckpointBody } from "@sallyport/protocol/audit/checkpoint.ts";
import { parseLeaf } from "@sallyport/protocol/audit/leaf-format.ts";
import { leafHasher, nodeHash } from "@sallyport/protocol/audit/merkle.ts";
import { printVerifierKey, signNote } from "@sallyport/protocol/audit/note.ts";
import { encodeEntries } from "./batch.ts";
import { LogFault } from "./fault.ts";
import type { LogOptions } from "./log.ts";
import { sha256 } from "./log-crypto.ts";
import { LossyDisk } from "./lossy-disk.ts";
import { checkProof, prove } from "./prove.ts";
import { sampleId, sampleLeaf } from "./sample-leaves.ts";
import { key, lossyLog, nextYear, origin, otherKey } from "./sample-log.test-support.ts";
import { printFrame, printSegmentHeader } from "./segment.ts";
import { readCheckpointFile, type VerifyOptions, verifyLogDirectory } from "./verify.ts";

const vkey = printVerifierKey(sha256, origin, key.publicKey);
const wal = "/log/2026/wal/0000000000000000.wal";

const reference = Buffer.from("sealed decision inputs");
const inputs = createHash("sha256").update(reference).digest("hex");

/** A log with `count` crossings, an intent with its outcome, and a record with a reference. */
function makeLog(count: number, more: Partial<LogOptions> = {}) {
  const { disk, clock, options, open } = lossyLog(more);
  const log = open();
  log.append([{ leaf: sampleLeaf("intent", 900_000) }]);
  for (let i = 0; i < count; i++) log.append([{ leaf: sampleLeaf("crossing", i) }]);
  log.append([{ leaf: sampleLeaf("crossing", 900_001, inputs), reference }, { leaf: sampleLeaf("outcome", 900_000) }]);
  return { disk, log, clock, options };
}

function closedLog(count: number, more: Partial<LogOptions> = {}) {
  const made = makeLog(count, more);
  made.log.close();
  return made;
}

const verify = (disk: LossyDisk, more: Partial<VerifyOptions> = {}) =>
  verifyLogDirectory("/log", { verifierKey: vkey, disk, ...more });

function put(disk: LossyDisk, path: string, bytes: Uint8Array) {
  const file = disk.open(path, "write");
  file.truncate(0);
  file.write(0, bytes);
}

const contentOf = (disk: LossyDisk, path: string) => Buffer.from(disk.files().get(path) ?? assert.fail(path));

test("a whole log verifies: counts, size, root", () => {
  const { disk } = closedLog(700, { segmentBytesMax: 20_000 });
  const progress: number[] = [];
  const report = verify(disk, { onProgress: (leaves) => progress.push(leaves) });
  assert.deepEqual(report.problems, []);
  assert.ok(report.ok);
  assert.equal(report.leaves, 705);
  assert.deepEqual(report.counts, { crossings: 702, intents: 1, outcomes: 1, unknown: 0 });
  assert.equal(report.origins[0]?.size, 705);
  assert.equal(progress.at(-1), 705);
});

test("attack: one flipped byte of a leaf is located to the leaf and the byte, with or without a mended checksum", () => {
  const { disk } = closedLog(400);
  const bytes = contentOf(disk, wal);
  const leaf = Buffer.from(sampleLeaf("crossing", 123));
  const at = bytes.indexOf(leaf) + leaf.indexOf("orders-to-billing");
  bytes[at] = "x".charCodeAt(0);
  put(disk, wal, bytes);
  const { firstBad } = verify(disk);
  assert.deepEqual([firstBad?.kind, firstBad?.file, firstBad?.index, firstBad?.offset], ["leaf", wal, 126, at]);

  const forged = makeLog(0);
  for (let i = 0; i < 400; i++) {
    const text = Buffer.from(sampleLeaf("crossing", i))
      .toString()
      .replace("orders", i === 123 ? "xrders" : "orders");
    forged.log.append([{ leaf: Buffer.from(text) }]);
  }
  forged.log.close();
  const clean = makeLog(0);
  for (let i = 0; i < 400; i++) clean.log.append([{ leaf: sampleLeaf("crossing", i) }]);
  clean.log.close();
  put(clean.disk, wal, contentOf(forged.disk, wal));
  const found = verify(clean.disk);
  const leafProblem = found.problems.find((problem) => problem.kind === "leaf");
  const place = contentOf(forged.disk, wal).indexOf("xrders");
  assert.deepEqual([leafProblem?.index, leafProblem?.offset], [128, place]);
});

test("attack: truncated and signed again with the real key; caught by a checkpoint kept elsewhere, and only by that", () => {
  const whole = closedLog(20, { checkpointCopies: "/copies" });
  const copies = readCheckpointFile("/copies", whole.disk) ?? assert.fail();
  const cut = closedLog(5);
  assert.ok(verify(cut.disk).ok, "with the real key and nothing held elsewhere it looks whole");
  const report = verify(cut.disk, { olderCheckpoints: [copies] });
  assert.ok(!report.ok);
  assert.ok(report.problems.some(({ kind, message }) => kind === "truncated" && /cut short/.test(message)));
  assert.ok(verify(whole.disk, { olderCheckpoints: [copies] }).ok);
});

test("attack: a fork of the same size under the real key is caught by a checkpoint of the other branch", () => {
  const one = closedLog(5);
  const fork = makeLog(4);
  fork.log.append([{ leaf: sampleLeaf("crossing", 77) }]);
  fork.log.close();
  const note = contentOf(one.disk, "/log/2026/checkpoint").toString();
  const report = verify(fork.disk, { olderCheckpoints: [note] });
  assert.ok(report.problems.some(({ kind, message }) => kind === "root" && /rewritten or forked/.test(message)));
});

test("attack: a foreign key's checkpoint, in the directory or among the kept ones, proves nothing", () => {
  const { disk } = closedLog(5);
  const foreign = printVerifierKey(sha256, origin, otherKey.publicKey);
  assert.ok(
    verifyLogDirectory("/log", { verifierKey: foreign, disk }).problems.some(({ message }) =>
      /not signed by the given key/.test(message),
    ),
  );
  const body = printCheckpointBody(origin, 3, sha256(Buffer.from("x")));
  const note = signNote(sha256, body, { name: origin, ...otherKey });
  assert.ok(
    verify(disk, { olderCheckpoints: [note] }).problems.some(({ message }) => /not one this key signed/.test(message)),
  );
});

test("attack: an old checkpoint is replayed in place of the newest", () => {
  const made = makeLog(5);
  const old = made.log.checkpoint();
  made.log.append([{ leaf: sampleLeaf("crossing", 50) }]);
  made.log.close();
  for (const name of ["head", "checkpoint"]) put(made.disk, `/log/2026/${name}`, Buffer.from(old));
  assert.ok(verify(made.disk).problems.some(({ kind }) => kind === "truncated"));
});

test("attack: two tiles are swapped; both are named", () => {
  const { disk } = closedLog(600);
  const [a, b] = ["/log/2026/tile/0/000", "/log/2026/tile/0/001"];
  const [bytesA, bytesB] = [contentOf(disk, a ?? ""), contentOf(disk, b ?? "")];
  put(disk, a ?? "", bytesB);
  put(disk, b ?? "", bytesA);
  const named = verify(disk).problems.map(({ file, kind }) => `${kind} ${file}`);
  assert.deepEqual(named, [`tile ${a}`, `tile ${b}`]);
});

test("attack: an outcome is dropped, doubled or invented", () => {
  for (const [leaves, saying] of [
    [[sampleLeaf("intent", 1)], /no outcome/],
    [[sampleLeaf("intent", 1), sampleLeaf("outcome", 1), sampleLeaf("outcome", 1)], /or the second one/],
    [[sampleLeaf("outcome", 1)], /without an open intent/],
    [[sampleLeaf("intent", 1), sampleLeaf("intent", 1), sampleLeaf("outcome", 1)], /second intent/],
  ] as const) {
    const { disk, log } = makeLog(1);
    log.append(leaves.map((leaf) => ({ leaf })));
    log.close();
    const report = verify(disk);
    assert.ok(
      report.problems.some(({ kind, message }) => kind === "crossing" && saying.test(message)),
      String(saying),
    );
  }
});

test("attack: a sealed reference is exchanged for another of the same length", () => {
  const { disk, log } = makeLog(1);
  log.append([{ leaf: sampleLeaf("crossing", 60, inputs), reference: Buffer.from("sealed decision inputz") }]);
  log.close();
  assert.ok(verify(disk).problems.some(({ kind, index }) => kind === "reference" && index === 6));
});

test("linked origins verify together under one key; a missing or unlinked year is named", () => {
  const made = makeLog(3, { checkpointCopies: "/copies" });
  made.clock.now = nextYear;
  made.log.append([{ leaf: sampleLeaf("crossing", 80) }]);
  made.log.close();
  const copies = readCheckpointFile("/copies", made.disk) ?? assert.fail();
  const report = verify(made.disk, { olderCheckpoints: [copies] });
  assert.deepEqual(report.problems, []);
  assert.equal(report.origins.length, 2);
  const other = makeLog(4);
  other.log.close();
  for (const [path, bytes] of other.disk.files()) if (path.includes("/2026/")) put(made.disk, path, Buffer.from(bytes));
  const unlinked = verify(made.disk).problems.map(({ kind, message }) => `${kind} ${message}`);
  assert.ok(
    unlinked.some((text) => /chain.*does not name the end of/.test(text)),
    unlinked.join(),
  );
  const alone = closedLog(3);
  assert.ok(verify(alone.disk, { olderCheckpoints: [copies] }).problems.some(({ kind }) => kind === "missing-origin"));
});

test("a copy of a running log verifies as live: open intents and the unsigned end are expected", () => {
  const { disk, log } = makeLog(3);
  log.checkpoint();
  log.append([{ leaf: sampleLeaf("intent", 70) }]);
  const torn = disk.open(wal, "write");
  torn.write(torn.size(), Buffer.from("half a frame"));
  const report = verify(disk, { live: true });
  assert.deepEqual(report.problems, []);
  assert.deepEqual(report.open, [sampleId(70)]);
  const closed = verify(disk);
  assert.ok(!closed.ok);
  assert.ok(
    closed.problems.every(({ whileRunning }) => whileRunning === true),
    "and as a closed one all that is said is what a running one looks like",
  );
});

test("what is wrong with a running log too is told apart from what a running log looks like", () => {
  const { disk, log } = makeLog(3);
  log.checkpoint();
  log.append([{ leaf: sampleLeaf("intent", 70) }]);
  const file = disk.open(wal, "write");
  const byte = Buffer.alloc(1);
  file.read(200, 1, byte);
  file.write(200, Buffer.from([(byte[0] ?? 0) ^ 1]));
  assert.ok(!verify(disk, { live: true }).ok);
  assert.ok(verify(disk).problems.some(({ whileRunning }) => whileRunning !== true));
});

test("a receipt proves one leaf to anyone who has the verifier key, and nothing else", () => {
  const { disk } = closedLog(300, { segmentBytesMax: 20_000 });
  for (const choice of [{ id: sampleId(123) }, { index: 126 }, { index: 126, year: 2026 }]) {
    const { proof, leaf, index } = prove("/log", choice, disk);
    assert.equal(index, 126);
    assert.equal(parseLeaf(leaf).t, "crossing");
    assert.equal(checkProof(proof, vkey, leaf).kind, "ok");
    assert.equal(checkProof(proof, vkey, sampleLeaf("crossing", 124)).kind, "refused");
    assert.equal(checkProof(proof, printVerifierKey(sha256, origin, otherKey.publicKey), leaf).kind, "refused");
  }
  for (const choice of [{ id: sampleId(9_999) }, { index: 305 }, { index: 0, year: 2025 }]) {
    assert.throws(
      () => prove("/log", choice, disk),
      (error) => error instanceof LogFault && error.code === "not-found",
    );
  }
});

test("an archived log, which has no tiles, proves each of its leaves, and no leaf of a damaged one", () => {
  const { disk } = closedLog(520, { segmentBytesMax: 30_000 });
  const bare = new LossyDisk({ random: () => 0.1 });
  for (const path of ["/log", "/log/2026", "/log/2026/wal"]) bare.makeDirectory(path);
  const kept = [...disk.files()].filter(([path]) => /\.wal$|\/checkpoint$/.test(path));
  for (const [path, bytes] of kept) put(bare, path, Buffer.from(bytes));
  assert.ok(kept.length > 5);
  for (const index of [0, 1, 2, 255, 256, 257, 399, 511, 512, 523, 524])
    assert.equal(prove("/log", { index }, bare).proof, prove("/log", { index }, disk).proof);
  const receipt = prove("/log", { id: sampleId(300) }, bare);
  assert.equal(checkProof(receipt.proof, vkey, receipt.leaf).kind, "ok");
  const [second = ""] = kept.map(([path]) => path).filter((path) => path.endsWith(".wal") && path !== wal);
  const bytes = contentOf(bare, second);
  bytes[90] = (bytes[90] ?? 0) ^ 1;
  put(bare, second, bytes);
  assert.throws(
    () => prove("/log", { index: 5 }, bare),
    (error) => error instanceof LogFault && error.code === "log-corrupt",
  );
});

test("attack and accident: a leaf of a version, a type or a word that is not known here, in a log that its key rightly signed, is never a yes and is named", () => {
  const known = Buffer.from(sampleLeaf("crossing", 2)).toString();
  const whole = contentOf(closedLog(1).disk, wal);
  const first = Buffer.from(whole.subarray(whole.indexOf('{"v":1,"t":"origin"'), whole.indexOf("}") + 1));
  for (const [leaf, says] of [
    [known, null],
    [
      known.replace('"v":1', '"v":9'),
      /leaf 1 is of type crossing, version 9, which .* does not know: read it with a newer/,
    ],
    [
      known.replace('"t":"crossing"', '"t":"crossover"'),
      /leaf 1 is of type crossover, version 1, which .* does not know/,
    ],
    [known.replace('"kind":"api"', '"kind":"later"'), /leaf 1 is not the one spelling of a leaf of type crossing/],
    [`${known.slice(0, -1)},"more":1}`, /leaf 1 is not the one spelling of a leaf of type crossing/],
  ] as const) {
    const entries = [first, Buffer.from(leaf), Buffer.from(sampleLeaf("crossing", 3))];
    const hashes = entries.map(leafHasher(sha256));
    const [a, b, c] = hashes as [Uint8Array, Uint8Array, Uint8Array];
    const body = printCheckpointBody(origin, 3, nodeHash(sha256, nodeHash(sha256, a, b), c));
    const bare = new LossyDisk({ random: () => 0.1 });
    for (const path of ["/log", "/log/2026", "/log/2026/wal"]) bare.makeDirectory(path);
    const frame = printFrame(
      0,
      entries.length,
      encodeEntries(entries.map((entry) => ({ leaf: entry, reference: undefined }))),
    );
    put(bare, wal, Buffer.concat([printSegmentHeader(0, origin), frame]));
    put(bare, "/log/log.vkey", Buffer.from(`${vkey}\n`));
    put(bare, "/log/2026/checkpoint", Buffer.from(signNote(sha256, body, { name: origin, ...key })));
    for (const scope of [undefined, { leaves: { year: null, from: 1, to: 2 } }]) {
      const report = verify(bare, scope === undefined ? {} : { scope });
      assert.deepEqual([report.ok, report.problems.length], [says === null, says === null ? 0 : 1]);
      const [problem] = report.problems;
      assert.deepEqual([problem?.kind, problem?.index], says === null ? [undefined, undefined] : ["leaf", 1]);
      assert.match(problem?.message ?? "", says ?? /^$/);
    }
  }
});

test("no receipt is made from damaged tiles", () => {
  const { disk } = closedLog(300);
  const bytes = contentOf(disk, "/log/2026/tile/0/000");
  bytes[40] = (bytes[40] ?? 0) ^ 1;
  put(disk, "/log/2026/tile/0/000", bytes);
  assert.throws(
    () => prove("/log", { index: 5 }, disk),
    (error) => error instanceof LogFault && error.code === "log-corrupt",
  );
});

test("a directory without a log and a malformed key are said to be that", () => {
  const disk = new LossyDisk({ random: () => 0.1 });
  assert.throws(
    () => verify(disk),
    (error) => error instanceof LogFault && error.code === "not-found",
  );
  assert.throws(
    () => verifyLogDirectory("/log", { verifierKey: "x", disk }),
    (error) => error instanceof LogFault && error.code === "log-key",
  );
});
