// Attacks of a node on control's copy of its log, and of a failing disk on it.
import assert from "node:assert/strict";
import { test } from "node:test";
import { encodeEntries, type LogEntry } from "@sallyport/kernel/log/batch.ts";
import { LogFault } from "@sallyport/kernel/log/fault.ts";
import { openHeldLogs } from "@sallyport/kernel/log/held-log.ts";
import type { HeldOrigin } from "@sallyport/kernel/log/held-records.ts";
import { Log, type LogOptions } from "@sallyport/kernel/log/log.ts";
import { importLogKey, type LogKey, sha256 } from "@sallyport/kernel/log/log-crypto.ts";
import { LossyDisk } from "@sallyport/kernel/log/lossy-disk.ts";
import { sampleLeaf } from "@sallyport/kernel/log/sample-leaves.ts";
import type { SettlingDisk } from "@sallyport/kernel/log/settling-disk.ts";
import { verifyLogDirectory } from "@sallyport/kernel/log/verify.ts";
import { parseCheckpointBody, printCheckpointBody } from "@sallyport/protocol/audit/checkpoint.ts";
import { parseNote, parseVerifierKey, printVerifierKey, signNote } from "@sallyport/protocol/audit/note.ts";
import type { ArchiveAnswer } from "@sallyport/protocol/channel/archive.ts";
import { keptLogs } from "../../admin/status.ts";
import type { ControlParts } from "../../control-parts.ts";
import { Archive } from "./archive.ts";

const november = 1_795_305_600_000;
const nextYear = 1_800_000_000_000;
const address = { tenant: "main", environment: "production", group: "production-eu", node: "gw-1" };
const identity = {
  tenant: "main",
  environment: "production",
  region: "eu",
  role: "gateway",
  version: "0.1.0",
} as const;
const keyOf = (hex: string) => importLogKey(Buffer.from(`302e020100300506032b657004220420${hex}`, "hex"));
const key = keyOf("d4ee72dbf913584ad5b6d8f1f769f8ad3afe7c28cbf1d4fbe097a88f44755842");
const otherKey = keyOf("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60");
const folder = "/data/archive/main/production/gw-1";

/** The disk of a test with syncs that are awaited. */
function settling(disk: LossyDisk): SettlingDisk {
  return {
    open: (path, mode) => disk.open(path, mode),
    list: (path) => disk.list(path),
    makeDirectory: (path) => disk.makeDirectory(path),
    rename: (from, to) => disk.rename(from, to),
    unlink: (path) => disk.unlink(path),
    syncDirectory: (path) => disk.syncDirectory(path),
    freeBytes: (path) => disk.freeBytes(path),
    lock: (path) => disk.lock(path),
    syncLater: (path, done) => disk.syncLater(path, done),
    writeLater: (path, bytes, done) => disk.writeLater(path, bytes, done),
    syncDirectoryLater: (path, done) => disk.syncDirectoryLater(path, done),
    settleFile: async (path) => {
      const file = disk.open(path, "read");
      file.sync();
      file.close();
    },
    settleDirectory: async (path) => disk.syncDirectory(path),
  };
}

function openArchive(
  disk: LossyDisk,
  more: { readonly lowSpaceBytes?: number; readonly clock?: { readonly now: () => number } } = {},
) {
  const faults: string[] = [];
  const archive = new Archive({
    directory: "/data/archive",
    disk: settling(disk),
    clock: { now: () => november },
    lowSpaceBytes: 0,
    segmentBytesMax: 8_000,
    fault: (error) => faults.push(String(error)),
    ...more,
  });
  return { archive, faults };
}

function newDisk(more: Partial<ConstructorParameters<typeof LossyDisk>[0]> = {}): LossyDisk {
  const disk = new LossyDisk({ random: () => 0.1, ...more });
  disk.makeDirectory("/data");
  return disk;
}

interface NodeLog {
  readonly disk: LossyDisk;
  readonly log: Log;
  readonly clock: { now: number };
}

