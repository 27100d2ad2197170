// Promises to find what is wrong with an estate before it is applied, and what is risky in it: the same findings as `serve`, then every lint rule.
// Trusts control's loader, policy compiler and lint. Offline: nothing is started or asked. Specified in docs/cli/check.md.
import { relative, resolve } from "node:path";
import type { LoadedEstate } from "@sallyport/control/registry/config/estate.ts";
import type { LintFinding } from "@sallyport/control/registry/lint/lint-finding.ts";
import type { Severity } from "@sallyport/control/registry/lint/rule.ts";
import { type Command, Option } from "commander";
import { CommandEnd, exitCode } from "../exit.ts";
import { type CheckedDirectory, countBySeverity, located } from "../reports/findings-report.ts";
import { githubLines } from "../reports/github.ts";
import { junitXml } from "../reports/junit.ts";
import { sarifLog } from "../reports/sarif.ts";
import { createTerminal, type Terminal } from "../terminal.ts";
import { version } from "../version.ts";
import { assertEstateDirectory } from "./estate-directory.ts";

interface CheckFlags {
  readonly format?: "text" | "json" | "sarif" | "junit" | "github";
  readonly failOn: Severity;
  readonly rule?: readonly string[];
  readonly listRules?: boolean;
  readonly explain?: string;
}

const examples = `
Exit 1 when a finding at or above --fail-on is not waived.
Examples:
  sallyport check estate
  sallyport check estate --fail-on warning
  sallyport check estates/shop estates/bank --format sarif > check.sarif
  sallyport check --explain upstream-cleartext
`;

/** Said whatever --rule asks for: what is not served is not looked at by any other rule. */
const always: readonly string[] = ["load-error", "policy-invalid"];

/** `sallyport check [directory...]`. */
export function checkCommand(program: Command): void {
  program
    .command("check [directory...]")
    .description("find what is wrong with an estate and its policies, and what is risky, without running anything")
    .addOption(
      new Option("--format <format>", "how findings are printed; text by default, json with --json").choices([
        "text",
        "json",
        "sarif",
        "junit",
        "github",
      ]),
    )
    .addOption(
      new Option("--fail-on <severity>", "the mildest finding that makes the answer no")
        .choices(["error", "warning", "info"])
        .default("error"),
    )
    .option("--rule <id...>", "only findings of these rules, and what is not served")
    .option("--list-rules", "every rule with its severity and title; no directory is read")
    .option("--explain <rule>", "what a rule finds, why, what to do, with an example; no directory is read")
    .addHelpText("after", examples)
    .action(async (directories: readonly string[], flags: CheckFlags, command: Command) => {
      const terminal = createTerminal(command.optsWithGlobals<{ json?: boolean }>().json === true);
      if (flags.listRules === true) return listRules(terminal);
      if (flags.explain !== undefined) return explainRule(flags.explain, terminal);
      if (terminal.json && flags.format !== undefined && flags.format !== "json")
        throw new CommandEnd(exitCode.badUse, `--json and --format ${flags.format} contradict each other`, "name one");
      for (const rule of flags.rule ?? []) await assertRule(rule);
      const checked: CheckedDirectory[] = [];
      for (const directory of directories.length === 0 ? ["."] : directories)
        checked.push(await checkDirectory(directory, flags.rule));
      await print(checked, flags, terminal);
      const { fails } = await import("@sallyport/control/registry/lint/lint-finding.ts");
      if (checked.some(({ findings }) => findings.some((finding) => fails(finding, flags.failOn))))
        throw new CommandEnd(exitCode.no, "");
    });
}

async function checkDirectory(directory: string, only: readonly string[] | undefined): Promise<CheckedDirectory> {
  const loaded = await loadDirectory(directory);
  const { lintEstate } = await import("@sallyport/control/registry/lint/lint-estate.ts");
  const { createSliceCompiler } = await import("@sallyport/kernel/policy/compile-slice.ts");
  const wanted = only === undefined ? null : new Set([...only, ...always]);
  const findings = lintEstate(loaded, createSliceCompiler(), Date.now());
  return {
    directory,
    prefix: relative(process.cwd(), resolve(directory)).replaceAll("\\", "/"),
    environments: loaded.estate.environments.map(({ name, systems, integrations }) => ({
      name,
      systems: systems.length,
      integrations: integrations.length,
    })),
    findings: wanted === null ? findings : findings.filter(({ rule }) => wanted.has(rule)),
  };
}

