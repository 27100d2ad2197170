import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { Worker } from "node:worker_threads";
import { printVerifierKey } from "@sallyport/protocol/audit/note.ts";
import { crc32c } from "./crc32c.ts";
import { Log } from "./log.ts";
import { sha256 } from "./log-crypto.ts";
import { LossyDisk } from "./lossy-disk.ts";
import { realDisk } from "./real-disk.ts";
import { sampleIdentity, sampleLeaf } from "./sample-leaves.ts";
import { key, origin } from "./sample-log.test-support.ts";
import { readFrameHeader, segmentHeaderBytes } from "./segment.ts";
import { type VerifyOptions, verifyLogDirectory } from "./verify.ts";
import { chunkState, columnBytes, planBytes, planChunks, printPlan, SegmentWork } from "./verify-columns.ts";
import { Crew } from "./verify-crew.ts";

const verifierKey = printVerifierKey(sha256, origin, key.publicKey);
const reference = Buffer.from("sealed decision inputs");
const inputs = createHash("sha256").update(reference).digest("hex");

const folder = mkdtempSync(join(tmpdir(), "sallyport-crew-"));
after(() => rmSync(folder, { recursive: true, force: true }));

/** Some 3,000 leaves: crossings, effects under way across frames, references of their own and shared ones. */
const batches = Array.from({ length: 12 }, (_, b) =>
  Array.from({ length: 256 }, (_unused, i) => {
    const n = b * 256 + i;
    if (n % 16 === 3) return { leaf: sampleLeaf("intent", n) };
    if (n % 16 === 5 && n > 258) return { leaf: sampleLeaf("outcome", n - 258) };
    return n % 7 === 0 ? { leaf: sampleLeaf("crossing", n, inputs), reference } : { leaf: sampleLeaf("crossing", n) };
  }),
);

/** The oldest checkpoint taken on the way: a root signed within a chunk. */
let older = "";

/** Writes the log of `batches` once; every test damages a copy of it. */
function writeLog(directory: string): void {
  const log = Log.open({
    disk: realDisk(),
    directory,
    identity: sampleIdentity,
    now: () => 1_795_305_600_000,
    key,
    lowSpaceBytes: 0,
    reserveBytes: 0,
    segmentBytesMax: 600_000,
  });
  for (const [b, batch] of batches.entries()) {
    log.append(batch);
    if (b === 5) older = log.checkpoint();
  }
  const open = Array.from({ length: 16 }, (_, i) => ({
    leaf: sampleLeaf("outcome", batches.length * 256 - 253 + 16 * i),
  }));
  log.append(open);
  log.close();
}

const whole = join(folder, "whole");
writeLog(whole);
let copies = 0;

function damaged(damage: (directory: string) => void): string {
  const directory = join(folder, `copy-${copies++}`);
  cpSync(whole, directory, { recursive: true });
  damage(join(directory, "2026"));
  return directory;
}

const walFiles = (year: string) =>
  readdirSync(join(year, "wal"))
    .filter((name) => name.endsWith(".wal"))
    .map((name) => join(year, "wal", name));

/** Changes the bytes of a file in place. */
function edit(path: string, change: (bytes: Buffer) => void): void {
  const bytes = readFileSync(path);
  change(bytes);
  writeFileSync(path, bytes);
}

const flip = (at: number) => (bytes: Buffer) => {
  bytes[at] = (bytes[at] ?? 0) ^ 1;
};

/** Makes every checksum of a segment right again, as somebody who rewrites a log would. */
function mend(bytes: Buffer): void {
  for (let at = segmentHeaderBytes; at < bytes.length; ) {
    const frame = readFrameHeader(bytes, at);
    if (typeof frame === "string") return;
    bytes.writeUInt32BE(crc32c(bytes, at + 8, frame.end), at + 4);
    at = frame.end;
  }
}

function replaceText(bytes: Buffer, from: string, to: string, skip = 0): void {
  let at = -1;
  for (let i = 0; i <= skip; i++) at = bytes.indexOf(from, at + 1);
  assert.ok(at > 0, `${from} is not there`);
  bytes.write(to, at, "latin1");
}

const rewritten = (from: string, to: string, skip: number) => (year: string) =>
  edit(walFiles(year)[0] ?? "", (bytes) => {
    replaceText(bytes, from, to, skip);
    mend(bytes);
  });

