// For tests: a process that appends to a real log until somebody kills it, and says what was acknowledged the moment it was. Trusts its arguments:
// folder, number of its first record (without one it only opens and closes), seed. The judge (kills.test-support.ts) makes the same records again by number.
import { createHash } from "node:crypto";
import { openSync, writeSync } from "node:fs";
import { join } from "node:path";
import { LogFault } from "./fault.ts";
import type { OpenedLog } from "./log-client.ts";
import { openLog } from "./log-thread.ts";
import { sampleId, sampleLeaf } from "./sample-leaves.ts";
import { seededRandom } from "./seeded-random.ts";

/** Small, so that a life of some hundred records begins several segments. */
export const killedSegmentBytes = 20_000;
export const killedIdentity = {
  tenant: "main",
  environment: "production",
  region: "eu",
  node: "gw-1",
  role: "gateway",
  version: "0.1.0",
} as const;

/** After so many it only waits to be killed. */
const recordsPerLifeMax = 300;

export type RecordPart = "record" | "outcome";

/** The n-th record: every fifth is an intent, every third has a sealed reference; `outcome` is what ends that intent. */
export function killedRecord(n: number, part: RecordPart): { id: string; leaf: Uint8Array; reference?: Uint8Array } {
  const id = sampleId(n);
  if (part === "outcome") return { id, leaf: sampleLeaf("outcome", n) };
  const type = n % 5 === 0 ? "intent" : n % 5 === 1 ? "admin" : "crossing";
  if (n % 3 !== 0) return { id, leaf: sampleLeaf(type, n) };
  const reference = Buffer.from(`sealed inputs of ${n} `.repeat(1 + (n % 7)));
  return { id, leaf: sampleLeaf(type, n, createHash("sha256").update(reference).digest("hex")), reference };
}

/** In the folder of a killed log: the log, copies of its checkpoints, and one line for each acknowledged record. */
export const killedFiles = { log: "log", copies: "copies", acknowledged: "acknowledged" } as const;

interface Writing {
  readonly log: OpenedLog;
  /** File opened for appending: a line is with the operating system when the write returns, and no kill takes it back. */
  readonly lines: number;
}

async function append({ log, lines }: Writing, n: number, part: RecordPart): Promise<void> {
  const { leaf, reference } = killedRecord(n, part);
  const { index } = await log.append(leaf, reference);
  writeSync(lines, `${part} ${n} ${index}\n`);
}

/** Bursts of every size, with checkpoints asked for beside those of the clock. */
async function write(writing: Writing, from: number, random: () => number): Promise<void> {
  for (let n = from; n < from + recordsPerLifeMax; ) {
    const burst = Array.from({ length: 1 + Math.floor(random() ** 3 * 60) }, () => n++);
    if (random() < 0.1) writing.log.checkpoint().catch(refused);
    await Promise.all(burst.map((record) => append(writing, record, "record")));
    const intents = burst.filter((record) => record % 5 === 0 && random() < 0.7);
    await Promise.all(intents.map((record) => append(writing, record, "outcome")));
  }
}

function refused(error: unknown): void {
  process.stdout.write(`failed ${error instanceof LogFault ? `${error.code}: ${error.internal}` : String(error)}\n`);
}

const [, , folder, from, seed] = process.argv;
if (import.meta.main && folder !== undefined) {
  try {
    const log = await openLog({
      ...{ directory: join(folder, killedFiles.log), checkpointCopies: join(folder, killedFiles.copies) },
      ...{ identity: killedIdentity, segmentBytesMax: killedSegmentBytes, reserveBytes: 4_096 },
      ...{ checkpointIntervalMs: 7, onAlarm: refused, onEnded: refused },
    });
    process.stdout.write("open\n");
    if (from === undefined) await log.close();
    const lines = openSync(join(folder, killedFiles.acknowledged), "a");
    if (from !== undefined) await write({ log, lines }, Number(from), seededRandom(Number(seed)));
  } catch (error) {
    refused(error);
  }
}
