// Promises that a document which names tests names tests that exist: a renamed or removed one breaks the document.
// Trusts the files it is given. Specified in docs/rules.md: `- \`file\`: title` per line, under a heading per rule; in docs/conformance.md: rows of a table, in
// whose last cell stand files, each with titles in quotes.
import type { SourceFile, Violation } from "./source-text.ts";

export interface NamedTest {
  readonly file: string;
  readonly title: string;
  readonly line: number;
}

export interface RuleSection {
  readonly number: number;
  readonly line: number;
  readonly tests: readonly NamedTest[];
}

/** Sections `## <number>. …` with the tests they name. */
export function ruleSections(page: string): readonly RuleSection[] {
  const sections: { number: number; line: number; tests: NamedTest[] }[] = [];
  for (const [index, text] of page.split("\n").entries()) {
    const line = index + 1;
    const number = /^## (\d+)\. /.exec(text)?.[1];
    if (number !== undefined) sections.push({ number: Number(number), line, tests: [] });
    const [, file, title] = /^- `([^`]+\.test\.ts)`: (.+)$/.exec(text) ?? [];
    if (file !== undefined && title !== undefined) sections.at(-1)?.tests.push({ file, title, line });
  }
  return sections;
}

/** Rows of the table below a heading, each with the tests it names. A file without a title in quotes behind it counts as a test without a title. */
export function tableRows(
  page: string,
  heading: string,
): readonly { readonly line: number; readonly tests: readonly NamedTest[] }[] {
  const lines = page.split("\n");
  const from = lines.indexOf(heading);
  if (from === -1) return [];
  const length = lines.slice(from + 1).findIndex((text) => text !== "" && !text.startsWith("|"));
  const rows = lines
    .slice(from + 1, length === -1 ? lines.length : from + 1 + length)
    .map((text, index) => ({ text, line: from + 2 + index }))
    .filter(({ text }) => text.startsWith("|"))
    .slice(2);
  return rows.map(({ text, line }) => ({
    line,
    tests: [...text.matchAll(/`([^`]+\.test\.ts)`(?:: ("[^"]*"(?:, "[^"]*")*))?/g)].flatMap(
      ([, file = "", titles = '""']) =>
        [...titles.matchAll(/"([^"]*)"/g)].map(([, title = ""]) => ({ file, title, line })),
    ),
  }));
}

/** Rows of a table that name no test, and named tests that do not exist. Files that do not begin with `packages/` are below `base`. */
export function unprovenRows(
  path: string,
  files: readonly SourceFile[],
  { heading, base }: { readonly heading: string; readonly base: string },
): readonly Violation[] {
  const rows = tableRows(files.find((file) => file.path === path)?.text ?? "", heading);
  if (rows.length === 0) return [{ path, line: 1, message: `there is no table under "${heading}"` }];
  const missing = missingTests(path, files);
  return rows.flatMap(({ line, tests }) =>
    tests.length === 0
      ? [{ path, line, message: "the row names no test" }]
      : tests.flatMap((one) => missing(one.file.startsWith("packages/") ? one : { ...one, file: base + one.file })),
  );
}

/** Titles of the tests in a file as they are written: a title made by a template is its text between the quotes. */
export function testTitles(text: string): ReadonlySet<string> {
  const calls = text.matchAll(/\b(?:test|it)\(\s*("(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'|`(?:[^`\\]|\\.)*`)/g);
  return new Set([...calls].map(([, quoted = ""]) => quoted.slice(1, -1).replaceAll(/\\(["'`\\])/g, "$1")));
}

/** Named tests that do not exist, and rules (1 to `rules`) that are missing or name no test. */
export function unprovenRules(path: string, files: readonly SourceFile[], rules: number): readonly Violation[] {
  const page = files.find((file) => file.path === path);
  if (page === undefined) return [{ path, line: 1, message: "the page is missing" }];
  const sections = ruleSections(page.text);
  return [
    ...Array.from({ length: rules }, (_, index) => index + 1)
      .filter((number) => !sections.some((section) => section.number === number && section.tests.length > 0))
      .map((number) => ({ path, line: 1, message: `rule ${number} names no test that fails when it is broken` })),
    ...sections.flatMap(({ tests }) => tests).flatMap(missingTests(path, files)),
  ];
}

/** Says of a named test that it is not there, or nothing. */
function missingTests(path: string, files: readonly SourceFile[]): (one: NamedTest) => readonly Violation[] {
  const titles = new Map<string, ReadonlySet<string> | null>();
  const titlesOf = (file: string): ReadonlySet<string> | null => {
    const known = titles.get(file);
    if (known !== undefined) return known;
    const source = files.find((one) => one.path === file);
    const read = source === undefined ? null : testTitles(source.text);
    titles.set(file, read);
    return read;
  };
  return ({ file, title, line }) => {
    const known = titlesOf(file);
    if (known === null) return [{ path, line, message: `there is no file ${file}` }];
    return known.has(title) ? [] : [{ path, line, message: `${file} has no test "${title}"` }];
  };
}
