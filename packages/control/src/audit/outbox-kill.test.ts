// Attack: control is killed between an act and its record, at every step between the two. Real store, real log, a real SIGKILL.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { parseLeaf } from "@sallyport/protocol/audit/leaf-format.ts";
import { act, adminLogOf, killSteps, openPlace } from "./outbox-kill.test-support.ts";

const folder = mkdtempSync(join(tmpdir(), "sallyport-outbox-kill-"));
after(() => rmSync(folder, { recursive: true, force: true }));

/** Starts the process, waits until it says where it stands, and kills it there. */
async function killAt(step: string, data: string): Promise<void> {
  const script = new URL("./outbox-kill.test-support.ts", import.meta.url).pathname;
  const child = spawn(process.execPath, [script, data, step], { stdio: ["ignore", "pipe", "inherit"] });
  const exited = new Promise<NodeJS.Signals | null>((resolve) =>
    child.once("exit", (_code, signal) => resolve(signal)),
  );
  child.stdout.once("data", () => child.kill("SIGKILL"));
  assert.equal(await exited, "SIGKILL");
}

/** Objects of every suspension in the log, in order: segments hold the leaves as they are. */
function suspended(data: string): readonly string[] {
  const years = readdirSync(join(data, "log")).filter((name) => /^\d{4}$/.test(name));
  const segments = years.flatMap((year) =>
    readdirSync(join(data, "log", year, "wal"))
      .sort()
      .map((name) => join(data, "log", year, "wal", name)),
  );
  const leaves = segments.flatMap((path) => readFileSync(path, "latin1").match(/\{"v":1,"t":"admin"[^{}]*\}/g) ?? []);
  return leaves.flatMap((text) => {
    const leaf = parseLeaf(Buffer.from(text));
    return leaf.t === "admin" && leaf.action === "integration.suspend" ? [leaf.object] : [];
  });
}

for (const step of killSteps)
  test(`attack: killed when the act is ${step}: after the next start its record is in the log, once, and the next act's behind it`, {
    timeout: 120_000,
  }, async () => {
    const data = join(folder, step);
    await killAt(step, data);
    const place = await openPlace(data);
    try {
      await act(place, "after-the-kill");
      // The lease of the process that is gone is this node's own.
      const adminLog = adminLogOf(place);
      await adminLog.drain();
      // The first one made the pseudonym key of the environment, which is a record of its own.
      await adminLog.drain();
      assert.equal((await place.store.run("outboxBacklog", null)).count, 0);
    } finally {
      await place.close();
    }
    assert.deepEqual(suspended(data), [`integration/while-${step}`, "integration/after-the-kill"]);
  });
