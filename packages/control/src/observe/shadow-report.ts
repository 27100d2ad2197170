// Promises who would have gained or lost access by policies in shadow, over all gateways that answered, with the policy's own place. Trusts nodes for
// their counts. Specified in docs/policy.md "Shadow policies".
import type { ObservedShadow } from "@sallyport/protocol/channel/messages.ts";
import type { CrossingReport } from "../admin/actions.ts";

export interface ShadowRow extends Omit<ObservedShadow, "caller"> {
  readonly environment: string;
  /** System id; the pseudonym of the records where they are gone. */
  readonly caller: string;
}

interface OfNode {
  readonly environment: string;
  readonly shadows: readonly ObservedShadow[];
}

/** Rows opened for the name of their caller; the others are listed by its pseudonym. */
const namedMax = 128;

/** The most frequent first. @param open the decision of a crossing, null where its record is gone */
export async function shadowRows(
  answers: readonly OfNode[],
  open: (id: string) => Promise<CrossingReport["decision"]>,
): Promise<readonly ShadowRow[]> {
  const rows = merged(answers).sort((a, b) => b.count - a.count || b.lastMs - a.lastMs);
  const names = new Map<string, string>();
  for (const { environment, caller, examples } of rows) {
    const key = `${environment} ${caller}`;
    if (names.has(key) || names.size >= namedMax) continue;
    names.set(key, callerOf(await open(examples[0] ?? "")) ?? caller);
  }
  return rows.map((row) => ({ ...row, caller: names.get(`${row.environment} ${row.caller}`) ?? row.caller }));
}

function merged(answers: readonly OfNode[]): ShadowRow[] {
  const all = answers.flatMap(({ environment, shadows }) => shadows.map((one): ShadowRow => ({ ...one, environment })));
  const alike = Map.groupBy(all, ({ environment, policy, would, operation, caller }) =>
    JSON.stringify([environment, policy, would, operation, caller]),
  );
  return [...alike.values()].flatMap((same) => {
    const [newest] = same.sort((a, b) => b.lastMs - a.lastMs);
    if (newest === undefined) return [];
    const count = same.reduce((sum, one) => sum + one.count, 0);
    const firstMs = Math.min(...same.map((one) => one.firstMs));
    return [{ ...newest, count, firstMs, examples: same.flatMap(({ examples }) => examples).slice(0, 3) }];
  });
}

function callerOf(decision: CrossingReport["decision"]): string | null {
  const principal = decision?.["principal"];
  if (typeof principal !== "object" || principal === null || !("caller" in principal)) return null;
  return typeof principal.caller === "string" ? principal.caller : null;
}
