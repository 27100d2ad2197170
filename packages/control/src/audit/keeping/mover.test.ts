import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { openDirectoryArchive } from "@sallyport/kernel/archive/directory.ts";
import { realFileActs } from "@sallyport/kernel/archive/file-acts.ts";
import { Log } from "@sallyport/kernel/log/log.ts";
import { realDisk } from "@sallyport/kernel/log/real-disk.ts";
import { sampleLeaf } from "@sallyport/kernel/log/sample-leaves.ts";
import { archiveWarnings } from "./archive-warnings.ts";
import { retainedUntil } from "./decide-hold.ts";
import { ArchiveMover } from "./mover.ts";

import { sourcesBelow } from "./sources.ts";

const november = 1_795_305_600_000;
const disk = realDisk();
const folders: string[] = [];
after(() => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});

function newFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "sallyport-mover-"));
  folders.push(folder);
  return folder;
}

const crossings = (from: number, count: number) =>
  Array.from({ length: count }, (_, i) => ({ leaf: sampleLeaf("crossing", from + i) }));

function openLog(directory: string, node: string, now: () => number): Log {
  mkdirSync(directory, { recursive: true });
  const identity = {
    tenant: "main",
    environment: "production",
    region: "eu",
    node,
    role: "gateway",
    version: "0.1.0",
  } as const;
  return Log.open({ disk, directory, identity, now, lowSpaceBytes: 0, reserveBytes: 0 });
}

/** A control plane's data directory with its own log, an archived log of one gateway, and a store that can be told to fail. */
function setup() {
  const data = newFolder();
  const clock = { at: november, now: () => clock.at };
  const logs = {
    own: openLog(join(data, "log"), "control-1", clock.now),
    gateway: openLog(join(data, "archive", "main", "production", "gw-1"), "gw-1", clock.now),
  };
  const storeFolder = newFolder();
  const trouble: { write: string | null; open: string | null } = { write: null, open: null };
  const faults: string[] = [];
  let writes = 0;
  const acts: typeof realFileActs = {
    ...realFileActs,
    write: async (path, bytes) => {
      if (trouble.write !== null && path.includes(trouble.write))
        throw Object.assign(new Error("no"), { code: "ENOSPC" });
      if (path.includes("wal")) writes += 1;
      await realFileActs.write(path, bytes);
    },
  };
  const mover = new ArchiveMover({
    place: "the store",
    open: async () => {
      if (trouble.open !== null) throw new Error(trouble.open);
      return openDirectoryArchive({ directory: storeFolder, clock, acts });
    },
    sources: () => sourcesBelow(disk, data),
    keeping: async () => ({ retainUntil: retainedUntil(2026, 7), held: false }),
    sweep: async () => [],
    disk,
    clock,
    everyMs: 900_000,
    fault: (error) => void faults.push(error instanceof Error ? error.message : String(error)),
  });
  return { data, clock, logs, mover, trouble, faults, writes: () => writes };
}

const origin = (node: string) => `sallyport.local/main/production/${node}/gateway/2026`;

const sixteen = (n: number) => String(n).padStart(16, "0");

test("everything control holds is archived: its own log, and what it holds of its gateways", async () => {
  const { logs, mover } = setup();
  logs.own.append(crossings(0, 5));
  logs.gateway.append(crossings(0, 7));
  for (const log of Object.values(logs)) log.close();
  await mover.tick();
  assert.deepEqual(mover.standing(), {
    place: "the store",
    health: mover.standing().health,
    whole: 2,
    behind: [],
    fault: null,
    moved: { segments: 2, bytes: mover.moved.bytes, failures: 0 },
  });
  const stored = await Promise.all(
    ["control-1", "gw-1"].map((node, i) =>
      mover.store?.stat(`${origin(node)}/wal/${sixteen(0)}-${sixteen([7, 9][i] ?? 0)}.wal`),
    ),
  );
  assert.equal(
    mover.moved.bytes,
    stored.reduce((sum, one) => sum + (one?.bytes ?? assert.fail("not there")), 0),
  );
  assert.equal(mover.standing().health?.keptBy, "program");
  const stat = await mover.store?.stat(`${origin("gw-1")}/wal/0000000000000000-0000000000000009.wal`);
  assert.equal(stat?.retainUntil, Date.UTC(2034, 0, 1));
  await mover.stop();
});

