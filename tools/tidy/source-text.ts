// Promises the repository's files as { path, text }, and their code with strings and comments blanked out at the same places.
// Trusts git to list tracked and new files. The blanking is a scanner, not a parser: a regular expression literal is recognised by
// the character before it, which suffices for formatted code.
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";

export interface SourceFile {
  /** Relative to the repository, with forward slashes. */
  readonly path: string;
  readonly text: string;
}

export interface Violation {
  readonly path: string;
  readonly line: number;
  /** What is wrong and what to do instead. */
  readonly message: string;
}

export interface Span {
  readonly start: number;
  readonly end: number;
}

export interface Masked {
  /** Same length as the text; contents of strings, comments and regular expressions are spaces. */
  readonly code: string;
  readonly strings: readonly Span[];
  readonly comments: readonly Span[];
}

const textExtensions = /\.(ts|mts|mjs|js|json|md|yaml|yml|cedar|sql|sh)$/;
const gitOutputBytesMax = 64 * 1024 * 1024;

/** Tracked and new files that git does not ignore. */
export function listFiles(root: string): readonly SourceFile[] {
  const args = ["ls-files", "-z", "--cached", "--others", "--exclude-standard"];
  const listed = execFileSync("git", args, { cwd: root, encoding: "utf8", maxBuffer: gitOutputBytesMax }).split("\0");
  const paths = [...new Set(listed)].filter((path) => textExtensions.test(path) && existsSync(join(root, path)));
  return paths.toSorted().map((path) => ({ path, text: readFileSync(join(root, path), "utf8") }));
}

export function lineOf(text: string, offset: number): number {
  return text.slice(0, offset).split("\n").length;
}

export function isTest(path: string): boolean {
  // These stand beside tests and are imported by nothing else.
  return /\.test(-[a-z]+)?\.ts$|(^|\/)(test-[^/]+|[^/]+-fixture|for-each-dialect)\.ts$|\/(contract|testing)\//.test(
    path,
  );
}

/** TypeScript of a package that somebody installs or deploys, without its tests. */
export function isProduct(path: string): boolean {
  return /^packages\/[^/]+\/src\/.*\.ts$/.test(path) && !isTest(path);
}

interface Scan {
  readonly text: string;
  readonly blanks: Span[];
  readonly strings: Span[];
  readonly comments: Span[];
}

export function mask(text: string): Masked {
  const scan: Scan = { text, blanks: [], strings: [], comments: [] };
  scanCode(scan, 0, false);
  let code = "";
  let from = 0;
  for (const { start, end } of scan.blanks.toSorted((a, b) => a.start - b.start)) {
    code += text.slice(from, start) + text.slice(start, end).replace(/[^\n]/g, " ");
    from = end;
  }
  return { code: code + text.slice(from), strings: scan.strings, comments: scan.comments };
}

/** Scans from `at`; inside a template's `${` it stops at the matching brace. Returns where it stopped. */
function scanCode(scan: Scan, at: number, insideTemplate: boolean): number {
  const { text } = scan;
  let depth = 0;
  let last = "";
  let index = at;
  while (index < text.length) {
    const character = text[index] ?? "";
    const next = skipped(scan, index, last);
    if (next !== index) {
      if (character !== "/" || !/[/*]/.test(text[index + 1] ?? "")) last = '"';
      index = next;
      continue;
    }
    if (character === "{") depth += 1;
    if (character === "}") {
      if (depth === 0 && insideTemplate) return index;
      depth -= 1;
    }
    if (/\w/.test(character)) {
      last = /^\w+/.exec(text.slice(index, index + 80))?.[0] ?? character;
      index += last.length;
      continue;
    }
    if (!/\s/.test(character)) last = character;
    index += 1;
  }
  return index;
}

/** The end of the comment, string, template or regular expression that starts here; `index` itself when none does. */
function skipped(scan: Scan, index: number, last: string): number {
  const { text } = scan;
  const two = text.slice(index, index + 2);
  if (two === "//") return comment(scan, index, endAt(text, "\n", index, 0));
  if (two === "/*") return comment(scan, index, endAt(text, "*/", index + 2, 2));
  const character = text[index];
  if (character === '"' || character === "'") return quoted(scan, index, character);
  if (character === "`") return template(scan, index);
  const afterValue = /^[\w$)\]"}]/.test(last) && !/^(return|typeof|case|in|of|await|yield|throw|else|void)$/.test(last);
  return character === "/" && !afterValue ? regularExpression(scan, index) : index;
}

function endAt(text: string, mark: string, from: number, width: number): number {
  const found = text.indexOf(mark, from);
  return found === -1 ? text.length : found + width;
}

function comment(scan: Scan, start: number, end: number): number {
  scan.comments.push({ start, end });
  scan.blanks.push({ start, end });
  return end;
}

function quoted(scan: Scan, start: number, quote: string): number {
  let index = start + 1;
  while (index < scan.text.length && scan.text[index] !== quote && scan.text[index] !== "\n")
    index += scan.text[index] === "\\" ? 2 : 1;
  scan.strings.push({ start, end: index + 1 });
  scan.blanks.push({ start: start + 1, end: index });
  return index + 1;
}

function template(scan: Scan, start: number): number {
  let index = start + 1;
  let blankFrom = index;
  let pieces = 0;
  while (index < scan.text.length && scan.text[index] !== "`") {
    if (scan.text[index] === "\\") index += 2;
    else if (scan.text.startsWith("${", index)) {
      scan.blanks.push({ start: blankFrom, end: index });
      pieces += 1;
      index = scanCode(scan, index + 2, true) + 1;
      blankFrom = index;
    } else index += 1;
  }
  scan.blanks.push({ start: blankFrom, end: index });
  if (pieces === 0) scan.strings.push({ start, end: index + 1 });
  return index + 1;
}

function regularExpression(scan: Scan, start: number): number {
  let inClass = false;
  for (let index = start + 1; index < scan.text.length && scan.text[index] !== "\n"; index += 1) {
    const character = scan.text[index];
    if (character === "\\") index += 1;
    else if (character === "[") inClass = true;
    else if (character === "]") inClass = false;
    else if (character === "/" && !inClass) {
      scan.blanks.push({ start: start + 1, end: index });
      return index + 1;
    }
  }
  return start;
}
