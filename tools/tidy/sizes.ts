// Promises that files and functions stay small: new ones under the limit, old offenders listed with a number that only falls.
// Trusts Node's own type stripping, which keeps every place, and a brace scanner over the rest: a function is a `{` after `=>`, or
// after `(…)` that no control keyword opens. Functions of tests are not measured. Limits are specified in DESIGN §10.
import { stripTypeScriptTypes } from "node:module";
import { isTest, lineOf, mask, type SourceFile, type Violation } from "./source-text.ts";

export const fileLinesMax = 400;
/** Tests are lists of promises; long lists are fine up to here. */
export const testFileLinesMax = 800;
export const functionLinesMax = 60;

export interface Ratchet {
  /** Path -> lines. */
  readonly files: Readonly<Record<string, number>>;
  /** `path#function` -> lines. */
  readonly functions: Readonly<Record<string, number>>;
  /** Problem codes that no test names yet. */
  readonly codesWithoutTest: readonly string[];
}

export interface MeasuredFunction {
  readonly name: string;
  readonly line: number;
  readonly lines: number;
}

const control = new Set(["if", "for", "while", "switch", "catch", "with", "await"]);

/** Functions with a body in braces, in order of their end. */
export function functionsOf(text: string): readonly MeasuredFunction[] {
  const { code } = mask(stripTypeScriptTypes(text, { mode: "strip" }));
  const open: { at: number; name: string | undefined }[] = [];
  const found: MeasuredFunction[] = [];
  for (let at = 0; at < code.length; at += 1) {
    if (code[at] === "{") open.push({ at, name: nameOfBody(code, at) });
    if (code[at] !== "}") continue;
    const started = open.pop();
    if (started?.name === undefined) continue;
    const line = lineOf(code, started.at);
    found.push({ name: started.name, line, lines: lineOf(code, at) - line + 1 });
  }
  return found;
}

/** The name of the function whose body opens here; undefined when this brace is something else. */
function nameOfBody(code: string, brace: number): string | undefined {
  const before = code.slice(0, brace).trimEnd();
  if (before.endsWith("=>")) return arrowName(before.slice(0, -2).trimEnd());
  if (!before.endsWith(")")) return undefined;
  const word = /([\w$#]+)\s*$/.exec(before.slice(0, openingOf(before, before.length - 1)))?.[1];
  if (word === undefined) return "anonymous";
  return control.has(word) ? undefined : word === "function" ? "anonymous" : word;
}

function arrowName(before: string): string {
  const head = before.endsWith(")")
    ? before.slice(0, openingOf(before, before.length - 1))
    : before.replace(/[\w$]+$/, "");
  return /([\w$#]+)\s*[=:]\s*(?:async\s*)?$/.exec(head)?.[1] ?? "anonymous";
}

function openingOf(code: string, closing: number): number {
  let depth = 0;
  for (let at = closing; at >= 0; at -= 1) {
    if (code[at] === ")") depth += 1;
    if (code[at] === "(") depth -= 1;
    if (depth === 0) return at;
  }
  return 0;
}

export function oversized(files: readonly SourceFile[], ratchet: Ratchet): readonly Violation[] {
  const code = files.filter(({ path }) => /^(packages|tools|examples|bench)\/.*\.ts$/.test(path));
  const found: Violation[] = [];
  const sizes = new Map<string, number>();
  for (const { path, text } of code) {
    const lines = text.split("\n").length - (text.endsWith("\n") ? 1 : 0);
    const max = isTest(path) ? testFileLinesMax : fileLinesMax;
    if (lines > max) sizes.set(path, lines);
    found.push(...tooBig({ path, line: 1, what: path, lines, max, noted: ratchet.files[path] }));
    if (isTest(path)) continue;
    for (const { name, line, lines: length } of functionsOf(text)) {
      const key = `${path}#${name}`;
      if (length > functionLinesMax) sizes.set(key, Math.max(length, sizes.get(key) ?? 0));
      found.push(
        ...tooBig({
          path,
          line,
          what: `function ${name}`,
          lines: length,
          max: functionLinesMax,
          noted: ratchet.functions[key],
        }),
      );
    }
  }
  return [...found, ...slack({ ...ratchet.files, ...ratchet.functions }, sizes)];
}

interface Measure {
  readonly path: string;
  readonly line: number;
  readonly what: string;
  readonly lines: number;
  readonly max: number;
  readonly noted: number | undefined;
}

function tooBig({ path, line, what, lines, max, noted }: Measure): readonly Violation[] {
  if (lines <= Math.max(max, noted ?? 0)) return [];
  const message =
    noted === undefined
      ? `${what} has ${lines} lines, the limit is ${max}: let the parent branch and move the leaves out`
      : `${what} grew from ${noted} to ${lines} lines: it is over the limit of ${max} and may only shrink`;
  return [{ path, line, message }];
}

/** A number in the ratchet that is higher than the truth would let a function grow back. */
function slack(noted: Readonly<Record<string, number>>, sizes: ReadonlyMap<string, number>): readonly Violation[] {
  return Object.entries(noted).flatMap(([key, number]) => {
    const actual = sizes.get(key);
    if (actual !== undefined && actual >= number) return [];
    const fix = actual === undefined ? "remove the entry" : `lower the number to ${actual}`;
    return [{ path: "tools/tidy/ratchet.json", line: 1, message: `${key} is better than noted (${number}): ${fix}` }];
  });
}