/** Every kind of damage that verification names, and what it calls it. */
const damages: readonly (readonly [name: string, kind: string | null, damage: (year: string) => void])[] = [
  ["none", null, () => {}],
  ["a flipped bit of a leaf", "leaf", (year) => edit(walFiles(year)[0] ?? "", flip(150_000))],
  [
    "a flipped bit of a frame's header",
    "frame",
    (year) => edit(walFiles(year)[1] ?? "", flip(segmentHeaderBytes + 11)),
  ],
  ["a flipped bit of a segment's header", "frame", (year) => edit(walFiles(year)[1] ?? "", flip(20))],
  ["a leaf rewritten under a mended checksum", "leaf", rewritten('"allow"', '"deny" ', 700)],
  [
    "a name rewritten under a mended checksum, which keeps the form",
    "root",
    rewritten("orders-to-", "0rders-to-".replace("0", "x"), 900),
  ],
  [
    "a sealed reference exchanged under a mended checksum",
    "reference",
    rewritten("sealed decision inputs", "sealed decision inputz", 1),
  ],
  ["an intent that became a crossing's outcome", "crossing", rewritten('"t":"intent"', '"t":"progre"', 20)],
  [
    "an entry that claims more than its frame",
    "leaf",
    (year) =>
      edit(walFiles(year)[0] ?? "", (bytes) => {
        bytes.writeUInt16BE(65_535, segmentHeaderBytes + 20);
        mend(bytes);
      }),
  ],
  [
    "a frame that claims 2,048 entries",
    "leaf",
    (year) =>
      edit(walFiles(year)[0] ?? "", (bytes) => {
        bytes.writeUInt32BE(2_048, segmentHeaderBytes + 16);
        mend(bytes);
      }),
  ],
  ["a segment that is missing", "frame", (year) => rmSync(walFiles(year)[1] ?? "")],
  ["a segment cut short", "leaf", (year) => truncateSync(walFiles(year)[1] ?? "", 400_000)],
  [
    "a log cut short at a frame",
    "truncated",
    (year) => {
      const last = walFiles(year).at(-1) ?? "";
      truncateSync(last, segmentHeaderBytes);
    },
  ],
  ["a flipped bit of a tile", "tile", (year) => edit(join(year, "tile/0/001"), flip(4_000))],
  ["a tile that is missing", "tile", (year) => rmSync(join(year, "tile/0/004"))],
  ["a flipped bit of a bundle", "bundle", (year) => edit(join(year, "tile/entries/005"), flip(70_000))],
  ["a bundle with a byte more", "bundle", (year) => writeFileSync(join(year, "tile/entries/002"), "x", { flag: "a" })],
  ["a flipped bit of an index", "derived", (year) => edit(`${(walFiles(year)[0] ?? "").slice(0, -3)}idx`, flip(3_000))],
  ["a flipped bit of the checkpoint", "checkpoint", (year) => edit(join(year, "checkpoint"), flip(70))],
];

function verify(directory: string, more: Partial<VerifyOptions>) {
  return verifyLogDirectory(directory, { verifierKey, olderCheckpoints: [older], ...more });
}

for (const [name, kind, damage] of damages) {
  test(`the same report leaf by leaf, by chunks and with threads: ${name}`, () => {
    const directory = damaged(damage);
    const one = verify(directory, { crew: { threads: 1, chunkLeaves: 0 } });
    assert.equal(one.ok, kind === null, `${one.firstBad?.message}`);
    if (kind !== null)
      assert.ok(
        one.problems.some((problem) => problem.kind === kind),
        JSON.stringify(one.problems[0]),
      );
    for (const chunkLeaves of [1, 700]) assert.deepEqual(verify(directory, { crew: { threads: 1, chunkLeaves } }), one);
    const progress: number[] = [];
    const crew = { threads: 3, chunkLeaves: 200, sharedBytesMin: 0 };
    assert.deepEqual(verify(directory, { crew, onProgress: (leaves) => progress.push(leaves) }), one);
    assert.equal(progress.at(-1), one.leaves);
    const live = verify(directory, { live: true, crew: { threads: 1, chunkLeaves: 0 } });
    assert.deepEqual(verify(directory, { live: true, crew: { threads: 1, chunkLeaves: 700 } }), live);
  });
}

