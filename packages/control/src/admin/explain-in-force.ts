// Promises the answer to "would this be allowed" over what is in force in the store, decided states included. Trusts explain.ts and the store.
// api.ts has recorded the look-up before this is asked. Specified in docs/cli/why.md.
import { createPolicyEngine } from "@sallyport/kernel/policy/policy-engine.ts";
import type { ControlParts } from "../control-parts.ts";
import { explain } from "../explain/explain.ts";
import { type Explanation, type Question, QuestionFault } from "../explain/explanation.ts";
import { suggest } from "../registry/config/nearest.ts";
import { readEnvironments } from "../registry/estate-state.ts";
import { operationsOf } from "../snapshot/compile-token-policies.ts";
import { AdminFault } from "./actions.ts";

/** Throws AdminFault `bad-request` that names the nearest word. */
export async function explainInForce(parts: ControlParts, question: Question): Promise<Explanation> {
  const environments = await readEnvironments(parts.store, parts.tenant);
  const inForce = environments.get(question.environment);
  if (inForce === undefined) {
    const fix = suggest(question.environment, environments.keys());
    throw new AdminFault("bad-request", `there is no environment ${question.environment}`, fix);
  }
  try {
    return explain(question, {
      environment: inForce.config,
      states: inForce.states,
      isOperation: operationsOf([...environments.values()].map(({ config }) => config)),
      now: parts.clock.now(),
      compiler: parts.compiler,
      // One question at a time: an engine of its own keeps nothing between them.
      engine: createPolicyEngine({ memoEntriesMax: 0 }),
    });
  } catch (error) {
    if (error instanceof QuestionFault) throw new AdminFault("bad-request", error.message, error.fix);
    throw error;
  }
}
