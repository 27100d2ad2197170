// Promises that documents and code say the same: problems, decisions, the README's path of a crossing, exact versions.
// Trusts the tables in code as the truth. Specified in DESIGN §10 (docs stay in step by test).
import { isTest, type SourceFile, type Violation } from "./source-text.ts";

export interface Problem {
  readonly status: number;
  readonly retryable: boolean;
}

/** Pages that stand for several codes at once. */
export const publicFaces = ["unauthenticated"] as const;

export function problemPages(
  files: readonly SourceFile[],
  problems: Readonly<Record<string, Problem>>,
): readonly Violation[] {
  const pages = new Map(
    files.flatMap((file) => {
      const name = /^docs\/problems\/(.+)\.md$/.exec(file.path)?.[1];
      return name === undefined || name === "README" ? [] : [[name, file] as const];
    }),
  );
  const faces: readonly string[] = publicFaces;
  const missing = [...Object.keys(problems), ...faces].filter((code) => !pages.has(code));
  return [
    ...faces.flatMap((face) => unlisted(pages, face)),
    ...missing.map((code) => ({
      path: `docs/problems/${code}.md`,
      line: 1,
      message: `the code ${code} has no page: say what happened, why, and how to fix it`,
    })),
    ...[...pages].flatMap(([name, file]) => {
      const problem = problems[name];
      if (problem === undefined)
        return faces.includes(name)
          ? []
          : [
              {
                path: file.path,
                line: 1,
                message: "no code of this name exists in protocol/src/problem.ts: remove the page",
              },
            ];
      return pageDisagrees(file, name, problem);
    }),
  ];
}

/** Who reads the page of a face looks for the code behind it: each page that says callers see the face is linked there. */
function unlisted(pages: ReadonlyMap<string, SourceFile>, face: string): readonly Violation[] {
  const page = pages.get(face);
  if (page === undefined) return [];
  return [...pages]
    .filter(([name, { text }]) => text.includes(`Callers see: [\`${face}\`]`) && !page.text.includes(`(${name}.md)`))
    .map(([name]) => ({ path: page.path, line: 1, message: `the page does not link ${name}.md, which it stands for` }));
}

function pageDisagrees(file: SourceFile, name: string, problem: Problem): readonly Violation[] {
  const wanted = [
    `# ${name}`,
    `Status: ${problem.status}`,
    `Retryable: ${problem.retryable ? "yes" : "no"}`,
    "## What happened",
    "## Why",
    "## How to fix it",
  ];
  const lines = new Set(file.text.split("\n").map((line) => line.trim()));
  return wanted
    .filter((line) => !lines.has(line))
    .map((line) => ({ path: file.path, line: 1, message: `the page lacks the line "${line}"` }));
}

export function untestedCodes(
  files: readonly SourceFile[],
  codes: readonly string[],
  excused: readonly string[],
): readonly Violation[] {
  const tests = files
    .filter(
      ({ path }) => /\.ts$/.test(path) && (isTest(path) || path.startsWith("examples/")) && !path.startsWith("tools/"),
    )
    .map(({ text }) => text)
    .join("\n");
  const named = (code: string): boolean => tests.includes(`"${code}"`);
  const untested = codes.filter((code) => !named(code) && !excused.includes(code));
  const tested = excused.filter((code) => named(code) || !codes.includes(code));
  return [
    ...untested.map((code) => ({
      path: "packages/protocol/src/problem.ts",
      line: 1,
      message: `no test names the code ${code}: add the case beside its nearest allow`,
    })),
    ...tested.map((code) => ({
      path: "tools/tidy/ratchet.json",
      line: 1,
      message: `${code} no longer needs its excuse in codesWithoutTest: remove it`,
    })),
  ];
}

export function undecidedDependencies(files: readonly SourceFile[]): readonly Violation[] {
  const decided = new Set(
    files
      .filter(({ path }) => /^docs\/decisions\/.*\.md$/.test(path))
      .flatMap(({ text }) =>
        text
          .split("\n")
          .filter((line) => line.startsWith("Dependency: "))
          .flatMap((line) => [...line.matchAll(/`([^`]+)`/g)].map((match) => match[1] ?? "")),
      ),
  );
  return manifests(files).flatMap(({ file, dependencies }) =>
    Object.keys(dependencies)
      .filter((name) => !isOurs(name) && !decided.has(name))
      .map((name) => ({
        path: file.path,
        line: 1,
        message: `${name} has no page in docs/decisions: add one with the line "Dependency: \`${name}\`"`,
      })),
  );
}

/** Each decision has a number of its own, which is the first word of its heading too: `[0007](decisions/0007-…)` names one page. */
export function decisionNumbers(files: readonly SourceFile[]): readonly Violation[] {
  const pages = files.filter(({ path }) => /^docs\/decisions\/\d.*\.md$/.test(path));
  const numberOf = ({ path }: SourceFile) => path.slice("docs/decisions/".length, "docs/decisions/0000".length);
  return pages.flatMap((page, n) => {
    const number = numberOf(page);
    const other = pages.slice(0, n).find((one) => numberOf(one) === number);
    const faults = [
      ...(other === undefined ? [] : [`has the number of ${other.path}: give it the next free one`]),
      ...(page.text.startsWith(`# ${number} `) ? [] : [`its heading does not begin with "# ${number} "`]),
    ];
    return faults.map((message) => ({ path: page.path, line: 1, message }));
  });
}

export function looseVersions(files: readonly SourceFile[]): readonly Violation[] {
  const all = files.filter(({ path }) => /^(packages\/[^/]+\/)?package\.json$/.test(path));
  return all.flatMap((file) => {
    const manifest = JSON.parse(file.text);
    const versions = Object.entries({
      ...manifest.dependencies,
      ...manifest.devDependencies,
      ...manifest.optionalDependencies,
    });
    return versions
      .filter(([, version]) => !/^\d+\.\d+\.\d+(-[\w.]+)?$/.test(String(version)))
      .map(([name, version]) => ({
        path: file.path,
        line: 1,
        message: `${name} is ${String(version)}: pin one exact version`,
      }));
  });
}

function isOurs(name: string): boolean {
  return name.startsWith("@sallyport/") || name === "sallyport";
}

function manifests(
  files: readonly SourceFile[],
): readonly { readonly file: SourceFile; readonly dependencies: Readonly<Record<string, string>> }[] {
  return files
    .filter(({ path }) => /^packages\/[^/]+\/package\.json$/.test(path))
    .map((file) => ({ file, dependencies: JSON.parse(file.text).dependencies ?? {} }));
}

export interface PipelineRow {
  readonly stage: string;
  readonly promise: string;
}

/** The table as the README must have it between its two markers. */
export function pipelineMarkdown(rows: readonly PipelineRow[]): string {
  return [
    "| stage | what it promises |",
    "|---|---|",
    ...rows.map(({ stage, promise }) => `| ${stage} | ${promise} |`),
  ].join("\n");
}

export function pipelineInReadme(readme: string, rows: readonly PipelineRow[]): readonly Violation[] {
  const between = /<!-- pipeline:start -->\n([\s\S]*?)\n<!-- pipeline:end -->/.exec(readme)?.[1];
  if (between?.trim() === pipelineMarkdown(rows)) return [];
  const what =
    between === undefined
      ? "README.md lacks the markers <!-- pipeline:start --> and <!-- pipeline:end -->"
      : "the table in README.md differs from packages/gateway/src/pipeline.ts";
  return [
    { path: "README.md", line: 1, message: `${what}; between the markers must stand:\n${pipelineMarkdown(rows)}` },
  ];
}
