// Promises the order in which test files run: those known to take long first, so that none of them runs alone at the end, then by path. Also tells
// how long each took. Trusts test-times.json, seconds of a run in which others used the processors too; a row that is wrong costs time, nothing else.
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const shownMax = 10;

/** Compares paths below the root. */
export function longestFirst(root: string): (a: string, b: string) => number {
  const seconds: Readonly<Record<string, number>> = JSON.parse(
    readFileSync(join(root, "tools", "test-times.json"), "utf8"),
  );
  const of = (path: string) => seconds[path.replaceAll("\\", "/")] ?? 0;
  return (a, b) => of(b) - of(a) || (a < b ? -1 : 1);
}

const inOrder = (fileMs: ReadonlyMap<string, number>) => [...fileMs].sort(([, a], [, b]) => b - a);

/** A line for each of the ten files that took longest. */
export function slowest(fileMs: ReadonlyMap<string, number>): readonly string[] {
  return inOrder(fileMs)
    .slice(0, shownMax)
    .map(([path, ms]) => `slow ${(ms / 1_000).toFixed(1).padStart(17)} s  ${path}`);
}

/** Keeps the seconds of every file in build/test-times.json, in the form of the table beside this module. */
export function writeTimes(root: string, fileMs: ReadonlyMap<string, number>): void {
  const rows = inOrder(fileMs).map(([path, ms]) => [path.replaceAll("\\", "/"), Math.round(ms / 100) / 10]);
  mkdirSync(join(root, "build"), { recursive: true });
  writeFileSync(join(root, "build", "test-times.json"), `${JSON.stringify(Object.fromEntries(rows), null, 2)}\n`);
}
