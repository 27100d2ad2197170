// Promises a real log in its thread, a witness over real files, and the one asking the other in process; for tests. Trusts nothing.
import { join } from "node:path";
import { parseWitnessKey } from "@sallyport/protocol/audit/cosignature.ts";
import { type NoteVerifier, parseVerifierKey } from "@sallyport/protocol/audit/note.ts";
import type { OpenedLog } from "../log/log-client.ts";
import { sha256, verifierFor } from "../log/log-crypto.ts";
import { openLog } from "../log/log-thread.ts";
import { realDisk } from "../log/real-disk.ts";
import { sampleIdentity, sampleLeaf } from "../log/sample-leaves.ts";
import { type AskedWitness, Cosigning } from "./cosigning.ts";
import type { LogFinding } from "./finding.ts";
import { HeldTrees } from "./held-trees.ts";
import { OwnLog } from "./own-log.ts";
import { type Submitter, Witness } from "./witness.ts";
import { loadWitnessKey } from "./witness-key.ts";

const opened: OpenedLog[] = [];

export async function openTestLog(directory: string): Promise<OpenedLog> {
  const log = await openLog({ directory, identity: sampleIdentity, checkpointIntervalMs: 0 });
  opened.push(log);
  return log;
}

/** Those that a failed test left open too: a thread that runs would keep the process. */
export async function closeTestLogs(): Promise<void> {
  await Promise.allSettled(opened.map((log) => log.close()));
}

/** Appends so many crossings; those from another `first` are other leaves. */
export async function grow(log: OpenedLog, leaves: number, first = 0): Promise<void> {
  await Promise.all(Array.from({ length: leaves }, (_, i) => log.append(sampleLeaf("crossing", first + i))));
}

export interface TestWitness {
  readonly witness: Witness;
  readonly found: LogFinding[];
  close(): void;
}

export function openTestWitness(
  folder: string,
  name = "witness.example/w1",
  now = () => 1_800_000_000_000,
): TestWitness {
  const disk = realDisk();
  const found: LogFinding[] = [];
  const signer = loadWitnessKey(disk, { folder, file: "w1", name });
  const state = new HeldTrees(disk, join(folder, "trees"));
  const witness = new Witness({ state, signer, now, found: async (finding) => void found.push(finding) });
  return { witness, found, close: () => state.close() };
}

/** Trusts a log's key under whatever origin it signs: as control does for the years of a gateway's log. */
export function keeperOf(verifierKey: string, isKeeper = true): Submitter {
  const key = parseVerifierKey(sha256, verifierKey);
  if (key === null) throw new Error("not a verifier key");
  return { isKeeper, keys: async (origin): Promise<readonly NoteVerifier[]> => [verifierFor(origin, key.publicKey)] };
}

export function askInProcess(witness: Witness, from: Submitter): AskedWitness {
  return {
    name: witness.name,
    key: async () => parseWitnessKey(sha256, witness.verifierKey),
    submit: (body) => witness.add(body, from),
    kept: (origin) => witness.kept(origin),
  };
}

export interface TestCosigning {
  readonly cosigning: Cosigning;
  readonly own: OwnLog;
  readonly found: LogFinding[];
  readonly faults: string[];
  /** Milliseconds that the clock is ahead. */
  wait(ms: number): void;
}

/** `now`: the clock of the log's process; that of `openTestWitness` by default. */
export function cosign(
  log: OpenedLog,
  directory: string,
  witnesses: readonly AskedWitness[],
  now = () => 1_800_000_000_000,
): TestCosigning {
  const found: LogFinding[] = [];
  const faults: string[] = [];
  const own = new OwnLog(log, realDisk(), directory);
  let ahead = 0;
  const cosigning = new Cosigning({
    log: own,
    witnesses: () => witnesses,
    monotonic: () => ahead,
    now,
    random: { bytes: (length) => new Uint8Array(length).fill(255) },
    found: async (finding) => void found.push(finding),
    fault: (witness, why) => void faults.push(`${witness}: ${why}`),
  });
  return { cosigning, own, found, faults, wait: (ms) => (ahead += ms) };
}
