// Promises the log's thread under many writers while readers prove what was acknowledged: every acknowledged record is included, byte for byte, in a
// published checkpoint, and every checkpoint extends the one before. Trusts only the verifier key. Specified in docs/control.md "Soaks".
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { readTileFile } from "@sallyport/kernel/log/derived.ts";
import type { OpenedLog } from "@sallyport/kernel/log/log-client.ts";
import { noteCrypto, sha256 } from "@sallyport/kernel/log/log-crypto.ts";
import { openLog } from "@sallyport/kernel/log/log-thread.ts";
import { checkProof, prove } from "@sallyport/kernel/log/prove.ts";
import { realDisk } from "@sallyport/kernel/log/real-disk.ts";
import { sampleId, sampleIdentity, sampleLeaf } from "@sallyport/kernel/log/sample-leaves.ts";
import { seededRandom } from "@sallyport/kernel/log/seeded-random.ts";
import { verifyLogDirectory } from "@sallyport/kernel/log/verify.ts";
import { type Checkpoint, verifyCheckpoint } from "@sallyport/protocol/audit/checkpoint.ts";
import { parseVerifierKey } from "@sallyport/protocol/audit/note.ts";
import { consistencyProof, verifyConsistency } from "@sallyport/protocol/audit/proof.ts";
import { tileHashReader } from "@sallyport/protocol/audit/tiles.ts";
import type { SoakOptions } from "./soak-installation.ts";

const writers = 16;
const burstMax = 64;
/** Records proved after each checkpoint. */
const proofsPerCheckpoint = 8;
const failuresMax = 20;
export interface HammerReport {
  readonly soak: "hammer";
  readonly seed: number;
  readonly appended: number;
  readonly checkpoints: number;
  readonly proofs: number;
  readonly failures: readonly string[];
  readonly ok: boolean;
}

class Hammer {
  readonly #log: OpenedLog;
  readonly #directory: string;
  readonly #random: () => number;
  /** Index in the log of the n-th record; -1: not acknowledged. */
  readonly #indexes: number[] = [];
  readonly failures: string[] = [];
  checkpoints = 0;
  proofs = 0;
  isOver = false;

  constructor(log: OpenedLog, directory: string, random: () => number) {
    this.#log = log;
    this.#directory = directory;
    this.#random = random;
  }

  get appended(): number {
    return this.#indexes.length;
  }

  async write(): Promise<void> {
    while (!this.isOver) {
      const burst = Array.from({ length: 1 + Math.floor(this.#random() * burstMax) }, async () => {
        const n = this.#indexes.push(-1) - 1;
        const { index } = await this.#log.append(sampleLeaf("crossing", n));
        this.#indexes[n] = index;
      });
      await Promise.all(burst);
    }
  }

  async read(rounds: number, untilMs: number): Promise<void> {
    let before: Checkpoint | null = null;
    for (let round = 0; round < rounds && performance.now() < untilMs; round++) {
      // What is acknowledged now, the next checkpoint covers.
      const acknowledged = this.#indexes.length;
      const chosen = Array.from({ length: proofsPerCheckpoint }, () => Math.floor(this.#random() * acknowledged));
      const due = chosen.filter((n) => (this.#indexes[n] ?? -1) >= 0);
      const checkpoint = this.#verified(await this.#log.checkpoint());
      if (checkpoint === null) return;
      this.checkpoints += 1;
      if (before !== null) this.#checkExtends(before, checkpoint);
      before = checkpoint;
      for (const n of due) this.#checkIncluded(n, checkpoint);
    }
  }

  #fail(what: string): void {
    if (this.failures.length < failuresMax) this.failures.push(what);
  }

  #verified(note: string): Checkpoint | null {
    const key = parseVerifierKey(sha256, this.#log.verifierKey);
    const verdict = verifyCheckpoint(noteCrypto, note, { origin: this.#log.origin, keys: key === null ? [] : [key] });
    if (verdict.kind === "ok") return verdict.checkpoint;
    this.#fail(`a checkpoint is ${verdict.why}`);
    return null;
  }

  #checkExtends(older: Checkpoint, { size, root }: Checkpoint): void {
    const year = join(this.#directory, this.#log.origin.slice(-4));
    const disk = realDisk();
    const read = tileHashReader(sha256, size, (tile) => readTileFile(disk, year, tile));
    const proof = consistencyProof({ sha256, read }, older.size, size);
    const claim = { olderSize: older.size, olderRoot: older.root, size, root, proof };
    if (size < older.size || !verifyConsistency(sha256, claim)) this.#fail(`${size} does not extend ${older.size}`);
  }

  #checkIncluded(n: number, { size }: Checkpoint): void {
    const index = this.#indexes[n] ?? -1;
    const { proof, leaf, index: found } = prove(this.#directory, { id: sampleId(n) });
    this.proofs += 1;
    const isSame = Buffer.compare(leaf, sampleLeaf("crossing", n)) === 0 && found === index && index < size;
    if (!isSame || checkProof(proof, this.#log.verifierKey, leaf).kind !== "ok")
      this.#fail(`record ${n}, acknowledged as leaf ${index}, is not proved by the checkpoint over ${size}`);
  }

  /** Every acknowledged record has an index of its own. */
  checkIndexes(): void {
    const seen = new Set(this.#indexes);
    if (seen.size !== this.#indexes.length || seen.has(-1)) this.#fail("two records were acknowledged as one leaf");
  }
}

/** Writers and one reader at a log of its own in the temporary directory, which is removed. `rounds`: checkpoints. */
export async function runHammer({ seed, minutes, rounds }: SoakOptions): Promise<HammerReport> {
  const directory = mkdtempSync(join(tmpdir(), "sallyport-hammer-"));
  try {
    const path = join(directory, "log");
    const log = await openLog({
      directory: path,
      identity: sampleIdentity,
      checkpointIntervalMs: 20,
      segmentBytesMax: 1_048_576,
    });
    const hammer = new Hammer(log, path, seededRandom(seed));
    const writing = Array.from({ length: writers }, () => hammer.write());
    await hammer.read(rounds ?? Number.POSITIVE_INFINITY, performance.now() + minutes * 60_000);
    hammer.isOver = true;
    await Promise.all(writing);
    await log.close();
    hammer.checkIndexes();
    const report = verifyLogDirectory(path, { verifierKey: log.verifierKey });
    const { appended, checkpoints, proofs } = hammer;
    const failures = [...hammer.failures, ...report.problems.map(({ message }) => message)];
    return { soak: "hammer", seed, appended, checkpoints, proofs, failures, ok: failures.length === 0 };
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}
