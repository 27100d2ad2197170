// Promises to say of each policy in shadow whether it applies to a request, by one evaluation in which all of them are permits, and to say nothing where
// they cannot be used. Trusts the slice of a verified snapshot. Specified in docs/policy.md "Shadow policies".
import { type Closures, Decider, type Reply } from "./decider.ts";
import type { Evaluator } from "./evaluator.ts";
import { memoKey, misfit, project } from "./fit-request.ts";
import type { Memo } from "./memo.ts";
import type { ShadowSlice } from "./port.ts";
import { allFailed, type Judged, type Shadow } from "./shadow-verdicts.ts";
import { type SliceShapes, shapesOf } from "./slice-schema.ts";

interface LoadingShadow {
  readonly action: string;
  /** The providing system. */
  readonly system: string;
  /** Never used for another set of policies. */
  readonly number: number;
  readonly evaluator: () => Evaluator;
  readonly closures: Closures;
  readonly judged: Memo<Judged>;
  /** Of what is enforced. */
  readonly shapes: SliceShapes;
}

/** Never throws, and neither does what it loads: what cannot be judged counts as failed. */
export function loadShadow(
  shadow: ShadowSlice,
  { action, system, number, evaluator, closures, judged, shapes: enforced }: LoadingShadow,
): Shadow {
  const shapes = shapesOrNull(shadow.schema, action);
  const declared = { ...enforced.context, ...shapes?.context };
  const policies = Object.fromEntries(Object.entries(shadow.policies).map(([id, { asPermit }]) => [id, asPermit]));
  const slice = { action };
  const decider =
    shapes === null
      ? null
      : new Decider({ form: { slice, shapes, reads: shadow.reads, system }, policies, number, evaluator, closures });
  return {
    slice: shadow,
    shapes,
    declared,
    judge(inputs) {
      if (shapes === null || decider === null) return allFailed(shadow, `its schema of ${action} cannot be used`);
      const wrong = misfit(shapes, inputs, declared);
      if (wrong !== undefined) return allFailed(shadow, `the request does not fit its schema of ${action}: ${wrong}`);
      const projection = project(shadow.reads, inputs);
      const key = `${number}|${memoKey(shadow.reads, inputs.principal.id, projection)}`;
      const known = judged.get(key);
      if (known !== undefined) return known;
      const reply = askSafely(() => decider.ask({ slice, shapes, inputs, projection }));
      if (typeof reply === "string") return allFailed(shadow, reply);
      const failed = new Map(reply.errors.map(({ policyId, message }) => [policyId, message]));
      const made: Judged = { applies: new Set(reply.reason), failed };
      judged.set(key, made);
      return made;
    },
  };
}

function shapesOrNull(schema: unknown, action: string): SliceShapes | null {
  try {
    return shapesOf(schema, action);
  } catch {
    return null;
  }
}

/** An evaluator that cannot be made is no reason to stop what is enforced. */
function askSafely(question: () => Reply | string): Reply | string {
  try {
    return question();
  } catch (error) {
    return `the policy evaluator could not be started: ${String(error)}`;
  }
}
