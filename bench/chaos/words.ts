// Promises what the chaos soak and its providers say to each other. Trusts nothing: it is types.

/** What one of the providers does: `kill` is done to it (SIGKILL), the others it does itself; `tail`: one answer in fifty is slow. */
export type Fault = "none" | "kill" | "hang" | "reset" | "status" | "slow" | "tail";

export interface ProviderWord {
  readonly port?: number;
  /** From now on. */
  readonly fault?: Fault;
  /** It has begun this one. */
  readonly effect?: string;
}
