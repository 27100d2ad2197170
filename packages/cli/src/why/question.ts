// Promises the answer to "would this be allowed" from control, or offline over a directory, with the line to write at its exact place where
// the files are at hand. Trusts control's explanation. Specified in docs/cli/why.md.
import type { Explanation, Question } from "@sallyport/control/explain/explanation.ts";
import type { AdminClient } from "../admin-client.ts";
import { loadEnvironment } from "../calling/find-operation.ts";
import { CommandEnd, exitCode } from "../exit.ts";

/** Over the files of a directory, with nothing decided: integrations are in their environment's first state. */
export async function explainOffline(directory: string, question: Question): Promise<Explanation> {
  const { explain } = await import("@sallyport/control/explain/explain.ts");
  const { QuestionFault } = await import("@sallyport/control/explain/explanation.ts");
  const { createSliceCompiler } = await import("@sallyport/kernel/policy/compile-slice.ts");
  const { createPolicyEngine } = await import("@sallyport/kernel/policy/policy-engine.ts");
  const environment = await loadEnvironment(directory, question.environment);
  try {
    return explain(question, {
      environment,
      states: new Map(),
      now: Date.now(),
      compiler: createSliceCompiler(),
      engine: createPolicyEngine({ memoEntriesMax: 0 }),
    });
  } catch (error) {
    if (error instanceof QuestionFault) throw new CommandEnd(exitCode.badUse, error.message, error.fix);
    throw error;
  }
}

export function explainRunning(client: AdminClient, question: Question): Promise<Explanation> {
  return client.call<Explanation>("POST", "/v1/explain", question);
}

export function explanationWords(explanation: Explanation): readonly string[] {
  const { question, allowed, code, stage, steps, nearest, fix, observed } = explanation;
  const verdict = allowed ? "allowed" : `denied at ${stage}: ${code}`;
  const lines = [`${question.from} -> ${question.operation} in ${question.environment}: ${verdict}`];
  if (observed !== null) lines.push(`but observed: ${observed}`);
  for (const { stage: at, passes, says } of steps)
    lines.push(
      `  ${passes === null ? "?" : passes ? "yes" : "no "} ${at.padEnd(10)} ${says}`.replace("  ? ", "  ?   "),
    );
  for (const { integration, from, operations, declaredAt, why } of nearest)
    lines.push(`nearest: ${integration} (${why}): ${from} may ${operations.join(", ")}, ${declaredAt}`);
  if (fix === null) return lines;
  const place = fix.file === null ? "" : `${fix.file}${fix.line === null ? "" : `:${fix.line}`}: `;
  return [
    ...lines,
    `fix: ${place}${fix.says}`,
    ...(fix.yaml ?? "")
      .split("\n")
      .filter(Boolean)
      .map((line) => `    ${line}`),
  ];
}
