// Promises what everyone outside the log may ask of it. Trusts the log thread behind it (log-thread.ts). Leaf format: docs/formats/leaf.md.

export interface AppendReceipt {
  /** Zero-based index of the leaf in its origin. */
  readonly index: number;
}

export interface FoundRecord {
  readonly index: number;
  readonly leaf: Uint8Array;
  /** The sealed reference appended with it, when there was one and it is still kept. */
  readonly reference: Uint8Array | null;
}

/** Appends one record of a batch: like `append`, but told by functions, which costs no promise. A leaf given as text is ASCII. */
export type PutRecord = (
  leaf: Uint8Array | string,
  reference: Uint8Array | undefined,
  told: { readonly resolve: (receipt: AppendReceipt) => void; readonly reject: (fault: Error) => void },
) => void;

export interface LogHandle {
  readonly origin: string;
  /**
   * Appends one leaf (and the sealed reference it names) and resolves once a finished fdatasync covers both.
   * Rejects with LogFault `log-full` when the bounded queue is full, `log-closed` after close or a failed disk. Never resolves early.
   * A leaf given as text is ASCII.
   */
  append(leaf: Uint8Array | string, reference?: Uint8Array): Promise<AppendReceipt>;
  /**
   * Calls `prepare` once, in the moment the next batch leaves; what it puts travels in that batch. A batch leaves when the event loop has
   * nothing else to do, after at most 4 ms, when it is full, or as soon as the disk is done with the one before.
   * Neighbours that name the very same reference store it once: it must not be changed afterwards.
   */
  gather(prepare: (put: PutRecord) => void): void;
  /** Signs and publishes a checkpoint over everything durable now; returns the signed note. */
  checkpoint(): Promise<string>;
  /** All records whose leaf carries this crossing (or event) id, in order. */
  find(id: string): Promise<readonly FoundRecord[]>;
  /** Number of durable leaves. */
  size(): number;
  /** Waits for what was accepted, publishes a last checkpoint, ends the thread. */
  close(): Promise<void>;
}
