// Promises what a place for copies is to the fold that feeds it: it takes a batch, says what it will never take, or throws and is tried again.
// Trusts nobody who answers. Specified in docs/export.md "Delivery".
import type { EncodedRecord } from "./encode.ts";

/** An event that the receiver will not take however often it comes. */
export interface Rejected {
  /** Position in the batch. */
  readonly at: number;
  /** The receiver's own words, cut to 300 printable characters. */
  readonly reason: string;
}

export type Delivery =
  /** The receiver has all of them but these. */
  | { readonly kind: "taken"; readonly rejected: readonly Rejected[] }
  /** It refused the batch as a whole and may take a smaller one: it is sent again in halves. */
  | { readonly kind: "refused"; readonly reason: string };

export interface Sink {
  /** Throws SinkFault when nothing is known to be taken. Bounded in time. */
  send(batch: readonly EncodedRecord[]): Promise<Delivery>;
  close(): Promise<void>;
}

/** Why a batch was not taken now. Its message holds no credential and no text of the receiver but `quoted`. */
export class SinkFault extends Error {
  /** How long the receiver asked to be left alone; null: it did not say. */
  readonly retryAfterMs: number | null;

  constructor(message: string, retryAfterMs: number | null = null, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = "SinkFault";
    this.retryAfterMs = retryAfterMs;
  }
}

const quotedMax = 300;

/** Words of a receiver, for people: printable ASCII on one line, and not many of them. */
export function quoted(text: string): string {
  const plain = text.replace(/[^\x20-\x7e]+/g, " ").trim();
  return plain.length > quotedMax ? `${plain.slice(0, quotedMax)}…` : plain;
}
