// Promises the log's one great promise tried on a real process and a real directory: after any number of `kill -9`, what was acknowledged is there with
// its own bytes, can be proved, and the log starts and verifies. Trusts the operating system to keep what a killed process had written.
import { spawn, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { printVerifierKey } from "@sallyport/protocol/audit/note.ts";
import { LogFault } from "./fault.ts";
import {
  killedFiles,
  killedIdentity,
  killedRecord,
  killedSegmentBytes,
  type RecordPart,
} from "./kill-writer.test-support.ts";
import { Log } from "./log.ts";
import { sha256 } from "./log-crypto.ts";
import { checkProof, prove } from "./prove.ts";
import { realDisk } from "./real-disk.ts";
import { seededRandom } from "./seeded-random.ts";
import { readCheckpointFile, verifyLogDirectory } from "./verify.ts";

export interface KillReport {
  readonly kills: number;
  readonly seed: number;
  /** Kills before the process said that its log is open: within the start. */
  readonly starting: number;
  readonly acknowledged: number;
  /** Acknowledged records that are not there with the same bytes at the same index, or whose proof does not hold. */
  readonly lost: number;
  /** Refused starts, directories that do not verify: `seed: what`. At most 20. */
  readonly failures: readonly string[];
}

/** Kills that one directory outlives. */
const livesPerDirectory = 10;
const recordsPerLife = 100_000;
const failuresMax = 20;

interface Acknowledged {
  readonly n: number;
  readonly part: RecordPart;
  readonly index: number;
}

interface Life {
  readonly isOpen: boolean;
  /** The process said no, or ended by itself. */
  readonly failure: string | null;
}

const script = new URL("./kill-writer.test-support.ts", import.meta.url).pathname;

interface Fate {
  readonly random: () => number;
  readonly env: NodeJS.ProcessEnv;
}

/** One process, killed so many milliseconds after it was started, or after it said that its log is open: its seed chooses. */
async function liveUntilKilled(args: readonly string[], { random, env }: Fate): Promise<Life> {
  const child = spawn(process.execPath, [script, ...args], { env, stdio: ["ignore", "pipe", "inherit"] });
  const exited = new Promise<string>((resolve) =>
    child.once("exit", (code, signal) => resolve(signal ?? `code ${code}`)),
  );
  const killIn = (milliseconds: number) => setTimeout(() => child.kill("SIGKILL"), milliseconds);
  const isEarly = random() < 0.25;
  const limit = random() * (isEarly ? 200 : 150);
  const timers = isEarly ? [killIn(limit)] : [];
  let isOpen = false;
  let failure: string | null = null;
  for await (const line of createInterface({ input: child.stdout })) {
    if (line === "open") isOpen = true;
    else failure ??= line;
    if (isOpen && !isEarly) timers.push(killIn(limit));
  }
  const end = await exited;
  for (const timer of timers) clearTimeout(timer);
  return { isOpen, failure: failure ?? (end === "SIGKILL" ? null : `the writer ended by itself (${end})`) };
}

function isThere(log: Log, { n, part, index }: Acknowledged): boolean {
  const { id, leaf, reference = Buffer.alloc(0) } = killedRecord(n, part);
  const found = log.find(id).find((record) => record.index === index);
  if (found === undefined || Buffer.compare(found.leaf, leaf) !== 0) return false;
  return Buffer.compare(found.reference ?? Buffer.alloc(0), reference) === 0;
}

function isProved(directory: string, verifierKey: string, { n, part, index }: Acknowledged): boolean {
  const { proof } = prove(directory, { index });
  return checkProof(proof, verifierKey, killedRecord(n, part).leaf).kind === "ok";
}

/** One directory and the lives it outlives. */
class KilledLog {
  readonly #folder: string;
  readonly #seed: number;
  readonly #random: () => number;
  readonly #env: NodeJS.ProcessEnv;
  #judged = 0;
  kills = 0;
  starting = 0;
  acknowledged = 0;
  lost = 0;
  failure: string | null = null;

  constructor(folder: string, seed: number, env: NodeJS.ProcessEnv) {
    mkdirSync(folder);
    this.#folder = folder;
    this.#seed = seed;
    this.#random = seededRandom(seed);
    this.#env = env;
  }

  async run(kills: number): Promise<void> {
    while (this.kills < kills && this.failure === null) {
      const args = [this.#folder, this.kills * recordsPerLife, Math.floor(this.#random() * 2 ** 32)].map(String);
      const { isOpen, failure } = await liveUntilKilled(args, { random: this.#random, env: this.#env });
      this.kills += 1;
      if (!isOpen) this.starting += 1;
      this.failure = failure;
      // Otherwise the next process starts from what this one left.
      if (this.failure === null && (this.#random() < 0.5 || this.kills === kills)) this.#judge();
    }
  }

  /** What was acknowledged since the last judgement. The kill may have torn the last line, which then nobody could have read. */
  #unjudged(): Acknowledged[] {
    const file = join(this.#folder, killedFiles.acknowledged);
    const lines = existsSync(file) ? readFileSync(file, "latin1").split("\n").slice(0, -1) : [];
    const fresh = lines.slice(this.#judged);
    this.#judged = lines.length;
    return fresh.map((line) => {
      const [part, n, index] = line.split(" ");
      return { part: part === "outcome" ? part : "record", n: Number(n), index: Number(index) };
    });
  }

  /** Starts the log as the next process would, and asks for everything that was promised. */
  #judge(): void {
    const directory = join(this.#folder, killedFiles.log);
    const checkpointCopies = join(this.#folder, killedFiles.copies);
    const records = this.#unjudged();
    this.acknowledged += records.length;
    try {
      const log = Log.open({
        ...{ disk: realDisk(), directory, identity: killedIdentity, now: Date.now },
        ...{ checkpointCopies, segmentBytesMax: killedSegmentBytes, reserveBytes: 4_096 },
      });
      const verifierKey = printVerifierKey(sha256, log.origin, log.publicKey);
      const there = records.filter((record) => isThere(log, record));
      log.close();
      // The last ones are those that a kill endangers.
      const asked = there.filter((_, i) => i >= there.length - 3 || this.#random() < 0.02);
      const unproved = asked.filter((record) => !isProved(directory, verifierKey, record));
      this.lost += records.length - there.length + unproved.length;
      const kept = readCheckpointFile(checkpointCopies) ?? "";
      const [first] = verifyLogDirectory(directory, { verifierKey, olderCheckpoints: [kept] }).problems;
      if (first !== undefined) this.failure = `does not verify: ${first.message} (${first.file})`;
    } catch (error) {
      this.failure = error instanceof LogFault ? `${error.code}: ${error.internal}` : String(error);
    }
  }

  get failures(): string[] {
    return this.failure === null ? [] : [`${this.#seed}: ${this.failure}`];
  }
}

/** One process that ends in order leaves its code compiled for all that are killed: half of their short lives would be compiling. */
function withCompiled(root: string): NodeJS.ProcessEnv {
  const env = { ...process.env, NODE_COMPILE_CACHE: join(root, "compiled") };
  mkdirSync(join(root, "whole"));
  spawnSync(process.execPath, [script, join(root, "whole")], { env, stdio: ["ignore", "ignore", "inherit"] });
  return env;
}

/** Kills `kills` processes over directories of their own, two at a time; the same seed chooses the same moments as far as a real machine can. */
export async function runKills({
  kills,
  seed,
}: {
  readonly kills: number;
  readonly seed: number;
}): Promise<KillReport> {
  const root = mkdtempSync(join(tmpdir(), "sallyport-kills-"));
  const env = withCompiled(root);
  const logs = Array.from(
    { length: Math.ceil(kills / livesPerDirectory) },
    (_, i) => new KilledLog(join(root, String(i)), seed + i, env),
  );
  const waiting = logs.entries();
  const lane = async () => {
    for (const [i, log] of waiting) await log.run(Math.min(livesPerDirectory, kills - i * livesPerDirectory));
  };
  try {
    await Promise.all([lane(), lane()]);
  } finally {
    rmSync(root, { recursive: true, force: true });
  }
  const sum = (of: "kills" | "starting" | "acknowledged" | "lost") => logs.reduce((total, log) => total + log[of], 0);
  return {
    ...{ kills: sum("kills"), seed, starting: sum("starting"), acknowledged: sum("acknowledged"), lost: sum("lost") },
    failures: logs.flatMap(({ failures }) => failures).slice(0, failuresMax),
  };
}
