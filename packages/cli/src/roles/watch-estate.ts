// Promises one call for a burst of changes to the files of an estate, and none for what else lies beside them: state, dependencies, hidden
// folders. An estate may be the folder somebody works in. Trusts the file system's events. Specified in docs/cli/serve.md.
import { type FSWatcher, readdirSync, watch } from "node:fs";
import { join } from "node:path";

/** Editors write a file in several steps; one call follows the last of them. */
const quietMs = 200;
/** Folders at the top of an estate that are watched; more are not. */
const foldersMax = 256;

/** What programs write beside an estate, their logs first: serving that logs into its own folder would hear itself for ever. */
const besideEstate = /\.(log|out|err|pid|tmp|swp|bak|before|orig|md|js|mjs|cjs|ts|sh|txt|html|key|token)$|~$/;

/** Can a change of this name at the top of an estate change the estate? */
function isOfEstate(name: string): boolean {
  return !name.startsWith(".") && name !== "node_modules" && !besideEstate.test(name);
}

/** Calls `changed` after each burst; returns how to stop. `failed` is told when the watching itself fails. */
export function watchEstate(directory: string, changed: () => void, failed: (error: unknown) => void): () => void {
  const folders = new Map<string, FSWatcher>();
  let timer: NodeJS.Timeout | null = null;
  const touch = (): void => {
    if (timer !== null) clearTimeout(timer);
    timer = setTimeout(changed, quietMs);
  };
  const open = (path: string, recursive: boolean, heard: (name: string | null) => void): FSWatcher =>
    watch(path, { recursive }, (_event, name) => heard(name)).on("error", failed);
  const inFolder = (name: string | null): void => {
    if (name === null || !besideEstate.test(name)) touch();
  };
  /** Folders that came are watched, those that went are not. */
  const follow = (): void => {
    const found = new Set(
      readdirSync(directory, { withFileTypes: true })
        .filter((entry) => entry.isDirectory() && isOfEstate(entry.name))
        .slice(0, foldersMax)
        .map(({ name }) => name),
    );
    for (const name of found) if (!folders.has(name)) folders.set(name, open(join(directory, name), true, inFolder));
    for (const [name, watcher] of folders) {
      if (found.has(name)) continue;
      watcher.close();
      folders.delete(name);
    }
  };
  const top = open(directory, false, (name) => {
    if (name !== null && !isOfEstate(name)) return;
    try {
      follow();
    } catch (error) {
      failed(error);
    }
    touch();
  });
  follow();
  return () => {
    if (timer !== null) clearTimeout(timer);
    top.close();
    for (const watcher of folders.values()) watcher.close();
  };
}
