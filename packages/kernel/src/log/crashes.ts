// Promises to try the log's one great promise: over seeded crashes of a disk that loses whatever was not synced, nothing acknowledged is lost,
// every signed checkpoint still holds and the log still verifies. Trusts lossy-disk.ts to be harsher than real disks.
// Alone: `node packages/kernel/src/log/crashes.ts --seeds 1000 --from 0` ends in one JSON line.
import { createHash } from "node:crypto";
import { parseArgs } from "node:util";
import { printVerifierKey } from "@sallyport/protocol/audit/note.ts";
import { errorCode } from "./disk.ts";
import { LogFault } from "./fault.ts";
import { Log, type LogOptions } from "./log.ts";
import { importLogKey, sha256 } from "./log-crypto.ts";
import { LossyDisk, PowerLost } from "./lossy-disk.ts";
import { sampleId, sampleIdentity, sampleLeaf } from "./sample-leaves.ts";
import { seededRandom } from "./seeded-random.ts";
import { verifyLogDirectory } from "./verify.ts";

export interface CrashOptions {
  readonly seeds: number;
  readonly from: number;
  /** The suite's own test: what if the log did not sync these files? */
  readonly syncDoesNothing?: (path: string) => boolean;
}

export interface CrashReport {
  readonly seeds: number;
  readonly from: number;
  readonly crashes: number;
  /** Records acknowledged before a crash, over all seeds. */
  readonly acknowledged: number;
  /** Records refused because the disk was full. */
  readonly refused: number;
  /** Acknowledged records that are not there afterwards with the same bytes, or not to be had because the start is refused. */
  readonly lost: number;
  /** Starts refused, checkpoints not met, directories that do not verify: `seed: what`. At most 20. */
  readonly failures: readonly string[];
}

const livesPerSeed = 3;
const stepsPerLife = 40;
const failuresMax = 20;
const newYear2027 = 1_798_761_600_000;
/** An Ed25519 key of the suite's own (RFC 8410 §10.3), so that no seed depends on chance. */
const suiteKey = Buffer.from(
  "302e020100300506032b657004220420d4ee72dbf913584ad5b6d8f1f769f8ad3afe7c28cbf1d4fbe097a88f44755842",
  "hex",
);
interface Acknowledged {
  readonly leaf: Uint8Array;
  readonly reference: Uint8Array | undefined;
  readonly index: number;
}

/** A sync that failed: the log ends, and what survives the restart is as after a crash. */
class SyncLost extends Error {
  readonly code = "EIO";
}

/** Whatever was under way when the power went or the disk failed, its cause says so. */
function isEndOfLife(error: unknown): boolean {
  if (error instanceof PowerLost || error instanceof SyncLost) return true;
  if (error instanceof LogFault && error.code === "log-closed" && errorCode(error.cause) === "ENOSPC") return true;
  return error instanceof Error && error.cause !== undefined && isEndOfLife(error.cause);
}

/** The log goes on: the disk is full, or was when the copy outside was to be written. */
const isPassing = (error: unknown) =>
  error instanceof LogFault &&
  (error.code === "disk-full" || (error.code === "copy-failed" && errorCode(error.cause) === "ENOSPC"));

/** One seed: a log that lives, loses power somewhere, and lives again. */
class CrashRun {
  readonly #random: () => number;
  readonly #disk: LossyDisk;
  readonly #options: LogOptions;
  readonly #acknowledged = new Map<string, Acknowledged[]>();
  readonly #notes: string[] = [];
  readonly #openIntents: number[] = [];
  #now: number;
  #next = 0;
  crashes = 0;
  count = 0;
  refused = 0;
  lost = 0;
  failure: string | null = null;

