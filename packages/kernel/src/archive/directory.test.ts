import assert from "node:assert/strict";
import {
  chmodSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  symlinkSync,
  truncateSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, test } from "node:test";
import { startMs } from "./contract/for-each-archive.test-support.ts";
import { openDirectoryArchive } from "./directory.ts";
import { ArchiveFault, type ArchiveFaultCode } from "./fault.ts";
import { type FileActs, realFileActs } from "./file-acts.ts";

const folders: string[] = [];
after(() => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});

function newFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "sallyport-archive-directory-"));
  folders.push(folder);
  return folder;
}

const clock = { now: () => startMs };
const loose = { retainUntil: null, held: false };
const fault = (code: ArchiveFaultCode) => (error: unknown) => error instanceof ArchiveFault && error.code === code;

/** Files whose names no finished folder sync covers are gone at the cut. */
function losingActs(cutAfter: number): { readonly acts: FileActs; cut(): void } {
  const unsynced = new Map<string, Set<string>>();
  let left = cutAfter;
  const step = async <T>(act: () => Promise<T>): Promise<T> => {
    if (left <= 0) throw Object.assign(new Error("the power is gone"), { code: "EIO" });
    left -= 1;
    return act();
  };
  const named = (path: string) => {
    const names = unsynced.get(dirname(path)) ?? new Set();
    unsynced.set(dirname(path), names.add(path));
  };
  return {
    acts: {
      ...realFileActs,
      write: (path, bytes) => step(async () => realFileActs.write(path, bytes).then(() => named(path))),
      link: (from, to) => step(async () => realFileActs.link(from, to).then(() => named(to))),
      rename: (from, to) => step(async () => realFileActs.rename(from, to).then(() => named(to))),
      unlink: (path) => step(() => realFileActs.unlink(path)),
      syncFolder: (path) => step(async () => void unsynced.delete(path)),
    },
    cut: () => {
      for (const names of unsynced.values()) for (const path of names) if (existsSync(path)) unlinkSync(path);
    },
  };
}

test("after a power cut at any step an acknowledged object is there whole, and one that was not can be put again", async () => {
  let isDone = false;
  for (let cutAfter = 4; !isDone; cutAfter += 1) {
    const directory = newFolder();
    const power = losingActs(cutAfter);
    const archive = await openDirectoryArchive({ directory, clock, acts: power.acts });
    const put = (store: typeof archive) =>
      store.put("log/2026/1.wal", Buffer.alloc(1_000, 7), { retainUntil: startMs + 1, held: false });
    isDone = await put(archive).then(
      () => true,
      (error: unknown) => !(error instanceof ArchiveFault && error.code === "archive-unreachable"),
    );
    power.cut();
    const after = await openDirectoryArchive({ directory, clock });
    const found = await after.get("log/2026/1.wal");
    if (isDone) assert.equal(found?.length, 1_000);
    assert.ok(found === null || found.length === 1_000);
    await put(after);
    assert.equal((await after.stat("log/2026/1.wal"))?.retainUntil, startMs + 1);
    assert.ok(cutAfter < 40);
  }
});

test("a full volume is said to be full, and nothing half-written has the name", async () => {
  const directory = newFolder();
  const acts: FileActs = {
    ...realFileActs,
    write: async (path, bytes) => {
      if (path.includes(".new-")) {
        writeFileSync(path, bytes.subarray(0, 3));
        throw Object.assign(new Error("no space"), { code: "ENOSPC" });
      }
      await realFileActs.write(path, bytes);
    },
  };
  const archive = await openDirectoryArchive({ directory, clock, acts });
  await assert.rejects(archive.put("log/1.wal", Buffer.alloc(100), loose), fault("archive-full"));
  assert.equal(await archive.get("log/1.wal"), null);
  assert.deepEqual(await archive.list({ prefix: "", max: 10 }), []);
});

test("a directory that is not there, or not mounted, is not begun anew somewhere else", async () => {
  const directory = join(newFolder(), "not-mounted");
  await assert.rejects(openDirectoryArchive({ directory, clock }), fault("archive-unreachable"));
  assert.ok(!existsSync(directory));
});

test("a file system without second names is refused with the reason", async () => {
  const acts: FileActs = {
    ...realFileActs,
    link: async () => {
      throw Object.assign(new Error("not permitted"), { code: "EPERM" });
    },
  };
  const directory = newFolder();
  await assert.rejects(openDirectoryArchive({ directory, clock, acts }), fault("archive-unsuitable"));
  assert.deepEqual(readdirSync(directory), []);
});

test("attack: a symbolic link in the archive is neither listed nor followed", async () => {
  const directory = newFolder();
  const outside = join(newFolder(), "secret");
  writeFileSync(outside, "not yours");
  const archive = await openDirectoryArchive({ directory, clock });
  await archive.put("log/1.wal", Buffer.from("ours"), loose);
  symlinkSync(outside, join(directory, "log", "2.wal"));
  assert.deepEqual(await archive.list({ prefix: "log/", max: 10 }), [{ name: "log/1.wal", bytes: 4 }]);
  await assert.rejects(archive.get("log/2.wal"), ArchiveFault);
});

test("attack: a damaged note of what is kept frees nothing", async () => {
  const directory = newFolder();
  const archive = await openDirectoryArchive({ directory, clock });
  await archive.put("log/1.wal", Buffer.from("kept"), { retainUntil: startMs + 1_000, held: false });
  truncateSync(join(directory, "log", ".1.wal.keep"), 5);
  await assert.rejects(archive.remove("log/1.wal"), fault("archive-damaged"));
  assert.ok(existsSync(join(directory, "log", "1.wal")));
});

test("what is written there is for its owner alone", async () => {
  const directory = newFolder();
  chmodSync(directory, 0o755);
  const archive = await openDirectoryArchive({ directory, clock });
  await archive.put("log/1.wal", Buffer.from("x"), loose);
  const { statSync } = await import("node:fs");
  assert.equal(statSync(join(directory, "log")).mode & 0o777, 0o700);
  assert.equal(statSync(join(directory, "log", "1.wal")).mode & 0o777, 0o600);
});
