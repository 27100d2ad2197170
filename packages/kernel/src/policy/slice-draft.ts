// Promises what a slice is compiled from, whatever it is about. Trusts nothing. Specified in docs/policy.md "Slices".
import type { Finding, ParsedPolicies, ParsedPolicy } from "./policy-text.ts";
import type { PolicySlice } from "./port.ts";
import type { SliceShapes } from "./slice-schema.ts";

export interface SliceDraft {
  readonly action: string;
  /** As in PolicySlice. */
  readonly system?: string;
  readonly shapes: SliceShapes;
  /** Attributes of callers that no policy may read: declared with two types, or with one that is not used here. */
  readonly conflicts: readonly string[];
  /** Policies that can apply. */
  readonly kept: readonly ParsedPolicy[];
  readonly parsed: ParsedPolicies;
  /** Generated permits by id. */
  readonly permits: Readonly<Record<string, string>>;
  readonly grants: PolicySlice["grants"];
  /** The member of the context that generated permits read. */
  readonly permitsRead: "integration" | "integrations";
  /** What is wrong already. */
  readonly findings: readonly Finding[];
}
