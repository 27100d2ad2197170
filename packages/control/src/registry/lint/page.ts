// Promises the page of each rule, and what `sallyport check --explain` says, from the table and the examples. Pure.
// Trusts both; a test keeps docs/lint equal to what is made here (write-pages.ts).
import type { RuleExample } from "./example.ts";
import { exampleEstate } from "./example-estate.ts";
import { accessExamples } from "./examples-of-access.ts";
import { clientExamples } from "./examples-of-clients.ts";
import { corsExamples } from "./examples-of-cors.ts";
import { dataExamples } from "./examples-of-data.ts";
import { issuerExamples } from "./examples-of-issuers.ts";
import { nextHopExamples } from "./examples-of-next-hops.ts";
import { openApiExamples } from "./examples-of-openapi.ts";
import { peopleExamples } from "./examples-of-people.ts";
import { witnessExamples } from "./examples-of-witnesses.ts";
import type { Rule } from "./rule.ts";
import { ruleById, rules } from "./rules.ts";

export type ExplainedRule = Omit<Rule, "check"> & RuleExample;

const examples: Readonly<Record<string, RuleExample>> = {
  ...accessExamples,
  ...nextHopExamples,
  ...clientExamples,
  ...corsExamples,
  ...issuerExamples,
  ...peopleExamples,
  ...dataExamples,
  ...openApiExamples,
  ...witnessExamples,
};

/** Ids that have an example, for the test that none is left over. */
export const exampleIds: readonly string[] = Object.keys(examples);

/** Throws for an id that is not in the table, or has no example: a bug of ours. */
export function explained(id: string): ExplainedRule {
  const rule = ruleById(id);
  const example = examples[id];
  if (rule === undefined || example === undefined) throw new Error(`the rule ${id} has no example`);
  const { check: _, ...rest } = rule;
  return { ...rest, ...example };
}

export function rulePage(id: string): string {
  const { severity, title, why, fix, bad, good, waive } = explained(id);
  return [
    `# ${id}`,
    `${title}.`,
    "",
    `Severity: ${severity}`,
    "",
    "## Why",
    why,
    "",
    "## Found in",
    fenced(bad),
    "",
    "## Not found in",
    fenced(good),
    "",
    "## How to fix it",
    `${fix.charAt(0).toUpperCase()}${fix.slice(1)}.`,
    "",
    "## When to waive it",
    `${waive.charAt(0).toUpperCase()}${waive.slice(1)}`,
    "",
  ].join("\n");
}

function fenced(text: string): string {
  return `\`\`\`${text.startsWith("//") ? "cedar" : "yaml"}\n${text.trimEnd()}\n\`\`\``;
}

export const tableStart = "<!-- rules: generated from packages/control/src/registry/lint; do not edit -->";
export const tableEnd = "<!-- end of rules -->";

/** docs/lint/README.md with its table of rules and its example estate replaced. Throws when it lost its markers. */
export function withRules(page: string): string {
  const start = page.indexOf(tableStart);
  const end = page.indexOf(tableEnd);
  if (start === -1 || end < start) throw new Error("docs/lint/README.md has lost the markers of its table");
  const rows = rules.map(({ id, severity, title }) => `| [${id}](${id}.md) | ${severity} | ${title} |`);
  const estate = Object.entries(exampleEstate).map(([file, text]) => fenced(`# ${file}\n${text}`));
  const table = ["| rule | severity | finds |", "|---|---|---|", ...rows];
  const made = [
    tableStart,
    "",
    ...table,
    "",
    "## The example estate",
    "Every example on these pages is laid over it.",
    "",
    ...estate,
    "",
    "",
  ];
  return page.slice(0, start) + made.join("\n") + page.slice(end);
}
