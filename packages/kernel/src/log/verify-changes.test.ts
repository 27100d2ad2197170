// Attacks on the files of a log directory, one at a time: each is found by verification, which names the file.
import assert from "node:assert/strict";
import { test } from "node:test";
import { printVerifierKey } from "@sallyport/protocol/audit/note.ts";
import { LogFault } from "./fault.ts";
import { Log } from "./log.ts";
import { sha256 } from "./log-crypto.ts";
import { LossyDisk } from "./lossy-disk.ts";
import { sampleIdentity, sampleLeaf } from "./sample-leaves.ts";
import { seededRandom } from "./seeded-random.ts";
import { verifyLogDirectory } from "./verify.ts";

const november2026 = 1_795_305_600_000;
const year = 31_536_000_000;

interface Made {
  readonly disk: LossyDisk;
  readonly verifierKey: string;
  readonly paths: readonly string[];
}

/** A closed log of two years, each with several segments and checkpoints, and an intent that is open across the turn. */
function makeLog(perYear: readonly [number, number], segmentBytesMax: number): Made {
  const disk = new LossyDisk({ random: () => 0.1 });
  let now = november2026;
  const log = Log.open({
    ...{ disk, directory: "/log", identity: sampleIdentity, now: () => now },
    ...{ segmentBytesMax, lowSpaceBytes: 0, reserveBytes: 16 },
  });
  let n = 0;
  for (const count of perYear) {
    log.append([{ leaf: sampleLeaf("intent", 900_000 + now) }]);
    const end = n + count;
    for (; n < end; n++) {
      log.append([{ leaf: sampleLeaf("crossing", n) }]);
      if (n % 100 === 3) log.checkpoint();
    }
    if (now > november2026)
      log.append([november2026, now].map((at) => ({ leaf: sampleLeaf("outcome", 900_000 + at) })));
    now += year;
    if (now === november2026 + year) log.turnYear();
    else now -= year;
  }
  log.close();
  const verifierKey = printVerifierKey(sha256, log.origin, log.publicKey);
  const paths = [...disk.files().keys()].filter((path) => path.startsWith("/log/"));
  return { disk, verifierKey, paths };
}

/** What verification says is wrong; a refusal to verify at all names its file in words. */
function problemsOf({ disk, verifierKey }: Pick<Made, "disk" | "verifierKey">, paths: readonly string[]) {
  try {
    return verifyLogDirectory("/log", { verifierKey, disk }).problems;
  } catch (error) {
    if (!(error instanceof LogFault)) throw error;
    return paths.filter((path) => error.internal.includes(path)).map((file) => ({ file, index: null }));
  }
}

/** Files that verification blames. */
const blamed = (made: Pick<Made, "disk" | "verifierKey">, paths: readonly string[]) =>
  problemsOf(made, paths).map(({ file }) => file);

function put(disk: LossyDisk, path: string, bytes: Uint8Array): void {
  const file = disk.open(path, "write");
  file.truncate(0);
  file.write(0, bytes);
}

const contentOf = (disk: LossyDisk, path: string) => Buffer.from(disk.files().get(path) ?? assert.fail(path));
const isWithout = (part: string) => (path: string) => !path.endsWith(part);

/** Changes what lies at `path`, looks, and puts it back. */
function during<T>(disk: LossyDisk, path: string, changed: Uint8Array | null, look: () => T): T {
  const before = disk.files().has(path) ? contentOf(disk, path) : null;
  if (changed === null) disk.unlink(path);
  else put(disk, path, changed);
  try {
    return look();
  } finally {
    if (before === null) disk.unlink(path);
    else put(disk, path, before);
  }
}

test("attack: any one changed byte of any file of a small log is found and its file named, and in a segment the leaf", () => {
  const made = makeLog([0, 0], 600);
  assert.deepEqual(blamed(made, []), []);
  const kinds = [".wal", ".idx", "/0/000.p/", "/entries/", "/head", "/checkpoint", "/state", "/log.key", "/reserve"];
  for (const kind of kinds) assert.ok(made.paths.filter((path) => path.includes(kind)).length >= 1, kind);
  const random = seededRandom(26);
  for (const path of made.paths) {
    const content = contentOf(made.disk, path);
    for (const [at, byte] of content.entries()) {
      const changed = Buffer.from(content);
      changed[at] = byte ^ (1 + Math.floor(random() * 255));
      const problems = during(made.disk, path, changed, () => problemsOf(made, [path]));
      const isLocated = problems.some(({ file, index }) => file === path && (index !== null || !path.endsWith(".wal")));
      assert.ok(isLocated, `${path} byte ${at}: ${problems.map(({ file }) => file).join()}`);
    }
  }
  assert.deepEqual(blamed(made, []), []);
});

