// Promises what a slice is compiled from, whatever it is about. Trusts nothing. Specified in docs/policy.md "Slices".
import type { Finding, ParsedPolicies, ParsedPolicy } from "./policy-text.ts";
import type { PolicySlice } from "./port.ts";
import type { SliceShapes } from "./slice-schema.ts";

export interface SliceDraft {
  readonly action: string;
  /** As in PolicySlice. */
  readonly system?: string;
  /** As these policies need them: what none of them reads is not declared. */
  readonly shapesFor: (policies: readonly ParsedPolicy[]) => SliceShapes;
  /** Attributes of callers that no policy may read: declared with two types, or with one that is not used here. */
  readonly conflicts: readonly string[];
  /** Policies that can apply, those in shadow among them. */
  readonly kept: readonly ParsedPolicy[];
  readonly parsed: ParsedPolicies;
  /** Generated permits by id. */
  readonly permits: Readonly<Record<string, string>>;
  readonly grants: PolicySlice["grants"];
  /** The member of the context that generated permits read. */
  readonly permitsRead: "integration" | "integrations";
  /** What is wrong whatever the policies say. */
  readonly findings: readonly Finding[];
  /** What is wrong with one policy before it is validated. */
  readonly judge: (policy: ParsedPolicy) => readonly Finding[];
}
