// Promises that test identities stay where they were made: dev marks its data directory, serve refuses a marked one, dev refuses serve's.
// Trusts the file system. Specified in docs/cli/dev.md "What dev keeps".
import { existsSync, lstatSync, mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { CommandEnd, exitCode } from "../exit.ts";

/** In the data directory of `dev`. */
const markFile = "made-by-dev";
const markText =
  "This directory was made by `sallyport dev` and holds test identities. `sallyport serve` refuses it.\n";

/** Throws CommandEnd (bad use) when the directory, or the one it lies in, is dev's. */
export function assertNotDevData(dataDirectory: string): void {
  const marked = [dataDirectory, dirname(dataDirectory)].find((directory) => existsSync(join(directory, markFile)));
  if (marked === undefined) return;
  throw new CommandEnd(
    exitCode.badUse,
    `${marked} was made by \`sallyport dev\` and holds test identities, which must not become real`,
    `name another directory, for example --data ${join(dirname(marked), ".sallyport-serve")}; or remove this one: rm -r ${marked}`,
  );
}

/** Makes and marks dev's directory; `fresh` empties one that an earlier dev made. Throws CommandEnd (bad use) when it is somebody else's. */
export function openDevData(dataDirectory: string, fresh: boolean): void {
  const mark = markOf(dataDirectory);
  if (mark === "foreign")
    throw new CommandEnd(
      exitCode.badUse,
      `${join(dataDirectory, markFile)} is not a file that \`sallyport dev\` wrote here: it came with the folder, and so may what lies beside it`,
      `look at it, then remove it: rm -r ${dataDirectory}; or name another directory with --data`,
    );
  const isOurs = mark === "ours";
  if (!isOurs && existsSync(dataDirectory) && readdirSync(dataDirectory).length > 0)
    throw new CommandEnd(
      exitCode.badUse,
      `${dataDirectory} holds something that \`sallyport dev\` did not make, and dev would put test identities into it`,
      `name another directory: sallyport dev --data ${join(dirname(dataDirectory), ".sallyport-dev")}`,
    );
  if (fresh && isOurs) rmSync(dataDirectory, { recursive: true });
  mkdirSync(dataDirectory, { recursive: true, mode: 0o700 });
  if (isOurs && !fresh) return;
  // Never through a link, and never over anything.
  writeFileSync(join(dataDirectory, markFile), markText, { mode: 0o600, flag: "wx" });
}

/** What comes with a repository or an archive is a link, or has the modes of a file that is checked out: dev's own mark is its owner's alone. */
function markOf(dataDirectory: string): "ours" | "foreign" | null {
  const found = lstatSync(join(dataDirectory, markFile), { throwIfNoEntry: false });
  if (found === undefined) return null;
  const isMine = process.getuid === undefined || (found.uid === process.getuid() && (found.mode & 0o077) === 0);
  return found.isFile() && isMine ? "ours" : "foreign";
}

/** Removes what openDevData made. */
export function removeDevData(dataDirectory: string): void {
  if (markOf(dataDirectory) === "ours") rmSync(dataDirectory, { recursive: true });
}
