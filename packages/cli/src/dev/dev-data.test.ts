import assert from "node:assert/strict";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { CommandEnd } from "../exit.ts";
import { openDevData, removeDevData } from "./dev-data.ts";

function emptyFolder(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), "sallyport-dev-data-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

const isRefused = (error: unknown): boolean =>
  error instanceof CommandEnd && /came with the folder/.test(error.message);

test("a directory that dev made is dev's the next time, and its owner's alone", (t) => {
  const data = join(emptyFolder(t), ".sallyport");
  openDevData(data, false);
  assert.equal(statSync(data).mode & 0o777, 0o700);
  writeFileSync(join(data, "kept"), "");
  openDevData(data, false);
  assert.ok(existsSync(join(data, "kept")));
  openDevData(data, true);
  assert.ok(!existsSync(join(data, "kept")));
  removeDevData(data);
  assert.ok(!existsSync(data));
});

test("attack: a repository whose mark is a link to a file of the user: that file is not written to, nothing is removed", (t) => {
  const folder = emptyFolder(t);
  const victim = join(folder, "victim");
  writeFileSync(victim, "mine", { mode: 0o600 });
  const data = join(folder, ".sallyport");
  mkdirSync(data);
  symlinkSync(victim, join(data, "made-by-dev"));
  for (const fresh of [false, true]) assert.throws(() => openDevData(data, fresh), isRefused);
  symlinkSync(join(folder, "none"), join(data, "also"));
  rmSync(join(data, "made-by-dev"));
  symlinkSync(join(folder, "none"), join(data, "made-by-dev"));
  assert.throws(() => openDevData(data, false), isRefused);
  removeDevData(data);
  assert.equal(readFileSync(victim, "utf8"), "mine");
  assert.ok(!existsSync(join(folder, "none")));
  assert.ok(existsSync(data));
});

test("attack: a data directory that was checked out with the estate is not taken for one that dev made", {
  skip: process.platform === "win32",
}, (t) => {
  const data = join(emptyFolder(t), ".sallyport");
  mkdirSync(join(data, "clients"), { recursive: true });
  writeFileSync(join(data, "made-by-dev"), "");
  chmodSync(join(data, "made-by-dev"), 0o644);
  assert.throws(() => openDevData(data, false), isRefused);
});