function nodeLog(more: Partial<LogOptions> & { readonly node?: string } = {}): NodeLog {
  const { node = "gw-1", ...rest } = more;
  const disk = new LossyDisk({ random: () => 0.1 });
  const clock = { now: november };
  const log = Log.open({
    disk,
    directory: "/log",
    identity: { ...identity, node },
    now: () => clock.now,
    key,
    lowSpaceBytes: 0,
    reserveBytes: 0,
    ...rest,
  });
  return { disk, log, clock };
}

/** `count` crossings from the n-th on; every batch of 50 shares a reference. */
function append({ log }: NodeLog, from: number, count: number): void {
  for (let n = from; n < from + count; n += 50) {
    const reference = Buffer.from(`sealed inputs ${n}`);
    const inputs = Buffer.from(sha256(reference)).toString("hex");
    const size = Math.min(50, from + count - n);
    log.append(Array.from({ length: size }, (_, i) => ({ leaf: sampleLeaf("crossing", n + i, inputs), reference })));
  }
}

/** The origins of a node's log under the key that signed them: its key lies not beside it here. */
async function originsOf(
  { disk }: NodeLog,
  signer: LogKey = key,
): Promise<{ held: ReturnType<typeof openHeldLogs>; origins: readonly HeldOrigin[] }> {
  const origin = "sallyport.local/main/production/any/gateway/2026";
  const file = disk.open("/log/log.vkey", "write");
  file.write(0, Buffer.from(printVerifierKey(sha256, origin, signer.publicKey)));
  file.close();
  const held = openHeldLogs({ directories: () => ["/log"], disk });
  return { held, origins: await held.origins() };
}

function present(
  archive: Archive,
  { origin, checkpoint, verifierKey }: Pick<HeldOrigin, "origin" | "checkpoint" | "verifierKey">,
) {
  const body = parseCheckpointBody(parseNote(checkpoint)?.text ?? "") ?? assert.fail("a checkpoint");
  const publicKey = parseVerifierKey(sha256, verifierKey)?.publicKey ?? assert.fail("a key");
  assert.equal(body.origin, origin);
  return archive.checkpoint(address, { ...body, note: checkpoint, publicKey });
}

const shipment = (from: number, entries: readonly LogEntry[]) => ({
  from,
  count: entries.length,
  entries: encodeEntries(entries),
});

/** Ships as a gateway does; the last answer. */
async function shipAll(archive: Archive, node: NodeLog, signer: LogKey = key, step = 70): Promise<ArchiveAnswer> {
  const { held, origins } = await originsOf(node, signer);
  let answer: ArchiveAnswer = { t: "held", size: 0, signed: 0 };
  for (const origin of origins) {
    answer = await present(archive, origin);
    while (answer.t === "held" && answer.size < origin.size) {
      const records = await held.read(origin.origin, answer.size, step);
      const entries = records.map(({ leaf, reference }) => ({ leaf, reference: reference ?? undefined }));
      answer = await archive.ship(address, origin.origin, shipment(answer.size, entries));
    }
    if (answer.t === "held" && answer.signed < origin.size) answer = await present(archive, origin);
    if (answer.t !== "held") return answer;
  }
  return answer;
}

function verifyArchived(disk: LossyDisk) {
  const bytes = disk.files().get(`${folder}/log.vkey`) ?? assert.fail("no key");
  return verifyLogDirectory(folder, { verifierKey: bytes.toString("utf8").trim(), disk, live: true });
}

const codeOf = (answer: ArchiveAnswer) => (answer.t === "held" ? "held" : answer.code);

test("what was shipped verifies as the log itself does, over segments, years and restarts of control", async () => {
  const disk = newDisk();
  const node = nodeLog({ segmentBytesMax: 9_000 });
  append(node, 0, 300);
  node.log.checkpoint();
  assert.deepEqual(await shipAll(openArchive(disk).archive, node), { t: "held", size: 302, signed: 302 });
  append(node, 300, 120);
  node.clock.now = nextYear;
  append(node, 420, 60);
  node.log.checkpoint();
  const { archive, faults } = openArchive(disk);
  assert.deepEqual(await shipAll(archive, node), { t: "held", size: 61, signed: 61 });
  const report = verifyArchived(disk);
  assert.deepEqual([report.problems, report.leaves, report.counts.crossings], [[], 302 + 120 + 61, 480]);
  assert.deepEqual(faults, []);
  assert.equal(archive.state("gw-1")?.behind, 0);
  const held = openHeldLogs({ directories: () => [folder], disk });
  assert.deepEqual(
    (await held.origins()).map(({ size }) => size),
    [422, 61],
  );
  const [record] = await held.read("sallyport.local/main/production/gw-1/gateway/2026", 321, 1);
  assert.equal(Buffer.from(record?.reference ?? []).toString(), "sealed inputs 300");
});

