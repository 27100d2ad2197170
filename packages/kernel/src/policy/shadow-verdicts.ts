// Promises what policies in shadow would have changed of a decision, each judged as if it alone were enforced beside those that are; the decision itself
// stays what it is. Pure. Trusts the judgement it is handed. Specified in docs/policy.md "Shadow policies".
import type {
  CrossingContext,
  DecisionInputs,
  PolicyDecision,
  ShadowSlice,
  ShadowVerdict,
  TokenContext,
} from "./port.ts";
import type { Shape, SliceShapes } from "./slice-schema.ts";

/** Which policies apply to a request, and which fail on it. */
export interface Judged {
  readonly applies: ReadonlySet<string>;
  /** Policy id -> why. */
  readonly failed: ReadonlyMap<string, string>;
}

export interface Shadow {
  readonly slice: ShadowSlice;
  /** Null: they cannot be used. */
  readonly shapes: SliceShapes | null;
  /** Names that a context may have, of these and of what is enforced. */
  readonly declared: Shape;
  judge(inputs: Inputs): Judged;
}

type Inputs = DecisionInputs<CrossingContext | TokenContext>;

export function allFailed({ policies }: ShadowSlice, why: string): Judged {
  return { applies: new Set(), failed: new Map(Object.keys(policies).map((id) => [id, why])) };
}

/** The very decision where nothing would have changed, else a copy that says what. */
export function withShadow(decision: PolicyDecision, shadow: Shadow, inputs: Inputs): PolicyDecision {
  // What fails already is a denial, whatever else there is.
  if (decision.kind === "error") return decision;
  const verdicts = shadowVerdicts(decision, shadow.slice, shadow.judge(inputs));
  return verdicts.length === 0 ? decision : { ...decision, shadow: verdicts };
}

export function shadowVerdicts(
  { kind, policies: decided }: Pick<PolicyDecision, "kind" | "policies">,
  { policies, broken }: ShadowSlice,
  { applies, failed }: Judged,
): readonly ShadowVerdict[] {
  const verdicts: ShadowVerdict[] = [];
  for (const policy in broken) verdicts.push({ policy, would: "error", why: broken[policy] ?? "" });
  for (const policy in policies) {
    const why = failed.get(policy);
    if (why !== undefined) {
      verdicts.push({ policy, would: "error", why });
      continue;
    }
    if (!applies.has(policy)) continue;
    const forbids = policies[policy]?.effect === "forbid";
    if (forbids && kind === "allow") verdicts.push({ policy, would: "deny" });
    // Where a forbid decided, no permit would have changed it.
    if (!forbids && kind === "deny" && decided.length === 0) verdicts.push({ policy, would: "allow" });
  }
  return verdicts;
}