test("what was signed and is not there yet is said with its age, and is archived when `every` has passed", async () => {
  const { clock, logs, mover, writes } = setup();
  logs.gateway.append(crossings(0, 5));
  logs.gateway.checkpoint();
  await mover.tick();
  const before = writes();
  clock.at += 60_000;
  logs.gateway.append(crossings(10, 3));
  logs.gateway.checkpoint();
  await mover.tick();
  assert.equal(writes(), before);
  assert.deepEqual(mover.standing().behind, [{ origin: origin("gw-1"), leaves: 3, since: clock.at, fault: null }]);
  assert.deepEqual(archiveWarnings(mover.standing(), clock.at), []);
  clock.at += 900_000;
  await mover.tick();
  assert.deepEqual(mover.standing().behind, []);
  assert.ok(writes() > before);
  // Nothing new: nothing is written again.
  const done = writes();
  clock.at += 900_000;
  await mover.tick();
  assert.equal(writes(), done);
  await mover.stop();
  logs.gateway.close();
  logs.own.close();
});

test("a log that fails holds up no other, is named with its reason, and is tried again after a pause that grows", async () => {
  const { clock, logs, mover, trouble, faults } = setup();
  for (const log of Object.values(logs)) {
    log.append(crossings(0, 5));
    log.close();
  }
  trouble.write = "gw-1";
  await mover.tick();
  const { behind, whole } = mover.standing();
  assert.equal(whole, 1);
  assert.equal(behind[0]?.origin, origin("gw-1"));
  assert.match(behind[0]?.fault ?? "", /full/);
  assert.match(
    archiveWarnings(mover.standing(), clock.at)[0] ?? "",
    /leaves of .*gw-1.* are not in the archive store: .*full/,
  );
  clock.at += 10_001;
  await mover.tick();
  // Twice the same fault is told once.
  assert.equal(faults.length, 1);
  trouble.write = null;
  clock.at += 15_000;
  await mover.tick();
  assert.equal(mover.standing().whole, 1, "it waits out its pause of 20 s");
  clock.at += 5_001;
  await mover.tick();
  assert.deepEqual(mover.standing().behind, []);
  await mover.stop();
});

test("a store that cannot be opened is said, and opened when it is back", async () => {
  const { clock, logs, mover, trouble, faults } = setup();
  for (const log of Object.values(logs)) log.close();
  trouble.open = "the mount is gone";
  await mover.tick();
  await mover.tick();
  assert.equal(mover.standing().fault, "the mount is gone");
  assert.deepEqual(faults, ["the mount is gone"]);
  assert.equal(mover.moved.failures, 1, "the second round came before it was due");
  assert.match(archiveWarnings(mover.standing(), clock.at)[0] ?? "", /does not work: the mount is gone/);
  trouble.open = null;
  clock.at += 10_001;
  await mover.tick();
  assert.equal(mover.standing().fault, null);
  assert.equal(mover.standing().whole, 2);
  await mover.stop();
});

test("a file that lies where a node's folder is expected, and a damaged checkpoint, hold up no other log", async () => {
  const { data, logs, mover } = setup();
  for (const log of Object.values(logs)) log.close();
  writeFileSync(join(data, "archive", "main", "stray"), "x");
  writeFileSync(join(data, "archive", "main", "production", "gw-1", "2026", "checkpoint"), "x\n");
  await mover.tick();
  assert.equal(mover.standing().whole, 1);
  assert.match(mover.standing().fault ?? "", /gw-1.2026.checkpoint/);
  await mover.stop();
});

test("the years of retention are counted from the end of a log's own year", () => {
  assert.equal(new Date(retainedUntil(2026, 7)).toISOString(), "2034-01-01T00:00:00.000Z");
});
