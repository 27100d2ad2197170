// Promises which test files run one at a time, after all others: those that judge how long something takes, or how much processor time, which neighbours
// would change. Trusts tests-alone.json, which says of each what it measures; a path there that is no test file is an error.
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";

/** Paths below the root, with slashes. Throws an Error that names a file that is not there. */
export function filesAlone(root: string): ReadonlySet<string> {
  const file = join(root, "tools", "tests-alone.json");
  const measures: Readonly<Record<string, string>> = JSON.parse(readFileSync(file, "utf8"));
  for (const path of Object.keys(measures))
    if (!existsSync(join(root, path))) throw new Error(`${file} names ${path}, which is not there: take its line out`);
  return new Set(Object.keys(measures));
}
