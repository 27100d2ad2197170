import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { Processes } from "./processes.ts";

test("a process that ends before it is ready is told apart from one that is slow, with what it printed", async () => {
  const directory = mkdtempSync(join(tmpdir(), "sallyport-processes-"));
  const processes = new Processes();
  try {
    const nowhere = processes.serve("gateway", ["--role", "gateway", "--data", join(directory, "data")]);
    await assert.rejects(nowhere, /gateway ended with exit code [1-4] before it was ready\n.+/s);
    assert.equal(processes.output().length, 1);
  } finally {
    await processes.stopAll();
    rmSync(directory, { recursive: true, force: true });
  }
});

test("a command's exit code and output come back, and its output is kept for the search", async () => {
  const processes = new Processes();
  const ended = await processes.run("nonsense", ["no-such-command"]);
  assert.equal(ended.code, 2);
  assert.match(ended.stderr, /no-such-command/);
  assert.match(processes.output()[0]?.text ?? "", /no-such-command/);
});

test("after the end nothing can be started, so nothing can be left behind", async () => {
  const processes = new Processes();
  await processes.stopAll();
  await assert.rejects(processes.run("late", ["--version"]), /no process is started any more/);
  await assert.rejects(processes.serve("late", []), /no process is started any more/);
});