test("attack: a leaf changed on the node after it was signed is refused, and what was proven before stays", async () => {
  const disk = newDisk();
  const { archive, faults } = openArchive(disk);
  const node = nodeLog();
  append(node, 0, 100);
  node.log.checkpoint();
  await shipAll(archive, node);
  append(node, 100, 40);
  node.log.checkpoint();
  const { held, origins } = await originsOf(node);
  const origin = origins[0] ?? assert.fail();
  await present(archive, origin);
  const records = await held.read(origin.origin, 102, 40);
  const entries = records.map(({ leaf, reference }) => ({
    leaf: Buffer.from(leaf),
    reference: reference ?? undefined,
  }));
  const changed = entries[7]?.leaf ?? assert.fail();
  changed.write("201", changed.indexOf('"status":200') + 9);
  assert.deepEqual(await archive.ship(address, origin.origin, shipment(102, entries)), {
    t: "held",
    size: 142,
    signed: 102,
  });
  assert.deepEqual(await present(archive, origin), { t: "refused", code: "forked" });
  assert.equal(archive.state("gw-1")?.refused?.code, "forked");
  assert.match(faults.join(), /gw-1.*forked/);
  assert.deepEqual([verifyArchived(disk).ok, verifyArchived(disk).leaves], [true, 102]);
  assert.deepEqual(await shipAll(archive, node), { t: "held", size: 142, signed: 142 }, "the true log goes on");
  assert.equal(archive.state("gw-1")?.refused, null);
});

test("attack: a log put back to an old copy and continued is refused, whether it is shorter or longer than the archive", async () => {
  const disk = newDisk();
  const { archive } = openArchive(disk);
  const node = nodeLog();
  append(node, 0, 100);
  node.log.checkpoint();
  await shipAll(archive, node);
  const second = nodeLog();
  append(second, 500, 60);
  second.log.checkpoint();
  assert.equal(codeOf(await shipAll(archive, second)), "rolled-back");
  append(second, 560, 90);
  second.log.checkpoint();
  assert.equal(codeOf(await shipAll(archive, second)), "forked");
  const report = verifyArchived(disk);
  assert.deepEqual([report.problems, report.leaves], [[], 102]);
});

test("attack: the same size with another root is refused", async () => {
  const { archive } = openArchive(newDisk());
  const node = nodeLog();
  append(node, 0, 50);
  node.log.checkpoint();
  await shipAll(archive, node);
  const second = nodeLog();
  append(second, 900, 50);
  second.log.checkpoint();
  assert.equal(codeOf(await shipAll(archive, second)), "forked");
});

test("a node begun anew under its name in an empty directory does not touch the archive of the old one", async () => {
  const disk = newDisk();
  const { archive } = openArchive(disk);
  const node = nodeLog();
  append(node, 0, 50);
  node.log.checkpoint();
  await shipAll(archive, node);
  const before = [...disk.files()].map(([path, bytes]) => `${path} ${bytes.toString("hex")}`);
  const anew = nodeLog({ key: otherKey });
  append(anew, 0, 80);
  anew.log.checkpoint();
  assert.equal(codeOf(await shipAll(archive, anew, otherKey)), "key-changed");
  assert.equal(codeOf(await shipAll(openArchive(disk).archive, anew, otherKey)), "key-changed", "also after a restart");
  assert.deepEqual(
    [...disk.files()].map(([path, bytes]) => `${path} ${bytes.toString("hex")}`),
    before,
  );
});

