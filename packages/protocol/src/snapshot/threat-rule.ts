// Promises the names of the rules that texts of a request are held against, and what an operation says of them.
// Trusts nothing. What each rule finds: docs/threats.md; in a snapshot: docs/formats/snapshot.md "Threats".

/** In the order of docs/threats.md. A rule that is added needs a word of its own in `needs`. */
export const threatRules = [
  "sql-injection",
  "command-injection",
  "path-traversal",
  "script-injection",
  "template-injection",
  "jndi-lookup",
  "server-side-request",
  "nosql-operator",
  "prototype-pollution",
  "crlf-injection",
  "null-byte",
  "double-encoding",
  "not-judged",
] as const;

export type ThreatRule = (typeof threatRules)[number];

export interface ThreatsObject {
  /** Enforced. */
  readonly block: readonly ThreatRule[];
  /** Judged and recorded. No rule is in both. */
  readonly shadow: readonly ThreatRule[];
  /** Places where a rule of either is not asked; a place as docs/threats.md writes it. */
  readonly except: readonly { readonly rule: ThreatRule; readonly at: string }[];
}