const large = makeLog([600, 300], 40_000);

test("attack: changed bytes of a larger log are found wherever they are", () => {
  assert.deepEqual(blamed(large, []), []);
  const random = seededRandom(27);
  for (let i = 0; i < 150; i++) {
    const path = large.paths[Math.floor(random() * large.paths.length)] ?? "";
    const changed = contentOf(large.disk, path);
    if (changed.length === 0) continue;
    const at = Math.floor(random() * changed.length);
    changed[at] = (changed[at] ?? 0) ^ (1 + Math.floor(random() * 255));
    const names = during(large.disk, path, changed, () => blamed(large, [path]));
    assert.ok(names.includes(path), `${path} byte ${at}: ${names.join()}`);
  }
});

test("attack: one byte that is not zero, anywhere in a reserve of any length, is located to the byte", () => {
  const path = large.paths.find((name) => name.endsWith("/reserve")) ?? assert.fail("the log has no reserve");
  for (const length of [1, 65_535, 65_536, 65_537, 262_144 + 3]) {
    for (const at of [0, 65_535, 65_536, 131_072, length - 1].filter((place) => place < length)) {
      const changed = Buffer.alloc(length);
      changed[at] = 1 + (at % 255);
      const [problem] = during(large.disk, path, changed, () => problemsOf(large, [path]));
      const offset = problem !== undefined && "offset" in problem ? problem.offset : null;
      assert.deepEqual([problem?.file, offset], [path, at], `byte ${at} of ${length}`);
    }
    assert.deepEqual(
      during(large.disk, path, Buffer.alloc(length), () => blamed(large, [path])),
      [],
    );
  }
});

test("attack: a file is cut short, emptied, or goes on behind its end", () => {
  const random = seededRandom(28);
  // A reserve of any length is one.
  for (const path of large.paths.filter(isWithout("/reserve"))) {
    const content = contentOf(large.disk, path);
    const cut = content.subarray(0, Math.floor(random() * content.length));
    const changes = { cut, emptied: content.subarray(0, 0), longer: Buffer.concat([content, Uint8Array.of(0x31)]) };
    for (const [what, changed] of Object.entries(changes)) {
      if (changed.equals(content)) continue;
      const names = during(large.disk, path, changed, () => blamed(large, [path]));
      assert.ok(names.includes(path), `${path} ${what}: ${names.join()}`);
    }
  }
});

test("attack: a file is taken away; of what is made again when it is gone nothing is said", () => {
  // The tile of an older checkpoint was superseded by the wider one beside it, and a key need not be where a log is verified.
  const isDispensable = (path: string) => /(\.idx|\/state|\/reserve|\/log\.key|2026\/tile\/1\/000\.p\/1)$/.test(path);
  for (const path of large.paths) {
    const problems = during(large.disk, path, null, () => blamed(large, [path]));
    assert.equal(problems.length === 0, isDispensable(path), `${path}: ${problems.join()}`);
  }
});

