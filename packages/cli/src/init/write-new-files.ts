// Promises that new files are written all or none, and that nothing which is there, a link that leads nowhere included, is ever overwritten.
// Trusts the file system's exclusive create. Specified in docs/cli/init.md.
import { lstatSync, mkdirSync, realpathSync, rmdirSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join, resolve, sep } from "node:path";
import { CommandEnd, exitCode } from "../exit.ts";
import type { NewFile } from "./starter-estate.ts";

/** Those of the files that are there already. */
export function filesThere(directory: string, files: readonly NewFile[]): readonly string[] {
  return files.map(({ file }) => file).filter((file) => isThere(join(directory, file)));
}

/** Writes the files below a directory, which is made when it is not there. Throws CommandEnd (bad use), with everything it made taken away again. */
export function writeNewFiles(directory: string, files: readonly NewFile[]): void {
  const there = filesThere(directory, files).map((file) => join(directory, file));
  if (there.length > 0)
    throw new CommandEnd(
      exitCode.badUse,
      `nothing is written, because these exist already: ${there.join(", ")}`,
      "name another directory, other names, or move them away; nothing is ever overwritten",
    );
  const made: { readonly kind: "file" | "folder"; readonly path: string }[] = [];
  let path = directory;
  try {
    for (const folder of makeFolders(directory)) made.push({ kind: "folder", path: folder });
    const root = realpathSync(directory);
    for (const { file, text } of files) {
      path = join(directory, file);
      for (const folder of makeFolders(dirname(path))) made.push({ kind: "folder", path: folder });
      const parent = realpathSync(dirname(path));
      if (parent !== root && !parent.startsWith(root.endsWith(sep) ? root : root + sep))
        throw new CommandEnd(
          exitCode.badUse,
          `${dirname(path)} is a link out of ${directory}`,
          "make it a folder of its own",
        );
      writeFileSync(path, text, { flag: "wx", mode: 0o644 });
      made.push({ kind: "file", path });
    }
  } catch (error) {
    takeAway(made);
    if (error instanceof CommandEnd) throw error;
    const code = error instanceof Error && "code" in error ? ` (${String(error.code)})` : "";
    throw new CommandEnd(
      exitCode.badUse,
      `${path} cannot be written${code}, so nothing is`,
      "name a directory that is writable",
    );
  }
}

/** Makes a folder and those above it; the ones that were not there, outermost first. */
function makeFolders(path: string): readonly string[] {
  const missing: string[] = [];
  for (let at = resolve(path); !isThere(at); at = dirname(at)) missing.unshift(at);
  for (const folder of missing) mkdirSync(folder);
  return missing;
}

function takeAway(made: readonly { readonly kind: "file" | "folder"; readonly path: string }[]): void {
  for (const { kind, path } of made.toReversed()) {
    try {
      if (kind === "file") rmSync(path);
      else rmdirSync(path);
    } catch {
      // Somebody else's by now: it is theirs to keep.
    }
  }
}

/** Also true of a link that leads nowhere. Below what is no folder there is nothing. */
function isThere(path: string): boolean {
  try {
    return lstatSync(path, { throwIfNoEntry: false }) !== undefined;
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOTDIR") return false;
    throw error;
  }
}
