// Promises the messages between the log's worker thread and its client. Trusts both ends: they are one program. Used by log-client.ts and log-worker.ts.
import type { MessagePort } from "node:worker_threads";
import type { LogFaultCode } from "./fault.ts";
import type { LogIdentity } from "./origin.ts";
import type { FoundRecord } from "./port.ts";

/** What the thread is started with; must be structured-cloneable. */
export interface LogThreadOptions {
  readonly directory: string;
  readonly identity: LogIdentity;
  /** Ed25519 private key, PKCS#8 DER. */
  readonly pkcs8?: Uint8Array;
  /** A module (URL) that opens the signer of checkpoints in place of a key here, see SignerModule; what it is given must be structured-cloneable. */
  readonly signer?: { readonly module: string; readonly options: unknown };
  readonly originPrefix?: string;
  readonly checkpointCopies?: string;
  readonly segmentBytesMax?: number;
  readonly lowSpaceBytes?: number;
  readonly reserveBytes?: number;
  /** Milliseconds between checkpoints while something is appended; 0: only when asked. */
  readonly checkpointIntervalMs: number;
}

export interface FaultData {
  readonly code: LogFaultCode;
  readonly internal: string;
}

/** Down: to the thread. `append` carries entries in their stored encoding in a transferred buffer. */
export type LogRequest =
  | { readonly t: "append"; readonly buffer: ArrayBuffer; readonly bytes: number; readonly count: number }
  /** Another thread's way to the log: what comes there is taken like what comes here, and answered there. */
  | { readonly t: "seat"; readonly port: MessagePort }
  | { readonly t: "checkpoint"; readonly ticket: number }
  | { readonly t: "publish"; readonly ticket: number; readonly cosigned: string }
  | { readonly t: "find"; readonly ticket: number; readonly id: string }
  | { readonly t: "close"; readonly ticket: number };

/** Result for `count` appends, in the order they were asked for. */
export interface Appended {
  readonly count: number;
  readonly first: number;
  readonly refused: readonly { readonly place: number; readonly code: LogFaultCode }[];
  /** The whole batch failed. */
  readonly fault: FaultData | null;
}

/** Up: from the thread. */
export type LogAnswer =
  | { readonly t: "opened"; readonly origin: string; readonly size: number; readonly verifierKey: string }
  | { readonly t: "refused"; readonly fault: FaultData }
  | {
      readonly t: "appended";
      readonly origin: string;
      readonly size: number;
      readonly verifierKey: string;
      readonly results: readonly Appended[];
    }
  | { readonly t: "checkpoint"; readonly ticket: number; readonly note: string }
  | { readonly t: "found"; readonly ticket: number; readonly records: readonly FoundRecord[] }
  | { readonly t: "published"; readonly ticket: number }
  | { readonly t: "closed"; readonly ticket: number }
  | { readonly t: "failed"; readonly ticket: number; readonly fault: FaultData }
  /** Something went wrong that nobody asked for: a checkpoint by the clock. */
  | { readonly t: "alarm"; readonly fault: FaultData }
  /** The disk failed: nothing is appended any more, and the process should end. */
  | { readonly t: "ended"; readonly fault: FaultData };
