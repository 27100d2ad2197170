// Promises to hold an estate's policies against tables of who may do what: decided by the gateway's own code, offline.
// Trusts policy-tests/ for verdicts. Specified in docs/policy-tests.md and docs/cli/policy.md.
import type { LoadedEstate } from "@sallyport/control/registry/config/estate.ts";
import { type Command, Option } from "commander";
import { CommandEnd, exitCode } from "../exit.ts";
import type { Coverage, JudgedCase } from "../policy-tests/judge-cases.ts";
import { junitXml } from "../reports/junit.ts";
import { createTerminal, type Terminal } from "../terminal.ts";
import { loadDirectory } from "./check.ts";

interface TestFlags {
  readonly format?: "text" | "json" | "junit";
  readonly environment?: string;
  readonly failUncovered?: boolean;
}

const examples = `
Reads every table in <directory>/tests/*.yaml. Exit 1 when a verdict is not the expected one.
Example of a table:
  cases:
    - name: orders charges in its own region
      caller: orders
      operation: billing:invoice.create
      attributes: { region: eu }
      expect: allow
    - caller: orders
      operation: billing:invoice.create
      attributes: { region: us }
      expect: deny
      code: policy-denied
      policies: [only-own-region]
`;

export function policyTestCommand(group: Command): void {
  group
    .command("test <directory>")
    .description("hold policies against tables of who may do what, decided as a gateway would, without running one")
    .addOption(
      new Option("--format <format>", "how results are printed; text by default, json with --json").choices([
        "text",
        "json",
        "junit",
      ]),
    )
    .option("--environment <environment>", "only cases of this environment")
    .option("--fail-uncovered", "exit 1 also when a policy or a granted operation is decided by no case")
    .addHelpText("after", examples)
    .action(async (directory: string, flags: TestFlags, command: Command) => {
      const terminal = createTerminal(command.optsWithGlobals<{ json?: boolean }>().json === true);
      if (terminal.json && flags.format !== undefined && flags.format !== "json")
        throw new CommandEnd(exitCode.badUse, `--json and --format ${flags.format} contradict each other`, "name one");
      const { judged, coverage } = await runTests(directory, flags.environment);
      print(directory, { judged, coverage, flags, terminal });
      const uncovered = coverage.operations.never.length + coverage.policies.never.length;
      if (judged.some(({ ok }) => !ok) || (flags.failUncovered === true && uncovered > 0))
        throw new CommandEnd(exitCode.no, "");
    });
}

interface Tested {
  readonly judged: readonly JudgedCase[];
  readonly coverage: Coverage;
}

async function runTests(directory: string, only: string | undefined): Promise<Tested> {
  const { estate } = await loadDirectory(directory);
  const cases = await readCases(directory, estate);
  const { environmentOf, judgeCase, coverageOf } = await import("../policy-tests/judge-cases.ts");
  const { decideCase, gatewayEstate } = await import("../policy-tests/run-cases.ts");
  const { createSliceCompiler } = await import("@sallyport/kernel/policy/compile-slice.ts");
  const { createPolicyEngine } = await import("@sallyport/kernel/policy/policy-engine.ts");
  const { isEnforced } = await import("@sallyport/kernel/policy/policy-text.ts");
  const now = Date.now();
  const compiler = createSliceCompiler();
  const tools = { compiler, engine: createPolicyEngine({ memoEntriesMax: 0 }), now };
  const environments = estate.environments.filter(({ name }) => only === undefined || name === only);
  const { decideToken } = await import("../policy-tests/run-token-cases.ts");
  const compiled = new Map(
    environments.map((one) => [
      one.name,
      { gateway: gatewayEstate(one, tools), token: decideToken(one, estate.environments, tools) },
    ]),
  );
  const judged = cases.flatMap((one) => {
    const name = environmentOf(one, estate.environments)?.name ?? "";
    const deciders = compiled.get(name);
    if (deciders === undefined) return [];
    return [judgeCase(one, name, deciders.token(one) ?? decideCase(one, deciders.gateway, now))];
  });
  if (judged.length === 0)
    throw new CommandEnd(exitCode.badUse, `no case is for the environment ${only}`, "name another one");
  const policies = environments.flatMap((one) =>
    compiler
      .parse(one.policies)
      .policies.filter(isEnforced)
      .map(({ id }) => id),
  );
  return { judged, coverage: coverageOf(judged, { environments, policies }) };
}

/** The cases, or the end of the command where a table says something that does not exist: such a case tests nothing. */
async function readCases(directory: string, estate: LoadedEstate["estate"]) {
  const { diskEstateIo } = await import("@sallyport/control/registry/config/estate-io.ts");
  const { formatFinding } = await import("@sallyport/control/registry/config/finding.ts");
  const { readPolicyTests, testsFolder } = await import("@sallyport/control/policy-tests/read-tests.ts");
  const { checkCase } = await import("../policy-tests/judge-cases.ts");
  const tests = readPolicyTests(diskEstateIo(directory, () => Date.now()));
  const findings = [...tests.findings, ...tests.cases.flatMap((one) => checkCase(one, estate.environments))];
  if (findings.length > 0)
    throw new CommandEnd(
      exitCode.badUse,
      `the tables cannot be used:\n${findings.map(formatFinding).join("\n")}`,
      "docs/policy-tests.md has every key of a case",
    );
  if (tests.cases.length === 0)
    throw new CommandEnd(
      exitCode.badUse,
      `there is no test in ${directory}`,
      `write ${testsFolder}/<name>.yaml; --help shows a table`,
    );
  return tests.cases;
}

function print(directory: string, of: Tested & { readonly flags: TestFlags; readonly terminal: Terminal }): void {
  const { judged, coverage, flags, terminal } = of;
  const failed = judged.filter(({ ok }) => !ok).length;
  if (flags.format === "junit") {
    process.stdout.write(junitXml([{ name: `policy test ${directory}`, cases: judged.map(junitCase) }]));
    return;
  }
  const value = { passed: judged.length - failed, failed, cases: judged, coverage };
  createTerminal(terminal.json || flags.format === "json").result(value, () => [
    ...terminal.table([
      ["", "case", "environment", "caller", "operation", "expected", "got"],
      ...judged.map((one) => [
        one.ok ? "ok" : "FAIL",
        `${one.file}:${one.line}`,
        one.environment,
        one.caller,
        one.operation,
        one.expected,
        one.got,
      ]),
    ]),
    "",
    ...judged.filter(({ ok }) => !ok).flatMap(mismatch),
    coverageLine("granted operations", coverage.operations),
    coverageLine("policies", coverage.policies),
    failed === 0 ? `${judged.length} cases as expected` : `${failed} of ${judged.length} cases are not as expected`,
  ]);
}

function mismatch(one: JudgedCase): readonly string[] {
  return [
    `${one.file}:${one.line}:${one.column} ${one.name}`,
    `  expected ${one.expected}`,
    `  got      ${one.got}`,
    ...one.why.map((line) => `  ${line}`),
    "",
  ];
}

function coverageLine(what: string, { total, decided, never }: Coverage["operations"]): string {
  const missing = never.length === 0 ? "" : `; by no case: ${never.join(", ")}`;
  return `${what} decided: ${decided} of ${total}${missing}`;
}

function junitCase(one: JudgedCase) {
  const base = { name: one.name, classname: `${one.environment}.${one.operation}`, file: one.file };
  if (one.ok) return base;
  return {
    ...base,
    failure: { type: "verdict", message: `expected ${one.expected}, got ${one.got}`, text: mismatch(one).join("\n") },
  };
}
