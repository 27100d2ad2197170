// Promises the edges of the machine as values passed in, so that tests bring seeded ones. Trusts nothing.

export interface Clock {
  /** Milliseconds since the epoch. */
  now(): number;
  /** Milliseconds, never going back; only differences mean anything. */
  monotonic(): number;
}

export interface Random {
  /** `length` unpredictable bytes. */
  bytes(length: number): Uint8Array;
}
