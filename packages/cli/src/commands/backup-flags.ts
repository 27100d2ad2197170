// Promises what backup and restore read from their options, one way: keys and passphrases from private files, a database from a variable.
// Trusts the files' modes. Specified in docs/cli/backup.md.
import { existsSync, readFileSync } from "node:fs";
import type { BackupLock, BackupUnlock } from "@sallyport/kernel/backup/slots.ts";
import { readPrivateFile } from "@sallyport/kernel/seal/key-file.ts";
import type { Command } from "commander";
import { CommandEnd, exitCode } from "../exit.ts";
import { createTerminal, type Terminal } from "../terminal.ts";

const passphraseBytesMax = 4_096;
const progressEveryMs = 200;

export function terminalOf(command: Command): Terminal {
  return createTerminal(command.optsWithGlobals<{ json?: boolean }>().json === true);
}

/** To whom: every recipient, and the passphrase when one is named. Throws CommandEnd when there is neither: a backup is never plain. */
export async function lockOf(flags: {
  readonly to?: readonly string[];
  readonly passphraseFile?: string;
}): Promise<readonly BackupLock[]> {
  const { parseRecipient } = await import("@sallyport/kernel/backup/recipient-text.ts");
  const recipients = (flags.to ?? []).map(
    (given): BackupLock => ({ kind: "recipient", publicKey: parseRecipient(textOf(given)) }),
  );
  const passphrase = flags.passphraseFile === undefined ? [] : [await passphraseOf(flags.passphraseFile)];
  const locks = [...recipients, ...passphrase];
  if (locks.length > 0) return locks;
  throw new CommandEnd(
    exitCode.badUse,
    "a backup holds every key of the installation, so it is never written plain: say who can open it",
    "sallyport backup key new --out backup.key, then --to with the recipient it prints; or --passphrase-file",
  );
}

/** What opens it. Throws CommandEnd unless exactly one is named. */
export async function unlockOf(flags: {
  readonly key?: string;
  readonly passphraseFile?: string;
}): Promise<BackupUnlock> {
  if ((flags.key === undefined) === (flags.passphraseFile === undefined))
    throw new CommandEnd(
      exitCode.badUse,
      "name what opens the backup, one of the two",
      "--key <file of `backup key new`>, or --passphrase-file <file>",
    );
  if (flags.passphraseFile !== undefined) return passphraseOf(flags.passphraseFile);
  const { readBackupKey } = await import("@sallyport/kernel/backup/recipient-text.ts");
  return { kind: "recipient", opener: readBackupKey(flags.key ?? "") };
}

/** A public text, or a file that holds it. */
function textOf(given: string): string {
  return given.startsWith("sallyport-backup-") || !existsSync(given) ? given : readFileSync(given, "utf8");
}

async function passphraseOf(path: string): Promise<Extract<BackupLock, { kind: "passphrase" }>> {
  const { Secret } = await import("@sallyport/kernel/seal/secret.ts");
  const bytes = readPrivateFile(path, passphraseBytesMax);
  if (bytes === null) throw new CommandEnd(exitCode.badUse, `there is no file ${path}`, "check the path");
  // An editor's last newline is not part of it.
  const end = bytes.length > 0 && bytes[bytes.length - 1] === 0x0a ? bytes.length - 1 : bytes.length;
  const passphrase = Secret.fromBytes(bytes.subarray(0, end));
  bytes.fill(0);
  return { kind: "passphrase", passphrase };
}

/** A verifier key is public: on the command line, or in a file. */
export function signerOf(given: string | undefined): string | null {
  if (given === undefined) return null;
  if (given.includes("+")) return given;
  if (existsSync(given)) return readFileSync(given, "utf8").trim();
  throw new CommandEnd(exitCode.badUse, `${given} cannot be read`, "check the path and its permissions");
}

/** The URL holds a password: only its variable is named. */
export function storeUrlOf(variable: string | undefined): string | null {
  if (variable === undefined) return null;
  const url = /^[A-Za-z_][A-Za-z0-9_]*$/.test(variable) ? process.env[variable] : undefined;
  if (url !== undefined && url !== "") return url;
  throw new CommandEnd(
    exitCode.badUse,
    "--store takes the name of an environment variable that is set: a command line is no place for a password",
    "put postgres://user:password@host:5432/database into a variable and name it, for example --store SALLYPORT_STORE",
  );
}

export interface Progress {
  readonly at: (bytes: number) => void;
  readonly end: () => void;
}

/** Megabytes so far, on one line of standard error, for people only. */
export function progressOf(terminal: Terminal, word: string): Progress {
  if (terminal.json || process.stderr.isTTY !== true) return { at: () => {}, end: () => {} };
  let shownMs = 0;
  return {
    at: (bytes) => {
      if (performance.now() - shownMs < progressEveryMs) return;
      shownMs = performance.now();
      process.stderr.write(`\r${(bytes / 1_048_576).toFixed(1)} MiB ${word}`);
    },
    end: () => void process.stderr.write("\r\u001b[K"),
  };
}

/** Codes that say the answer is no: the file is there and is not good. */
const noCodes: ReadonlySet<string> = new Set(["backup-damaged", "backup-newer", "backup-malformed", "backup-signer"]);

/** Runs it and gives a fault its exit code: 1 for a backup that is not good, 3 for a database that is away, 2 for everything else. */
export async function ended<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    const code = error instanceof Error && "code" in error ? String(error.code) : "";
    if (!(error instanceof Error) || error instanceof CommandEnd) throw error;
    if (noCodes.has(code)) throw new CommandEnd(exitCode.no, `no: ${error.message} (${code})`);
    if (code === "store-unreachable")
      throw new CommandEnd(exitCode.unreachable, error.message, "start it, or check the URL");
    throw error;
  }
}
