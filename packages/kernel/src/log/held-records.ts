// Promises what a reader of finished records may ask: origins, and their leaves in order, never one that no signed checkpoint covers yet.
// Trusts the log or archive behind it. Leaf format: docs/formats/leaf.md.
import type { FoundRecord } from "./port.ts";

/** One tree of one log, as far as a reader may see it. */
export interface HeldOrigin {
  /** `<prefix>/<tenant>/<environment>/<node>/<role>/<year>`. */
  readonly origin: string;
  readonly tenant: string;
  readonly environment: string;
  readonly node: string;
  readonly role: "all" | "control" | "gateway";
  /** UTC. */
  readonly year: number;
  /** Leaves covered by the newest checkpoint that is held: 0 to this number, less one, can be read. */
  readonly size: number;
  /** The newest checkpoint that is held: a signed note. */
  readonly checkpoint: string;
  /** C2SP verifier key that the checkpoint was verified with. */
  readonly verifierKey: string;
}

/** Records that are durable and signed over, of one log or of many. */
export interface HeldRecords {
  /** Every origin, by name; an origin that ended stays. */
  origins(): Promise<readonly HeldOrigin[]>;
  /**
   * Records `from` to at most `from + max - 1` of an origin, in order without gaps; fewer at the end of what may be read and where they would
   * be more than about 16 MiB, but at least one as long as there is one; none beyond the end. Neighbours may have the very same reference array.
   * Throws LogFault `log-corrupt` or `log-rolled-back` naming the file where a record cannot be read, `not-found` for an unknown origin.
   */
  read(origin: string, from: number, max: number): Promise<readonly FoundRecord[]>;
  /** Resolves when an origin may have grown since `origins()` was asked last, or when `signal` aborts. */
  grown(signal: AbortSignal): Promise<void>;
  close(): Promise<void>;
}
