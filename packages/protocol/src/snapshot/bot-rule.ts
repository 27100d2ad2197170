// Promises the names of the rules about programs that look around, and what a listener says of them. Trusts nothing.
// What each does: docs/bots.md; in a snapshot: docs/formats/snapshot.md.

/** A rule that is added needs a word of its own in `needs`. */
export const botRules = ["scanner-agent", "named-agent", "absent-agent", "probe-path", "unknown-route"] as const;

export type BotRule = (typeof botRules)[number];

export interface BotsObject {
  /** `shadow`: counted in the metric alone. */
  readonly mode: "shadow" | "enforce";
  readonly rules: readonly BotRule[];
  /** In lower case: what `named-agent` looks for. */
  readonly agents: readonly string[];
}