test("attack: records of another node, of control's kinds, out of form, or with a reference that is not theirs are refused", async () => {
  const node = nodeLog();
  append(node, 0, 10);
  node.log.checkpoint();
  const { held, origins } = await originsOf(node);
  const origin = origins[0] ?? assert.fail();
  const [first, start, ...rest] = await held.read(origin.origin, 0, 12);
  const entryOf = (leaf: Uint8Array | undefined, reference?: Uint8Array): LogEntry => ({
    leaf: leaf ?? assert.fail(),
    reference,
  });
  const textOf = (leaf: Uint8Array | undefined) => Buffer.from(leaf ?? []).toString("latin1");
  const crossing = textOf(rest[0]?.leaf);
  const attacks: Readonly<Record<string, LogEntry>> = {
    "another node": entryOf(Buffer.from(crossing.replace('"node":"gw-1"', '"node":"gw-2"'))),
    "another environment": entryOf(
      Buffer.from(crossing.replace('"environment":"production"', '"environment":"staging"')),
    ),
    "an act of an operator": entryOf(sampleLeaf("admin", 3)),
    "not a leaf": entryOf(Buffer.from(crossing.replace('"v":1', '"v": 1'))),
    "a leaf with a member more": entryOf(Buffer.from(crossing.replace(/\}$/, ',"note":"x"}'))),
    "a second origin leaf": entryOf(first?.leaf),
    "another reference": entryOf(rest[0]?.leaf, Buffer.from("forged inputs")),
  };
  for (const [name, attack] of Object.entries(attacks)) {
    const { archive } = openArchive(newDisk());
    await present(archive, origin);
    const answer = await archive.ship(
      address,
      origin.origin,
      shipment(0, [entryOf(first?.leaf), entryOf(start?.leaf), attack]),
    );
    assert.deepEqual(answer, { t: "refused", code: "bad-records" }, name);
  }
  const { archive } = openArchive(newDisk());
  await present(archive, origin);
  const bytes = encodeEntries([entryOf(first?.leaf), entryOf(start?.leaf)]);
  const cut = { from: 0, count: 2, entries: bytes.subarray(0, bytes.length - 1) };
  assert.equal(codeOf(await archive.ship(address, origin.origin, cut)), "bad-records");
  const long = { from: 0, count: 1, entries: bytes };
  assert.equal(codeOf(await archive.ship(address, origin.origin, long)), "bad-records");
});

test("attack: a new year that does not name the end of the archived one is refused", async () => {
  const { archive } = openArchive(newDisk());
  const node = nodeLog();
  append(node, 0, 20);
  node.log.checkpoint();
  await shipAll(archive, node);
  const other = nodeLog();
  append(other, 700, 30);
  other.clock.now = nextYear;
  append(other, 730, 10);
  other.log.checkpoint();
  const { held, origins } = await originsOf(other);
  const next = origins.find(({ year }) => year === 2027) ?? assert.fail();
  await present(archive, next);
  const [first] = await held.read(next.origin, 0, 1);
  const entries = [{ leaf: first?.leaf ?? assert.fail() }];
  assert.equal(codeOf(await archive.ship(address, next.origin, shipment(0, entries))), "broken-chain");
});

test("nothing is taken beyond what was signed, out of its place, or before anything was signed", async () => {
  const disk = newDisk();
  const { archive } = openArchive(disk);
  const node = nodeLog();
  append(node, 0, 10);
  node.log.checkpoint();
  const { held, origins } = await originsOf(node);
  const origin = origins[0] ?? assert.fail();
  const read = async (from: number, count: number) =>
    shipment(
      from,
      (await held.read(origin.origin, from, count)).map(({ leaf, reference }) => ({
        leaf,
        reference: reference ?? undefined,
      })),
    );
  const nothing = { t: "held", size: 0, signed: 0 };
  assert.deepEqual(await archive.ship(address, origin.origin, await read(0, 5)), nothing, "before a checkpoint");
  await present(archive, origin);
  assert.deepEqual(await archive.ship(address, origin.origin, await read(3, 5)), nothing, "out of place");
  const more = await read(0, 12);
  const beyond = encodeEntries([{ leaf: sampleLeaf("crossing", 99) }]);
  const tooMany = { from: 0, count: 13, entries: Buffer.concat([more.entries, beyond]) };
  assert.deepEqual(await archive.ship(address, origin.origin, tooMany), nothing, "beyond what was signed");
  assert.equal(
    [...disk.files().keys()].some((path) => path.endsWith(".wal")),
    false,
  );
});

