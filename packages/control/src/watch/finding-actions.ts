// Promises what an operator does with findings: see them, say that somebody looks, say that it is over; and what a rule would have found.
// Trusts api.ts, which has proven the operator. Specified in docs/findings.md, docs/admin-api.md.
import { type Actor, AdminFault } from "../admin/actions.ts";
import { nameTable } from "../audit/search/names.ts";
import type { ControlParts } from "../control-parts.ts";
import { suggest } from "../registry/config/nearest.ts";
import type { BacktestQuestion, BacktestReport } from "./backtest.ts";
import type { RuleGate } from "./decide-gate.ts";
import type { Rule } from "./detector.ts";
import type { Finding } from "./finding.ts";
import { findingsFold } from "./findings-fold.ts";
import { ruleWords } from "./rule-words.ts";
import { ruleById, rules } from "./rules.ts";

export interface FindingActions {
  /** Up to 1,000: what is not resolved first, then the newest. */
  findings(): Promise<readonly NamedFinding[]>;
  /** Rejects with AdminFault `not-found`. */
  finding(id: string): Promise<NamedFinding & { readonly describe: string }>;
  /** Rejects with AdminFault `not-found`, or `conflict` when it is resolved. */
  setFinding(
    actor: Actor,
    change: { readonly id: string; readonly to: "acknowledged" | "resolved"; readonly reason: string },
  ): Promise<Finding>;
  /** Every rule, with whether it tells and since which backtest. */
  rules(): Promise<readonly RuleReport[]>;
  /** Rejects with AdminFault `not-found` for a rule there is not, `conflict` when it was not tried yet. */
  setRule(
    actor: Actor,
    word: { readonly rule: string; readonly tells: boolean; readonly reason: string },
  ): Promise<RuleReport>;
  /** Rejects with AdminFault `not-found` for a rule there is not, `unavailable` when the records cannot be read now. */
  backtest(question: BacktestQuestion): Promise<BacktestReport>;
}

export interface RuleReport extends Pick<Rule, "id" | "version" | "severity" | "describe"> {
  /** Null: it was not tried yet, and tells nobody. */
  readonly gate: RuleGate | null;
}

type Parts = Pick<ControlParts, "tenant" | "store" | "follower">;

/** A finding as operators see it. */
export interface NamedFinding extends Finding {
  /** The declared name that the subject's pseudonym stands for; null: there is none, or it is a gateway, a log or an environment by its name. */
  readonly subjectName: string | null;
}

export function createFindingActions(parts: ControlParts): FindingActions {
  const { tenant, store } = parts;
  return {
    findings: async () => withNames(parts, await store.run("listFindings", { tenant })),
    finding: async (id) => {
      const [finding] = await withNames(parts, [await readFinding(parts, id)]);
      if (finding === undefined) throw new Error("one finding has one name");
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
    rules: () => listRules(parts),
    setRule: async (actor, word) => {
      const { id, version } = ruleNamed(word.rule);
      if ((await store.run("setRule", { tenant, version, actor, ...word })) === "not-tried")
        throw new AdminFault("conflict", `the rule ${id} was not tried over the past yet`, "try again in ten seconds");
      return (await listRules(parts)).find((one) => one.id === id) ?? Promise.reject(new Error("a rule is listed"));
    },
    backtest: (question) => runBacktest(parts, question),
  };
}

async function withNames(parts: ControlParts, findings: readonly Finding[]): Promise<readonly NamedFinding[]> {
  const tables = new Map<string, ReadonlyMap<string, string>>();
  const named: NamedFinding[] = [];
  for (const finding of findings) {
    const { environment, subject } = finding;
    const year = subject.name.slice(0, 4);
    const key = `${environment} ${year}`;
    // A subject that is no pseudonym stands in no table.
    const table =
      tables.get(key) ?? (/^\d{4}[^/]*:/.test(subject.name) ? await nameTable(parts, environment, year) : noNames);
    tables.set(key, table);
    named.push({ ...finding, subjectName: table.get(subject.name) ?? null });
  }
  return named;
}

const noNames: ReadonlyMap<string, string> = new Map();

async function readFinding({ tenant, store }: Parts, id: string): Promise<Finding> {
  const finding = await store.run("readFinding", { tenant, id });
  if (finding !== null) return finding;
  throw new AdminFault("not-found", `there is no finding ${id}`, "sallyport finding list shows them");
}

function ruleNamed(id: string): Rule {
  const rule = ruleById(id);
  if (rule !== undefined) return rule;
  const known = rules.map((one) => one.id);
  throw new AdminFault("not-found", `there is no rule ${id}`, suggest(id, known));
}

async function listRules({ store }: Parts): Promise<readonly RuleReport[]> {
  const gates = await store.run("listRuleGates", null);
  return rules.map(({ id, version, severity, describe }) => ({
    ...{ id, version, severity, describe },
    gate: gates.find((gate) => gate.rule === id && gate.version === version) ?? null,
  }));
}

/** Sentences for `sallyport status`: rules that nobody hears of, because of what they would have said and not by an operator's word. */
export async function ruleWarnings(parts: Parts): Promise<readonly string[]> {
  return (await listRules(parts)).flatMap(({ id, gate }) => {
    if (gate === null || gate.tells || gate.change !== null) return [];
    const why = gate.whole ? `it would have made ${gate.findings} findings in a week` : "its trial took too long";
    return [`the rule ${id} tells nobody: ${why}. sallyport finding tell ${id}, once you have looked`];
  });
}

async function runBacktest({ follower }: Parts, question: BacktestQuestion): Promise<BacktestReport> {
  ruleNamed(question.rule);
  try {
    // The fold answers this question with nothing else.
    return (await follower.ask(findingsFold, question)) as BacktestReport;
  } catch (error) {
    const why = error instanceof Error ? error.message : "unknown";
    throw new AdminFault("unavailable", `the records cannot be read now: ${why}`, "sallyport status says how they do");
  }
}