test("the same report by chunks and leaf by leaf for a bit flipped anywhere, with and without a mended checksum", () => {
  let state = 7;
  const random = (below: number) => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    return state % below;
  };
  const directory = damaged(() => {});
  const files = walFiles(join(directory, "2026"));
  for (let round = 0; round < 12; round++) {
    const path = files[random(files.length)] ?? "";
    const before = readFileSync(path);
    edit(path, (bytes) => {
      flip(random(bytes.length))(bytes);
      if (round % 2 === 0) mend(bytes);
    });
    const leafByLeaf = verify(directory, { crew: { threads: 1, chunkLeaves: 0 } });
    assert.ok(!leafByLeaf.ok, `round ${round}`);
    assert.deepEqual(verify(directory, { crew: { threads: 1, chunkLeaves: 500 } }), leafByLeaf);
    writeFileSync(path, before);
  }
});

/** A segment of the whole log in shared memory, nothing of it judged. */
function sharedWork(chunkLeaves: number) {
  const year = join(whole, "2026");
  const content = readFileSync(walFiles(year)[0] ?? "");
  const bytes = Buffer.from(new SharedArrayBuffer(content.length));
  content.copy(bytes);
  const chunks = planChunks(bytes, chunkLeaves);
  const leaves = chunks.reduce((sum, { count }) => sum + count, 0);
  const plan = new SharedArrayBuffer(planBytes(chunks.length));
  printPlan(chunks, new Int32Array(plan));
  const columns = new SharedArrayBuffer(columnBytes(0, leaves));
  return new SegmentWork({ directory: year, first: 0, published: 3_000, bytes, leaves, columns, plan });
}

test("a thread finds the same of each leaf as the caller", () => {
  const alone = sharedWork(200);
  const crew = new Crew(realDisk(), true, { threads: 1 });
  for (let i = 0; i < alone.chunks; i++) assert.ok(crew.isClean(alone, i, () => null));
  const other = sharedWork(200);
  const worker = new Worker(new URL("./verify-worker.ts", import.meta.url));
  worker.postMessage(other.job);
  for (let i = 0; i < other.chunks; i++) while (other.state(i) < chunkState.clean) other.wait(i, 1_000);
  worker.postMessage(null);
  assert.deepEqual(Buffer.from(other.job.columns), Buffer.from(alone.job.columns));
  for (let i = 0; i < other.chunks; i++) assert.equal(other.state(i), chunkState.clean);
});

test("a thread that claims a chunk and never answers costs its patience, not the answer", () => {
  const work = sharedWork(200);
  assert.ok(work.chunks > 3);
  for (const i of [0, 2, 3]) assert.ok(work.claim(i));
  const crew = new Crew(realDisk(), true, { threads: 2, patienceMs: 5 });
  for (let i = 0; i < work.chunks; i++) assert.ok(crew.isClean(work, i, () => null));
  const memory = crew.memory(10_000_000);
  assert.ok(!(memory.buffer instanceof SharedArrayBuffer), "after that it works alone, in memory of its own");
});

test("threads that do not start, or die, change nothing", () => {
  const crew = { threads: 2, chunkLeaves: 200, sharedBytesMin: 0 };
  const expected = verify(whole, { crew: { threads: 1 } });
  for (const entry of [
    new URL("data:text/javascript,process.exit(1)"),
    new URL("data:text/javascript,throw new Error()"),
  ])
    assert.deepEqual(verify(whole, { crew: { ...crew, entry } }), expected);
});

test("a forged number of entries does not become memory", () => {
  const bytes = readFileSync(walFiles(join(whole, "2026"))[0] ?? "");
  bytes.writeUInt32BE(2_048, segmentHeaderBytes + 16);
  assert.deepEqual(planChunks(bytes), [{ at: segmentHeaderBytes, end: bytes.length, leaf: 0, count: 0 }]);
});

test("a disk of the caller's own is read by the caller alone", () => {
  const crew = new Crew(new LossyDisk({ random: () => 0.1 }), false, { threads: 4, sharedBytesMin: 0 });
  assert.ok(!(crew.memory(1_000).buffer instanceof SharedArrayBuffer));
});