test("a full disk: the node is told to come later, nothing is torn, and it goes on when there is room", async () => {
  const disk = newDisk({ capacityBytes: 60_000 });
  const node = nodeLog();
  append(node, 0, 300);
  node.log.checkpoint();
  const first = openArchive(disk);
  const answer = await shipAll(first.archive, node);
  assert.deepEqual([answer.t, codeOf(answer)], ["later", "disk-full"]);
  assert.equal(first.archive.state("gw-1")?.trouble?.code, "disk-full");
  const larger = newDisk();
  for (const [path, bytes] of disk.files()) {
    for (const [i] of [...path.matchAll(/\//g)].entries())
      larger.makeDirectory(
        path
          .split("/")
          .slice(0, i + 1)
          .join("/") || "/",
      );
    const file = larger.open(path, "write");
    file.write(0, bytes);
    file.close();
  }
  assert.deepEqual(await shipAll(openArchive(larger).archive, node), { t: "held", size: 302, signed: 302 });
  assert.equal(verifyArchived(larger).ok, true);
  const low = openArchive(newDisk({ capacityBytes: 1_000_000 }), { lowSpaceBytes: 2_000_000 });
  assert.equal(codeOf(await shipAll(low.archive, node)), "disk-full");
});

test("a power cut at any act of shipping loses nothing that was acknowledged, and shipping goes on to the same archive", async () => {
  const node = nodeLog();
  append(node, 0, 200);
  node.log.checkpoint();
  let seed = 1;
  const random = () => {
    seed = (seed * 16_807) % 2_147_483_647;
    return seed / 2_147_483_647;
  };
  for (let acts = 1; acts < 90; acts += 1) {
    const disk = newDisk({ random });
    disk.syncDirectory("/");
    disk.losePowerAfter(acts);
    const { archive } = openArchive(disk);
    let acknowledged = { size: 0, signed: 0 };
    const { held, origins } = await originsOf(node);
    const origin = origins[0] ?? assert.fail();
    for (let step = 0; step < 12; step += 1) {
      const answer = await present(archive, origin);
      if (answer.t !== "held" || answer.signed === origin.size) break;
      acknowledged = answer;
      const records = await held.read(origin.origin, answer.size, 60);
      const entries = records.map(({ leaf, reference }) => ({ leaf, reference: reference ?? undefined }));
      const shipped = await archive.ship(address, origin.origin, shipment(answer.size, entries));
      if (shipped.t === "held") acknowledged = shipped;
    }
    disk.crash();
    if (disk.list("/data").length === 0 && acknowledged.size === 0) continue;
    const again = openArchive(disk);
    const standing = await present(again.archive, origin);
    assert.ok(standing.t === "held", `after ${acts} acts: ${JSON.stringify(standing)} ${again.faults}`);
    assert.ok(standing.signed >= acknowledged.signed, `after ${acts} acts: the proven part is there`);
    assert.deepEqual(await shipAll(again.archive, node), { t: "held", size: 202, signed: 202 }, `after ${acts} acts`);
    assert.deepEqual(verifyArchived(disk).problems, []);
  }
});

test("one changed byte of the archive is found by verification, and nothing more is taken onto it after a restart", async () => {
  const disk = newDisk();
  const node = nodeLog();
  append(node, 0, 200);
  node.log.checkpoint();
  await shipAll(openArchive(disk).archive, node);
  const path = [...disk.files().keys()].filter((name) => name.endsWith(".wal"))[1] ?? assert.fail();
  const bytes = Buffer.from(disk.files().get(path) ?? assert.fail());
  bytes.writeUInt8(bytes.readUInt8(400) ^ 1, 400);
  const file = disk.open(path, "write");
  file.write(0, bytes);
  file.close();
  assert.equal(verifyArchived(disk).ok, false);
  disk.unlink(`${folder}/2026/frontier`);
  append(node, 200, 10);
  node.log.checkpoint();
  const clock = { now: november };
  const { archive, faults } = openArchive(disk, { clock: { now: () => clock.now } });
  const answer = await shipAll(archive, node);
  assert.deepEqual([answer.t, codeOf(answer)], ["later", "archive-fault"]);
  assert.ok(
    faults.some((fault) => fault.includes(path)),
    `${faults}`,
  );
  clock.now += 3_600_000;
  append(node, 210, 10);
  node.log.checkpoint();
  await shipAll(archive, node);
  const [shown] = (await originsOf(node)).origins;
  const kept = { node: "gw-1", at: clock.now, note: shown?.checkpoint, origin: shown?.origin };
  // What a control plane that begins anew knows: the checkpoint it keeps, and its archive. The store answers with nothing else.
  const store = { run: async () => [kept] } as unknown as ControlParts["store"];
  // Of the files that it holds: they are not on the disk of this machine.
  archive.sizes = async () => new Map([[kept.origin ?? "", 202]]);
  const [{ leaves = 0, archived } = {}] = await keptLogs({ store, archive });
  assert.deepEqual([leaves, archived?.leaves, archived?.behind], [222, 202, 20]);
  assert.equal(archived?.behindSince, november, "since the first that was not taken, not the last");
  assert.ok(archived?.trouble?.includes(path), `${archived?.trouble}`);
});

test("attack: any one changed byte of any file of the archive is found and its file named, and in a segment the leaf", async () => {
  const disk = newDisk();
  const node = nodeLog();
  append(node, 0, 2);
  await shipAll(openArchive(disk).archive, node);
  node.clock.now = nextYear;
  node.log.turnYear();
  append(node, 2, 1);
  node.log.checkpoint();
  await shipAll(openArchive(disk).archive, node);
  assert.ok(verifyArchived(disk).ok);
  // Used only where it gives the signed root, and made again from the segments where it does not.
  const paths = [...disk.files().keys()].filter((path) => path.startsWith(folder) && !path.endsWith("/frontier"));
  const kinds = ["2026/wal/", "2027/wal/", "2026/checkpoint", "2027/checkpoint", "/log.vkey"];
  for (const kind of kinds)
    assert.ok(
      paths.some((path) => path.includes(kind)),
      `${kind}: ${paths}`,
    );
  const verifierKey = (disk.files().get(`${folder}/log.vkey`) ?? assert.fail()).toString("utf8").trim();
  const problems = (path: string) => {
    try {
      return verifyLogDirectory(folder, { verifierKey, disk, live: true }).problems;
    } catch (error) {
      // A refusal to verify at all names its file in words.
      return String(error instanceof LogFault && error.internal).includes(path) ? [{ file: path, index: 0 }] : [];
    }
  };
  for (const path of paths) {
    const before = Buffer.from(disk.files().get(path) ?? assert.fail(path));
    for (let at = 0; at < before.length; at++) {
      const file = disk.open(path, "write");
      file.write(at, Buffer.of((before[at] ?? 0) ^ (1 + ((at * 31) % 255))));
      const found = problems(path);
      file.write(at, before.subarray(at, at + 1));
      file.close();
      const isLocated = found.some((one) => one.file === path && (one.index !== null || !path.endsWith(".wal")));
      assert.ok(isLocated, `${path} byte ${at} of ${before.length}: ${JSON.stringify(found)}`);
    }
  }
  assert.ok(verifyArchived(disk).ok);
});

test("attack: a signature over leaves that control never got proves nothing", async () => {
  const { archive } = openArchive(newDisk());
  const name = "sallyport.local/main/production/gw-1/gateway/2026";
  const note = signNote(sha256, printCheckpointBody(name, 9, new Uint8Array(32)), {
    name,
    publicKey: key.publicKey,
    sign: key.sign,
  });
  const body = { origin: name, size: 9, root: new Uint8Array(32), extensions: [], note, publicKey: key.publicKey };
  assert.deepEqual(await archive.checkpoint(address, body), { t: "held", size: 0, signed: 0 });
  assert.equal(archive.state("gw-1")?.behind, 9);
});
