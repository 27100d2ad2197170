// Promises a check for people: each error and warning with place and fix, many infos of one kind as one line, and a last line that sums up. Pure.
import { formatLint, type LintFinding } from "@sallyport/control/registry/lint/lint-finding.ts";
import { type CheckedDirectory, countBySeverity } from "./findings-report.ts";

/** Infos of one rule above this number become one line. */
const infosShownMax = 3;

export function checkWords(checked: readonly CheckedDirectory[]): readonly string[] {
  return [
    ...checked.flatMap((one) => {
      const heading = checked.length > 1 ? [`${one.directory}:`] : [];
      const counts = one.environments.map(
        ({ name, systems, integrations }) =>
          `${name}: ${counted(systems, "system") || "no systems"}, ${counted(integrations, "integration") || "no integrations"}`,
      );
      return [...heading, ...findingLines(one.findings), ...counts];
    }),
    summary(checked.flatMap(({ findings }) => findings)),
  ];
}

function findingLines(findings: readonly LintFinding[]): string[] {
  const isInfo = ({ severity, waived }: LintFinding) => severity === "info" && waived === undefined;
  const infos = Map.groupBy(findings.filter(isInfo), ({ rule }) => rule);
  const many = new Set([...infos].filter(([, same]) => same.length > infosShownMax).map(([rule]) => rule));
  const shown = findings.filter((finding) => !(isInfo(finding) && many.has(finding.rule))).map(formatLint);
  const folded = [...many].sort().flatMap((rule) => {
    const same = infos.get(rule) ?? [];
    const [first] = same;
    if (first === undefined) return [];
    const at = `${first.file}:${first.line}:${first.column}`;
    return [`${at} info [${rule}] and ${same.length - 1} more: ${first.message}. \`--rule ${rule}\` lists them`];
  });
  return [...shown, ...folded];
}

function summary(findings: readonly LintFinding[]): string {
  const { errors, warnings, infos, waived } = countBySeverity(findings);
  const parts = [counted(warnings, "warning"), counted(infos, "info"), waived === 0 ? "" : `${waived} waived`];
  const rest = parts.filter((part) => part !== "").map((part) => `, ${part}`);
  const notServed = findings.some(({ rule }) => rule === "load-error" || rule === "policy-invalid");
  const tail = notServed ? ": objects with a load-error or policy-invalid are not served" : "";
  return `${errors === 0 ? "no errors" : counted(errors, "error")}${rest.join("")}${tail}`;
}

function counted(count: number, word: string): string {
  if (count === 0) return "";
  return `${count} ${word}${count === 1 ? "" : "s"}`;
}
