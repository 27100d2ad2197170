import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { openLog } from "./log/log-thread.ts";
import { sampleIdentity, sampleLeaf } from "./log/sample-leaves.ts";
import { beginThread } from "./thread-ahead.ts";

const root = mkdtempSync(join(tmpdir(), "sallyport-ahead-"));
after(() => rmSync(root, { recursive: true, force: true }));
const here = (file: string) => JSON.stringify(new URL(file, import.meta.url).href);

function runs(code: string) {
  // A file: threads inherit the options of Node, and those for code on the command line are not for them.
  const program = join(root, "program.mjs");
  writeFileSync(program, code);
  const { status, signal, stdout, stderr } = spawnSync(process.execPath, [program], {
    encoding: "utf8",
    timeout: 60_000,
  });
  assert.equal(status, 0, `${signal} ${stderr}`);
  return stdout;
}

test("a log opens on a thread that was begun, and the next one on a thread of its own", async () => {
  beginThread("log");
  for (const directory of ["first", "second"]) {
    const log = await openLog({ directory: join(root, directory), identity: sampleIdentity });
    await log.append(sampleLeaf("crossing", 0));
    await log.close();
  }
});

test("a thread that nobody opens keeps no process alive, whether it ends by itself or is told to", () => {
  const begun = `const { beginThread } = await import(${here("thread-ahead.ts")}); beginThread("log"); beginThread("store");`;
  assert.equal(runs(`${begun} console.log("done");`), "done\n");
  // Long enough that both wait.
  assert.equal(runs(`${begun} setTimeout(() => { console.log("done"); process.exit(0); }, 1_000);`), "done\n");
});

test("a thread that died before it was opened is no harm: another is started", () => {
  const directory = JSON.stringify(join(root, "third"));
  const code = `
    import { Worker } from "node:worker_threads";
    const { beginThread } = await import(${here("thread-ahead.ts")});
    const { openLog } = await import(${here("log/log-thread.ts")});
    const { sampleIdentity } = await import(${here("log/sample-leaves.ts")});
    let begun;
    const { unref } = Worker.prototype;
    Worker.prototype.unref = function () { begun = this; return unref.call(this); };
    beginThread("log");
    Worker.prototype.unref = unref;
    await begun.terminate();
    const log = await openLog({ directory: ${directory}, identity: sampleIdentity });
    await log.close();
    console.log("closed");
  `;
  assert.equal(runs(code), "closed\n");
});

test("a module that cannot be read ahead is no fault of the thread: what needs it finds out", async () => {
  beginThread("log", ["file:///nowhere/at-all.ts"]);
  const log = await openLog({ directory: join(root, "fourth"), identity: sampleIdentity });
  await log.close();
});