test("attack: two files of a kind are exchanged", () => {
  const kindOf = (path: string) => path.replace(/[0-9]+/g, "").replace(/\/x?\//g, "/");
  const random = seededRandom(29);
  let exchanged = 0;
  for (const path of large.paths) {
    const others = large.paths.filter((other) => other !== path && kindOf(other) === kindOf(path));
    const other = others[Math.floor(random() * others.length)];
    if (other === undefined || contentOf(large.disk, path).equals(contentOf(large.disk, other))) continue;
    exchanged += 1;
    const [mine, theirs] = [contentOf(large.disk, path), contentOf(large.disk, other)];
    const names = during(large.disk, path, theirs, () =>
      during(large.disk, other, mine, () => blamed(large, [path, other])),
    );
    assert.ok(names.includes(path) || names.includes(other), `${path} and ${other}: ${names.join()}`);
  }
  assert.ok(exchanged > 20);
});

test("attack: an older head or state of the same log is put back", () => {
  const disk = new LossyDisk({ random: () => 0.1 });
  const options = {
    disk,
    directory: "/log",
    identity: sampleIdentity,
    now: () => november2026,
    lowSpaceBytes: 0,
    reserveBytes: 0,
  };
  const log = Log.open(options);
  const older = ["head", "state"].map((name) => [name, contentOf(disk, `/log/2026/${name}`)] as const);
  log.append([{ leaf: sampleLeaf("intent", 1) }, { leaf: sampleLeaf("outcome", 1) }]);
  log.close();
  const verifierKey = printVerifierKey(sha256, log.origin, log.publicKey);
  for (const [name, bytes] of older) {
    const path = `/log/2026/${name}`;
    assert.deepEqual(
      during(disk, path, bytes, () => blamed({ disk, verifierKey }, [path])),
      [path],
    );
  }
});

test("attack: a file that is no part of a log is laid beside its own, wherever it is", () => {
  const folders = new Set(large.paths.map((path) => path.slice(0, path.lastIndexOf("/"))));
  for (const folder of ["/log", "/log/2026", "/log/2026/tile", "/log/2026/tile/0", ...folders]) {
    for (const name of ["note.txt", "0000000000000007.wal.old", "0000000000099999.idx", "9", "999", "head.new"]) {
      const path = `${folder}/${name}`;
      assert.deepEqual(
        during(large.disk, path, Buffer.from("x"), () => blamed(large, [path])),
        [path],
      );
    }
  }
});

test("a running log may be in the middle of replacing a file or filling a tile; a stranger's file is one there too", () => {
  const live = { verifierKey: large.verifierKey, disk: large.disk, live: true };
  const look = () => verifyLogDirectory("/log", live).problems.map(({ file }) => file);
  for (const path of ["/log/2027/head.new", "/log/2027/tile/0/900", "/log/2027/tile/entries/001.p/255"])
    assert.deepEqual(during(large.disk, path, Buffer.from("x"), look), [], path);
  assert.deepEqual(during(large.disk, "/log/2027/wal/other", Buffer.from("x"), look), ["/log/2027/wal/other"]);
});

test("partial tiles and bundles that older checkpoints left beside the whole ones are held against these", () => {
  const [tile, bundle] = ["/log/2026/tile/0/001", "/log/2026/tile/entries/001"];
  const part = contentOf(large.disk, tile).subarray(0, 7 * 32);
  let end = 0;
  const entries = contentOf(large.disk, bundle);
  for (let i = 0; i < 7; i++) end += 2 + entries.readUInt16BE(end);
  for (const [path, bytes] of [
    [`${tile}.p/7`, part],
    [`${bundle}.p/7`, entries.subarray(0, end)],
  ] as const) {
    const folder = path.slice(0, path.lastIndexOf("/"));
    large.disk.makeDirectory(folder);
    assert.deepEqual(
      during(large.disk, path, bytes, () => blamed(large, [path])),
      [],
    );
    const changed = Buffer.from(bytes);
    changed[40] = (changed[40] ?? 0) ^ 1;
    for (const wrong of [changed, bytes.subarray(0, 64)])
      assert.deepEqual(
        during(large.disk, path, wrong, () => blamed(large, [path])),
        [path],
      );
  }
});

test("attack: what witnesses cosigned is cut, changed, or of a tree that this log never was", () => {
  const path = "/log/2027/cosigned";
  const published = contentOf(large.disk, "/log/2027/checkpoint");
  const line = Buffer.from("\u2014 witness.example AAAAAGFueXRoaW5nIGF0IGFsbA==\n\n");
  const whole = Buffer.concat([published, line]);
  const look = (bytes: Buffer) => during(large.disk, path, bytes, () => blamed(large, [path]));
  assert.deepEqual(look(whole), []);
  assert.deepEqual(look(Buffer.concat([whole, whole])), []);
  const changed = Buffer.from(whole);
  changed[70] = (changed[70] ?? 0) ^ 1;
  for (const wrong of [changed, whole.subarray(0, 100), contentOf(large.disk, "/log/2026/checkpoint")])
    assert.deepEqual(look(wrong), [path]);
});
