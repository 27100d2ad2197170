import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { copyRunning } from "./copy-running.ts";

test("a copy has everything but locks, files on their way to another name, and what is left out", () => {
  const root = mkdtempSync(join(tmpdir(), "sallyport-copy-"));
  try {
    const from = join(root, "from");
    for (const folder of ["wal", "left-out"]) mkdirSync(join(from, folder), { recursive: true });
    for (const name of ["head", "head.new", "node.json.staged", "lock", "lock-shm", "wal/1.wal", "left-out/a"])
      writeFileSync(join(from, name), name);
    const to = join(root, "to");
    copyRunning(from, to, (path) => path === join(from, "left-out"));
    assert.deepEqual(readdirSync(to, { recursive: true }).toSorted(), ["head", "wal", "wal/1.wal"]);
  } finally {
    rmSync(root, { recursive: true, force: true });
  }
});

test("a directory that is not there is said to be so, after a bounded number of attempts", () => {
  assert.throws(
    () => copyRunning(join(tmpdir(), "sallyport-no-such-directory"), join(tmpdir(), "sallyport-nowhere")),
    /ENOENT/,
  );
});
