// Promises that a document which names tests names tests that exist: a renamed or removed one breaks the document.
// Trusts the files it is given. Specified in docs/rules.md: `- \`file\`: title` per line, under a heading per rule.
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
  const titles = new Map<string, ReadonlySet<string> | null>();
  const titlesOf = (file: string): ReadonlySet<string> | null => {
    const known = titles.get(file);
    if (known !== undefined) return known;
    const source = files.find((one) => one.path === file);
    const read = source === undefined ? null : testTitles(source.text);
    titles.set(file, read);
    return read;
  };
  return [
    ...Array.from({ length: rules }, (_, index) => index + 1)
      .filter((number) => !sections.some((section) => section.number === number && section.tests.length > 0))
      .map((number) => ({ path, line: 1, message: `rule ${number} names no test that fails when it is broken` })),
    ...sections
      .flatMap(({ tests }) => tests)
      .flatMap(({ file, title, line }) => {
        const known = titlesOf(file);
        if (known === null) return [{ path, line, message: `there is no file ${file}` }];
        return known.has(title) ? [] : [{ path, line, message: `${file} has no test "${title}"` }];
      }),
  ];
}
