import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import type { OpenedLog } from "@sallyport/kernel/log/log-client.ts";
import { openLog } from "@sallyport/kernel/log/log-thread.ts";
import { sampleLeaf } from "@sallyport/kernel/log/sample-leaves.ts";
import { Follower } from "./follower.ts";

const module = new URL("./counting-fold.test-support.ts", import.meta.url).href;
const counting = (id: string, options: Record<string, string> = {}) => ({
  ...{ id, module, options: { file: `${id}.json`, ...options } },
});

let directory: string;
let log: OpenedLog;
const faults: string[] = [];
let follower: Follower;

before(async () => {
  directory = mkdtempSync(join(tmpdir(), "sallyport-follower-"));
  log = await openLog({
    directory: join(directory, "log"),
    identity: {
      ...{ tenant: "main", environment: "sallyport", region: "default", node: "control-1" },
      ...{ role: "control", version: "0.1.0" },
    },
    checkpointIntervalMs: 0,
  });
  follower = new Follower({
    dataDirectory: directory,
    services: { greet: async (input) => `control greets ${String(input)}` },
    fault: (error) => void faults.push(error instanceof Error ? error.message : "unknown"),
  });
});
after(async () => {
  await follower.close();
  await log.close();
  rmSync(directory, { recursive: true, force: true });
});

/** Asks until the fold has taken so many records. */
async function taken(fold: string, count: number): Promise<void> {
  for (let tries = 0; tries < 1_200; tries++) {
    const [answer] = (await follower.ask(fold, "how many")) as number[];
    if (answer === count) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  assert.fail(`${fold} has not taken ${count} records: ${JSON.stringify(await follower.standing())}`);
}

test("folds take what is signed for and what is appended later, each by itself, and one that cannot be made stops none", async () => {
  await log.checkpoint();
  await follower.order([counting("first"), counting("broken", { refuse: "the disk is missing" })]);
  await taken("first", log.size());
  for (let i = 0; i < 10; i++) await log.append(sampleLeaf("admin", i));
  await log.checkpoint();
  await taken("first", log.size());
  const { folds } = await follower.standing();
  assert.deepEqual(folds, [
    { id: "first", behind: 0, behindSince: null, fault: null },
    { id: "broken", behind: 0, behindSince: null, fault: "the disk is missing" },
  ]);
  assert.ok(
    faults.some((text) => text === "broken cannot follow the log: the disk is missing"),
    faults.join("\n"),
  );
  await assert.rejects(follower.ask("broken", "how many"), /the disk is missing/);
  await assert.rejects(follower.ask("nobody", "how many"), /there is no nobody here/);
});

test("a fold asks control by name, and is told when control does not serve that", async () => {
  assert.equal(await follower.ask("first", "control"), "control greets first");
  await assert.rejects(follower.ask("first", "nobody"), /control has no nobody/);
});

test("a bug that ends the thread is said, every question is answered, and the folds start again behind their places", async () => {
  const questions = ["die", "how many", "how many"].map((question) => follower.ask("first", question));
  assert.equal((await Promise.allSettled(questions)).length, 3);
  let again: unknown = null;
  for (let tries = 0; tries < 1_200 && again === null; tries++) {
    again = await follower.ask("first", "how many").catch(() => null);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  assert.deepEqual(again, [log.size()]);
  assert.ok(faults.includes("a bug of a fold"), faults.join("\n"));
  assert.ok(faults.some((text) => text.startsWith("what follows the log ended")));
});

test("a fold that is no longer ordered ends, and one whose options changed begins anew", async () => {
  await follower.order([counting("first", { file: "other.json" })]);
  await taken("first", log.size());
  await assert.rejects(follower.ask("broken", "how many"), /there is no broken here/);
});

test("whoever asks while folds are being made is answered by them", async () => {
  const ordered = follower.order([counting("first", { file: "other.json" }), counting("late", { asks: "greet" })]);
  const answers = await Promise.allSettled([follower.ask("late", "how many"), follower.standing()]);
  assert.deepEqual(
    answers.map(({ status }) => status),
    ["fulfilled", "fulfilled"],
  );
  await ordered;
});
