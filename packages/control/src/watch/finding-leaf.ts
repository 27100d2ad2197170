// Promises to read, of a record, which finding of which rule it raises, acknowledges or resolves. Pure. Trusts the log: only control writes such records.
// Specified in docs/findings.md "A finding".
import type { Leaf } from "@sallyport/protocol/audit/leaf.ts";

export type AdminLeaf = Extract<Leaf, { readonly t: "admin" }>;

const steps = {
  "finding.raise": "raised",
  "finding.acknowledge": "acknowledged",
  "finding.resolve": "resolved",
} as const;

export interface FindingStep {
  readonly step: (typeof steps)[keyof typeof steps];
  readonly rule: string;
  readonly id: string;
}

const objectForm = /^finding\/([a-z][a-z0-9-]*)\/(fnd-[0-7][0-9A-HJKMNP-TV-Z]{25})$/;

/** Null: the record is of another act. */
export function findingStepOf({ action, object }: AdminLeaf): FindingStep | null {
  const [, rule, id] = objectForm.exec(object) ?? [];
  if (rule === undefined || id === undefined || !Object.hasOwn(steps, action)) return null;
  // as: it is one of its own keys.
  return { step: steps[action as keyof typeof steps], rule, id };
}
