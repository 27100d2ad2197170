// Promises what a log directory says of itself: its origins, and the key that belongs to it. Trusts the directory; who must not, gives a key.
// Specified in docs/formats/leaf.md "On disk".
import { CommandEnd, exitCode } from "../exit.ts";
import { readFile } from "./audit-files.ts";

/** The origins of a log by their published checkpoints, oldest first. Throws CommandEnd when the directory holds no log. */
export async function originsOf(
  directory: string,
): Promise<readonly { readonly origin: string; readonly folder: string }[]> {
  const { join } = await import("node:path");
  const { yearFolders } = await import("@sallyport/kernel/log/origin.ts");
  const { realDisk } = await import("@sallyport/kernel/log/real-disk.ts");
  const { logFolders } = await import("@sallyport/kernel/log/seam.ts");
  const { parseCheckpointBody } = await import("@sallyport/protocol/audit/checkpoint.ts");
  const { parseNote } = await import("@sallyport/protocol/audit/note.ts");
  const disk = realDisk();
  const folders = [...logFolders(disk, directory)]
    .reverse()
    .flatMap((log) => yearFolders(disk.list(log)).map((year) => join(log, String(year))));
  if (folders.length === 0)
    throw new CommandEnd(
      exitCode.badUse,
      `${directory} holds no log`,
      "name the folder that holds a folder per year, for example .sallyport/gateway/log",
    );
  return folders.map((folder) => {
    const note = parseNote(readFile(join(folder, "checkpoint")).toString("utf8"));
    const checkpoint = parseCheckpointBody(note?.text ?? "");
    if (checkpoint === null)
      throw new CommandEnd(
        exitCode.badUse,
        `${folder}/checkpoint is not a checkpoint`,
        `sallyport audit verify ${directory} says more`,
      );
    return { origin: checkpoint.origin, folder };
  });
}

/** The verifier key of the private key that lies in the directory: good for finding damage, worth nothing against its owner. */
export async function ownKey(directory: string): Promise<string> {
  const { loadLogKey, sha256 } = await import("@sallyport/kernel/log/log-crypto.ts");
  const { realDisk } = await import("@sallyport/kernel/log/real-disk.ts");
  const { printVerifierKey } = await import("@sallyport/protocol/audit/note.ts");
  const disk = realDisk();
  const { readVerifierKey } = await import("@sallyport/kernel/log/seam.ts");
  const newest = (await originsOf(directory)).at(-1);
  const ended = readVerifierKey(disk, directory);
  // A log that a restore ended has only its public key.
  if (newest !== undefined && ended !== null) return printVerifierKey(sha256, newest.origin, ended.publicKey);
  if (newest === undefined || !disk.list(directory).includes("log.key"))
    throw new CommandEnd(
      exitCode.badUse,
      `${directory} has no log.key to check with`,
      "give the verifier key with --key",
    );
  return printVerifierKey(sha256, newest.origin, loadLogKey(disk, directory).publicKey);
}

/** The verifier keys in arguments and files, one a line. */
export function readKeys(given: readonly string[]): readonly string[] {
  return given
    .flatMap((one) => (one.includes("+") ? [one] : readFile(one).toString("utf8").split("\n")))
    .map((line) => line.trim())
    .filter((line) => line !== "");
}

/** Of several keys the one of this log; a single one is taken as it is, and judged. Throws CommandEnd where none is. */
export async function keyOfLog(directory: string, keys: readonly string[]): Promise<string> {
  const [only, second] = keys;
  if (only !== undefined && second === undefined) return only;
  const { sameLog } = await import("@sallyport/protocol/audit/checkpoint.ts");
  const origin = (await originsOf(directory)).at(-1)?.origin ?? "";
  const found = keys.find((key) => sameLog(key.slice(0, Math.max(0, key.indexOf("+"))), origin));
  if (found !== undefined) return found;
  throw new CommandEnd(
    exitCode.badUse,
    `${directory} is the log ${origin}, and none of the ${keys.length} keys is of it`,
    "give its verifier key with --key too, or verify it by itself",
  );
}
