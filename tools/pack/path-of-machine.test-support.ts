// Promises the PATH a stranger has: that of this machine without anything of this repository. Trusts the environment; for tests.
import { existsSync } from "node:fs";
import { delimiter, join } from "node:path";

/** `npm run` puts the commands of node_modules first, and one of them is the pinned Node. */
export function pathOutside(): string {
  return (process.env["PATH"] ?? "")
    .split(delimiter)
    .filter((folder) => folder !== "" && !folder.includes("node_modules") && !folder.includes("node-gyp-bin"))
    .join(delimiter);
}

/** The Node a stranger's shell finds. */
export function nodeOnPath(): string {
  const name = process.platform === "win32" ? "node.exe" : "node";
  const found = pathOutside()
    .split(delimiter)
    .map((folder) => join(folder, name))
    .find((path) => existsSync(path));
  if (found === undefined) throw new Error("no node on PATH");
  return found;
}
