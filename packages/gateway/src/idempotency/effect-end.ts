// Promises what a provider's answer, or its absence, means for repeats: final, unknown, or certainly not begun. Pure.
// Trusts `forward` to say whether a byte of the request left. Specified in docs/idempotency.md "What counts as an answer".

/** RFC 6585 §4 and RFC 8470 §5.2: the provider says that it did not process the request. */
const notProcessed: ReadonlySet<number> = new Set([425, 429]);

export type AnsweredAs = "final" | "unknown" | "not-begun";

/** `businessErrors`: statuses by which this operation's provider says no, and is well. */
export function decideAnswered(status: number, businessErrors: readonly number[]): AnsweredAs {
  if (notProcessed.has(status)) return "not-begun";
  if (status >= 500 && !businessErrors.includes(status)) return "unknown";
  return "final";
}
