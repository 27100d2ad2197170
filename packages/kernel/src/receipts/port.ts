// Promises what a gateway may ask of whoever makes receipts: the leaves of one crossing, and the receipt of them once a checkpoint covers them.
// Trusts nothing; who may have a receipt is the asker's to decide. Specified in docs/receipts.md and docs/formats/receipt.md.

/** What the log holds of a crossing. */
export interface FoundCrossing {
  /** Leaf that says how it was decided (`crossing` or `intent`), in ASCII; null: the log holds none of this id. */
  readonly decided: string | null;
  /** The receipt; null while the crossing has not ended or no checkpoint covers its end. */
  readonly receipt: string | null;
}

export interface ReceiptSource {
  /**
   * Never blocks its caller's thread; askers take turns, however many questions one of them has waiting.
   * Rejects with LogFault `log-full` when too many wait, `log-corrupt` when the log cannot prove what it holds.
   */
  find(crossing: string, asker: string): Promise<FoundCrossing>;
  close(): Promise<void>;
}