async function print(checked: readonly CheckedDirectory[], flags: CheckFlags, terminal: Terminal): Promise<void> {
  const findings = checked.flatMap((one) => one.findings);
  const format = flags.format ?? (terminal.json ? "json" : "text");
  if (format === "sarif") {
    const { rules } = await import("@sallyport/control/registry/lint/rules.ts");
    createTerminal(true).result(sarifLog(located(checked), { rules, version }), () => []);
  } else if (format === "junit") process.stdout.write(await junitOf(checked, flags));
  else if (format === "github") terminal.result(null, () => githubLines(located(checked)));
  else {
    const value = {
      ...countBySeverity(findings),
      findings,
      directories: checked.map(({ findings: own, ...one }) => ({ ...one, ...countBySeverity(own) })),
    };
    const { checkWords } = await import("../reports/check-words.ts");
    createTerminal(format === "json").result(value, () => checkWords(checked));
  }
}

/** One case for each rule: it fails with all its findings, and is skipped where everything it found was waived. */
async function junitOf(checked: readonly CheckedDirectory[], flags: CheckFlags): Promise<string> {
  const { rules } = await import("@sallyport/control/registry/lint/rules.ts");
  const { fails, formatLint } = await import("@sallyport/control/registry/lint/lint-finding.ts");
  const asked = rules.filter(({ id }) => flags.rule === undefined || [...flags.rule, ...always].includes(id));
  return junitXml(
    checked.map(({ directory, findings }) => ({
      name: directory,
      cases: asked.map(({ id, title }) => {
        const own = findings.filter(({ rule }) => rule === id);
        const failing = own.filter((finding) => fails(finding, flags.failOn));
        const base = { name: `${id}: ${title}`, classname: `sallyport.check.${id}` };
        if (failing.length > 0) {
          const text = failing.map(formatLint).join("\n");
          return { ...base, failure: { type: id, message: describeCount(failing), text } };
        }
        const open = own.filter(({ waived }) => waived === undefined).length;
        if (own.length === 0 || open > 0) return base;
        return { ...base, skipped: own.map(formatLint).join("\n") };
      }),
    })),
  );
}

function describeCount(findings: readonly LintFinding[]): string {
  const [first] = findings;
  const more = findings.length > 1 ? ` and ${findings.length - 1} more` : "";
  return first === undefined ? "" : `${first.file}:${first.line}: ${first.message}${more}`;
}

async function assertRule(id: string): Promise<void> {
  const { ruleById, rules } = await import("@sallyport/control/registry/lint/rules.ts");
  if (ruleById(id) !== undefined) return;
  const { suggest } = await import("@sallyport/control/registry/config/nearest.ts");
  const fix = suggest(
    id,
    rules.map((rule) => rule.id),
  );
  throw new CommandEnd(
    exitCode.badUse,
    `there is no rule \`${id}\``,
    `${fix} \`sallyport check --list-rules\` has all`,
  );
}

async function listRules(terminal: Terminal): Promise<void> {
  const { rules } = await import("@sallyport/control/registry/lint/rules.ts");
  const rows = rules.map(({ id, severity, title, waivable }) => ({ id, severity, title, waivable }));
  terminal.result(rows, () =>
    terminal.table([["rule", "severity", "title"], ...rows.map(({ id, severity, title }) => [id, severity, title])]),
  );
}

async function explainRule(id: string, terminal: Terminal): Promise<void> {
  await assertRule(id);
  const { explained } = await import("@sallyport/control/registry/lint/page.ts");
  const rule = explained(id);
  terminal.result(rule, () => [
    `${rule.id} (${rule.severity}): ${rule.title}`,
    "",
    rule.why,
    "",
    `Fix: ${rule.fix}`,
    "",
    "Found in:",
    ...indented(rule.bad),
    "",
    "Not found in:",
    ...indented(rule.good),
    "",
    `Waiver: ${rule.waive}`,
    `Page: docs/lint/${rule.id}.md`,
  ]);
}

function indented(text: string): readonly string[] {
  return text.split("\n").map((line) => (line === "" ? "" : `  ${line}`));
}

/** The estate in a directory, as `serve` and `apply` see it. Throws CommandEnd (bad use) when the directory is none. */
export async function loadDirectory(directory: string): Promise<LoadedEstate> {
  const { loadEstate } = await import("@sallyport/control/registry/config/load.ts");
  assertEstateDirectory(directory);
  return loadEstate(directory, { now: () => Date.now() });
}
