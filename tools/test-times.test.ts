import assert from "node:assert/strict";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { longestFirst, slowest, writeTimes } from "./test-times.ts";

const root = dirname(import.meta.dirname);
const table: Readonly<Record<string, number>> = JSON.parse(
  readFileSync(join(root, "tools", "test-times.json"), "utf8"),
);

test("files that take long run first, all others by path, and none is lost", () => {
  const [long = "", shorter = ""] = Object.keys(table);
  const some = ["packages/b.test.ts", shorter, "packages/a.test.ts", long];
  assert.deepEqual(some.sort(longestFirst(root)), [long, shorter, "packages/a.test.ts", "packages/b.test.ts"]);
});

test("the table names files that exist, the longest first", () => {
  assert.deepEqual(
    Object.keys(table).filter((path) => !existsSync(join(root, path))),
    [],
    "renamed or gone: correct the row in tools/test-times.json",
  );
  const seconds = Object.values(table);
  assert.deepEqual(
    seconds,
    seconds.toSorted((a, b) => b - a),
  );
});

test("what a run took is told for the ten longest and kept for all", (t) => {
  const folder = mkdtempSync(join(tmpdir(), "sallyport-times-"));
  t.after(() => rmSync(folder, { recursive: true }));
  const fileMs = new Map(Array.from({ length: 12 }, (_, n) => [`packages/${n}.test.ts`, n * 1_000 + 40]));
  const lines = slowest(fileMs);
  assert.equal(lines.length, 10);
  assert.match(lines[0] ?? "", /^slow +11\.0 s {2}packages\/11\.test\.ts$/);
  writeTimes(folder, fileMs);
  const kept = JSON.parse(readFileSync(join(folder, "build", "test-times.json"), "utf8"));
  assert.deepEqual(
    [Object.keys(kept).length, Object.keys(kept)[0], kept["packages/11.test.ts"]],
    [12, "packages/11.test.ts", 11],
  );
});