  constructor(seed: number, syncDoesNothing: (path: string) => boolean) {
    const random = seededRandom(seed);
    this.#random = random;
    this.#now = newYear2027 - Math.floor(random() * 200);
    this.#disk = new LossyDisk({ random, syncDoesNothing });
    this.#disk.makeDirectory("/elsewhere");
    this.#disk.syncDirectory("/");
    this.#options = {
      disk: this.#disk,
      directory: "/log",
      identity: sampleIdentity,
      now: () => this.#now++,
      key: importLogKey(suiteKey),
      checkpointCopies: "/elsewhere/copies",
      segmentBytesMax: 2_000 + Math.floor(random() * 8_000),
      lowSpaceBytes: 0,
      reserveBytes: 64,
    };
  }

  run(): void {
    for (let life = 0; life < livesPerSeed && this.failure === null; life++) {
      this.#disk.losePowerAfter(Math.floor(this.#random() * 160));
      this.#live();
      this.#disk.crash();
      this.#disk.capacity = Number.POSITIVE_INFINITY;
      this.#disk.failNextSync = null;
      this.crashes += 1;
    }
    if (this.failure === null) this.#check();
  }

  #live(): void {
    // Recovery writes `unknown` for intents of an earlier life; another outcome would be a second one.
    this.#openIntents.length = 0;
    try {
      const log = Log.open(this.#options);
      for (let step = 0; step < stepsPerLife; step++) this.#step(log);
      this.#disk.capacity = Number.POSITIVE_INFINITY;
      log.close();
    } catch (error) {
      if (isEndOfLife(error)) return;
      this.#fail(error);
    }
  }

  #fail(error: unknown): void {
    this.lost = this.count;
    this.failure =
      error instanceof LogFault
        ? `${error.code}: ${error.internal}`
        : String(error instanceof Error ? error.stack : error);
  }

  #step(log: Log): void {
    this.#trouble();
    const choice = this.#random();
    if (choice < 0.06) this.#checkpoint(log);
    else if (choice < 0.18) this.#checkpointLater(log);
    else if (choice < 0.21) this.#now += 100;
    else if (choice < 0.26) log.find(sampleId(Math.floor(this.#random() * (this.#next + 1))));
    else this.#append(log);
    if (this.#random() < 0.7) log.absorb();
    if (this.#random() < 0.5) log.settleLater();
    // What other threads were asked to sync finishes in any order, while more is appended.
    for (let i = Math.floor(this.#random() * 6); i > 0; i--) this.#disk.finishBegun(this.#random());
    if (log.ended !== null) throw log.ended;
  }

  #checkpoint(log: Log): void {
    try {
      this.#notes.push(log.checkpoint());
    } catch (error) {
      if (!isPassing(error)) throw error;
    }
  }

  /** As the log's thread does it: step by step, with appends between. */
  #checkpointLater(log: Log): void {
    if (log.isSigning) return;
    log.checkpointLater((end) => {
      if (end.kind === "done") this.#notes.push(end.value);
    });
  }

  #append(log: Log): void {
    // One tick of a small crowd, up to a batch that fills several tiles' worth now and then.
    const size = this.#random() < 0.05 ? 300 : 1 + Math.floor(this.#random() * 6);
    // Half of the batches seal once for all of their leaves, as a gateway does.
    const shared = this.#random() < 0.5 ? Buffer.from(`sealed inputs of ${size} from ${this.#next}`) : undefined;
    const batch = Array.from({ length: size }, () => this.#entry(shared));
    const result = log.append(
      batch.map(({ leaf, reference }) => (reference === undefined ? { leaf } : { leaf, reference })),
    );
    const refused = new Set(result.refused.map(({ place }) => place));
    let index = result.first;
    for (const [place, { n, id, type, leaf, reference }] of batch.entries()) {
      if (refused.has(place)) {
        this.refused += 1;
        continue;
      }
      const known = this.#acknowledged.get(id) ?? [];
      known.push({ leaf, reference, index: index++ });
      this.#acknowledged.set(id, known);
      this.count += 1;
      if (type === "intent") this.#openIntents.push(n);
    }
  }

  #entry(shared: Buffer | undefined) {
    const choice = this.#random();
    const open = choice < 0.25 ? this.#openIntents.pop() : undefined;
    if (open !== undefined)
      return { n: open, id: sampleId(open), type: "outcome", leaf: sampleLeaf("outcome", open), reference: undefined };
    const n = this.#next++;
    const own = this.#random() < 0.4 ? Buffer.from(`sealed inputs of ${n} `.repeat(1 + (n % 5))) : undefined;
    const reference = own ?? shared;
    const inputs = reference === undefined ? null : createHash("sha256").update(reference).digest("hex");
    const type = choice < 0.5 ? "intent" : choice < 0.6 ? "admin" : "crossing";
    return { n, id: sampleId(n), type, leaf: sampleLeaf(type, n, inputs), reference };
  }

  /** Now and then the disk is full for a while, or one sync fails and what it was to cover may be lost. */
  #trouble(): void {
    const choice = this.#random();
    if (choice < 0.02) this.#disk.capacity = this.#disk.usedBytes() + Math.floor(this.#random() * 3_000);
    else if (choice < 0.06) this.#disk.capacity = Number.POSITIVE_INFINITY;
    else if (choice < 0.064) this.#disk.failNextSync = new SyncLost("input/output error");
  }

  /** Power is back for good: is everything there that was promised? */
  #check(): void {
    try {
      const log = Log.open(this.#options);
      for (const [id, records] of this.#acknowledged) this.#compare(log, id, records);
      const verifierKey = printVerifierKey(sha256, log.origin, importLogKey(suiteKey).publicKey);
      log.close();
      const report = verifyLogDirectory("/log", { verifierKey, olderCheckpoints: this.#notes, disk: this.#disk });
      if (!report.ok)
        this.failure = `does not verify: ${report.problems[0]?.message ?? "?"} (${report.problems[0]?.file ?? "?"})`;
    } catch (error) {
      this.#fail(error);
    }
  }

  #compare(log: Log, id: string, records: readonly Acknowledged[]): void {
    const found = log.find(id);
    for (const { leaf, reference, index } of records) {
      const there = found.some(
        (record) =>
          record.index === index &&
          Buffer.compare(record.leaf, leaf) === 0 &&
          Buffer.compare(record.reference ?? Buffer.alloc(0), reference ?? Buffer.alloc(0)) === 0,
      );
      if (!there) this.lost += 1;
    }
  }
}

/** Runs seeds `from` to `from + seeds - 1`; the same seeds give the same report. */
export function runCrashes({ seeds, from, syncDoesNothing = () => false }: CrashOptions): CrashReport {
  const report = { seeds, from, crashes: 0, acknowledged: 0, refused: 0, lost: 0, failures: [] as string[] };
  for (let seed = from; seed < from + seeds; seed++) {
    const run = new CrashRun(seed, syncDoesNothing);
    run.run();
    report.crashes += run.crashes;
    report.acknowledged += run.count;
    report.refused += run.refused;
    report.lost += run.lost;
    if (run.failure !== null && report.failures.length < failuresMax) report.failures.push(`${seed}: ${run.failure}`);
  }
  return report;
}

if (import.meta.main) {
  const { values } = parseArgs({
    options: { seeds: { type: "string", default: "1000" }, from: { type: "string", default: "0" } },
  });
  const report = runCrashes({ seeds: Number(values.seeds), from: Number(values.from) });
  process.stdout.write(`${JSON.stringify(report)}\n`);
  process.exitCode = report.lost === 0 && report.failures.length === 0 ? 0 : 1;
}
