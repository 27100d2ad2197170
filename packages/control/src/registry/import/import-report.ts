// Promises that whatever an import took, changed or left out is said, with file and line of the source, why, and what to do. Pure.
// Trusts the importers to say everything they meet. Specified in docs/import-kong.md "The report".
import { compareText, type Place, placeOf } from "../config/finding.ts";

export type ImportOutcome = "mapped" | "changed" | "not-mapped";

export interface ReportEntry extends Place {
  readonly outcome: ImportOutcome;
  /** What of the source: `service orders`, `plugin cors of route r`. */
  readonly what: string;
  /** What became of it, or why it did not. */
  readonly why: string;
  /** What to do; empty when there is nothing to do. */
  readonly fix: string;
}

export interface ImportReport {
  readonly kind: "openapi" | "kong";
  /** Name of the source file. */
  readonly source: string;
  readonly entries: readonly ReportEntry[];
}

/** What an importer says on its way. */
export interface Reporter {
  readonly entries: readonly ReportEntry[];
  /** Taken over with its meaning. */
  mapped(at: Place, what: string, why: string): void;
  /** Taken over, with another meaning. */
  changed(at: Place, what: string, said: { readonly why: string; readonly fix: string }): void;
  /** Left out. */
  lost(at: Place, what: string, said: { readonly why: string; readonly fix: string }): void;
}

export function createReporter(): Reporter {
  const entries: ReportEntry[] = [];
  const add = (outcome: ImportOutcome, at: Place, said: Pick<ReportEntry, "what" | "why" | "fix">): void =>
    void entries.push({ outcome, ...placeOf(at), ...said });
  return {
    entries,
    mapped: (at, what, why) => add("mapped", at, { what, why, fix: "" }),
    changed: (at, what, said) => add("changed", at, { what, ...said }),
    lost: (at, what, said) => add("not-mapped", at, { what, ...said }),
  };
}

const titles: readonly (readonly [ImportOutcome, string])[] = [
  ["not-mapped", "Not mapped"],
  ["changed", "Changed meaning"],
  ["mapped", "Mapped"],
];

/** Same place and same words once, in reading order within an outcome. */
export function sortEntries(entries: readonly ReportEntry[]): readonly ReportEntry[] {
  const unique = new Map(entries.map((entry) => [JSON.stringify(entry), entry]));
  return [...unique.values()].sort(
    (a, b) =>
      rank(a.outcome) - rank(b.outcome) ||
      compareText(a.file, b.file) ||
      a.line - b.line ||
      a.column - b.column ||
      compareText(a.what, b.what) ||
      compareText(a.why, b.why),
  );
}

function rank(outcome: ImportOutcome): number {
  return titles.findIndex(([known]) => known === outcome);
}

export function countOf(report: ImportReport, outcome: ImportOutcome): number {
  return report.entries.filter((entry) => entry.outcome === outcome).length;
}

/** Entries that say the same of several places, in the order of the first one. */
function grouped(entries: readonly ReportEntry[]): readonly (readonly ReportEntry[])[] {
  return [...Map.groupBy(entries, ({ outcome, why, fix }) => `${outcome}\n${why}\n${fix}`).values()];
}

/** import-report.md: what needs a decision first, what was simply taken over last. */
export function reportMarkdown(report: ImportReport): string {
  const lines = [
    `# Import of ${clean(report.source)}`,
    "",
    titles.map(([outcome, title]) => `${title}: ${countOf(report, outcome)}`).join(" · "),
    "",
    "Delete this file when everything in it is settled; nothing reads it.",
  ];
  for (const [outcome, title] of titles) {
    const groups = grouped(report.entries.filter((entry) => entry.outcome === outcome));
    if (groups.length === 0) continue;
    lines.push("", `## ${title}`);
    for (const group of groups) {
      const [first] = group;
      if (first === undefined) continue;
      lines.push("", `**${clean(first.why)}.**${first.fix === "" ? "" : ` ${clean(sentence(first.fix))}`}`, "");
      for (const { file, line, what } of group) lines.push(`- \`${clean(file)}:${line}\` ${clean(what)}`);
    }
  }
  return `${lines.join("\n")}\n`;
}

/** For a terminal: what was left out and what changed, one line for each thing to know. */
export function reportLines(report: ImportReport): readonly string[] {
  const open = grouped(report.entries.filter(({ outcome }) => outcome !== "mapped"));
  const lines = open.flatMap((group) => {
    const [first] = group;
    if (first === undefined) return [];
    const more = group.length === 1 ? "" : ` and ${group.length - 1} more`;
    const fix = first.fix === "" ? "" : ` Fix: ${first.fix}`;
    return [`${first.file}:${first.line} ${first.outcome} ${first.what}${more}: ${first.why}.${fix}`];
  });
  return [...lines, titles.map(([outcome, title]) => `${title.toLowerCase()}: ${countOf(report, outcome)}`).join(", ")];
}

function sentence(text: string): string {
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}.`;
}

/** Names come from the source: none may begin a line, a tag or a link of this page. */
function clean(text: string): string {
  return text.replaceAll(/[\r\n\u2028\u2029]+/g, " ").replaceAll(/[<>|[\]]/g, (character) => `\\${character}`);
}
