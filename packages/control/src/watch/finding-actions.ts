// Promises what an operator does with findings: see them, say that somebody looks, say that it is over; and what a rule would have found.
// Trusts api.ts, which has proven the operator. Specified in docs/findings.md, docs/admin-api.md.
import { type Actor, AdminFault } from "../admin/actions.ts";
import type { ControlParts } from "../control-parts.ts";
import { suggest } from "../registry/config/nearest.ts";
import type { BacktestQuestion, BacktestReport } from "./backtest.ts";
import type { Finding } from "./finding.ts";
import { findingsFold } from "./findings-fold.ts";
import { ruleWords } from "./rule-words.ts";
import { rules } from "./rules.ts";

export interface FindingActions {
  /** Up to 1,000: what is not resolved first, then the newest. */
  findings(): Promise<readonly Finding[]>;
  /** Rejects with AdminFault `not-found`. */
  finding(id: string): Promise<Finding & { readonly describe: string }>;
  /** Rejects with AdminFault `not-found`, or `conflict` when it is resolved. */
  setFinding(
    actor: Actor,
    change: { readonly id: string; readonly to: "acknowledged" | "resolved"; readonly reason: string },
  ): Promise<Finding>;
  /** Rejects with AdminFault `not-found` for a rule there is not, `unavailable` when the records cannot be read now. */
  backtest(question: BacktestQuestion): Promise<BacktestReport>;
}

type Parts = Pick<ControlParts, "tenant" | "store" | "follower">;

export function createFindingActions(parts: Parts): FindingActions {
  const { tenant, store } = parts;
  return {
    findings: () => store.run("listFindings", { tenant }),
    finding: async (id) => {
      const finding = await readFinding(parts, id);
      return { ...finding, describe: ruleWords(finding.rule)?.describe ?? "" };
    },
    setFinding: async (actor, { id, to, reason }) => {
      const outcome = await store.run("changeFinding", { tenant, id, to, actor, reason });
      if (outcome === "refused")
        throw new AdminFault(
          "conflict",
          `the finding ${id} is resolved`,
          "what is noticed again becomes a new finding: sallyport finding list",
        );
      return readFinding(parts, id);
    },
    backtest: (question) => runBacktest(parts, question),
  };
}

async function readFinding({ tenant, store }: Parts, id: string): Promise<Finding> {
  const finding = await store.run("readFinding", { tenant, id });
  if (finding !== null) return finding;
  throw new AdminFault("not-found", `there is no finding ${id}`, "sallyport finding list shows them");
}

async function runBacktest({ follower }: Parts, question: BacktestQuestion): Promise<BacktestReport> {
  const known = rules.map(({ id }) => id);
  if (!known.includes(question.rule))
    throw new AdminFault("not-found", `there is no rule ${question.rule}`, suggest(question.rule, known));
  try {
    // The fold answers this question with nothing else.
    return (await follower.ask(findingsFold, question)) as BacktestReport;
  } catch (error) {
    const why = error instanceof Error ? error.message : "unknown";
    throw new AdminFault("unavailable", `the records cannot be read now: ${why}`, "sallyport status says how they do");
  }
}
