// Promises that a backup is encrypted or not made, and that its keys are in files and never on a command line.
// Trusts packages/control/src/backup, which is loaded only when asked for. Specified in docs/cli/backup.md and docs/backup.md.
import { resolve } from "node:path";
import type { Command } from "commander";
import { ended, lockOf, progressOf, signerOf, storeUrlOf, terminalOf, unlockOf } from "./backup-flags.ts";

const examples = {
  create: `
Serving goes on meanwhile. Make the key pair first, and keep its file where the backups are not:
  sallyport backup key new --out /media/safe/backup.key
  sallyport backup create --out /backups/monday.sallyport --to sallyport-backup-mJ0…-1f2e3d4c
  sallyport backup create --store SALLYPORT_STORE --out /backups/monday.sallyport --passphrase-file passphrase
`,
  verify: `
Restores into a temporary folder, so a backup that passes can be restored:
  sallyport backup verify /backups/monday.sallyport --key /media/safe/backup.key
`,
};

/** `sallyport backup create|verify|key new`. */
export function backupCommands(program: Command): void {
  const group = program
    .command("backup")
    .description("make an encrypted backup of a running installation, and prove that one can be restored");
  createCommand(group);
  verifyCommand(group);
  const key = group.command("key").description("the key pair that backups are encrypted to");
  key
    .command("new")
    .description("make a key pair: the private half into a file, the recipient printed")
    .requiredOption("--out <file>", "where the private key goes (0600); never overwritten")
    .action(async (flags: { readonly out: string }, command: Command) => {
      const { writeBackupKey } = await import("@sallyport/kernel/backup/recipient-text.ts");
      const { systemRandom } = await import("../roles/system-ports.ts");
      const recipient = await ended(async () => writeBackupKey(resolve(flags.out), systemRandom));
      terminalOf(command).result({ file: resolve(flags.out), recipient }, () => [
        recipient,
        `  the private key is in ${resolve(flags.out)}; without it no backup made for this recipient opens`,
      ]);
    });
}

interface CreateFlags {
  readonly data: string;
  readonly store?: string;
  readonly out: string;
  readonly to?: readonly string[];
  readonly passphraseFile?: string;
}

function createCommand(group: Command): void {
  group
    .command("create")
    .description("write everything control needs to serve again into one encrypted file, while it serves")
    .requiredOption("--out <file>", "the file to make (0600); never overwritten")
    .option("--data <directory>", "the --data of the installation", ".sallyport")
    .option("--to <recipient...>", "who can open it: recipients of `backup key new`, or files that hold one")
    .option("--passphrase-file <file>", "a passphrase that opens it, in a file readable by you alone")
    .option(
      "--store <variable>",
      "environment variable that holds the PostgreSQL URL of the control store; default: SQLite under --data",
    )
    .addHelpText("after", examples.create)
    .action(async (flags: CreateFlags, command: Command) => {
      const terminal = terminalOf(command);
      const { createBackup } = await import("@sallyport/control/backup/create-backup.ts");
      const { localActor } = await import("@sallyport/control/backup/places.ts");
      const { systemClock, systemRandom } = await import("../roles/system-ports.ts");
      const progress = progressOf(terminal, "written");
      const { bytes, manifest } = await ended(async () =>
        createBackup({
          tenant: "main",
          dataDirectory: resolve(flags.data),
          storeUrl: storeUrlOf(flags.store),
          path: resolve(flags.out),
          locks: await lockOf(flags),
          actor: localActor(),
          clock: systemClock,
          random: systemRandom,
          onProgress: progress.at,
        }),
      ).finally(progress.end);
      const { parts: _parts, schema: _schema, ...said } = manifest;
      terminal.result({ file: resolve(flags.out), bytes, ...said }, () => [
        `${resolve(flags.out)}: backup ${manifest.id}, ${bytes} bytes`,
        `  ${rowsOf(manifest.tables)} rows (${manifest.dialect}) as of ${new Date(manifest.createdAt).toISOString()}, epoch ${manifest.epoch}`,
        ...manifest.logs.map(({ origin, size }) => `  log ${origin}, ${size} leaves`),
        "  try it: sallyport backup verify",
      ]);
    });
}

interface VerifyFlags {
  readonly key?: string;
  readonly passphraseFile?: string;
  readonly signer?: string;
}

function verifyCommand(group: Command): void {
  group
    .command("verify <file>")
    .description(
      "can this backup be restored? every byte, row, key and log is judged; exit 1 names the first bad place",
    )
    .option("--key <file>", "private key of `backup key new`")
    .option("--passphrase-file <file>", "the passphrase, in a file readable by you alone")
    .option("--signer <verifier>", "verifier key of control's log, or a file that holds it: proves whose backup it is")
    .addHelpText("after", examples.verify)
    .action(async (file: string, flags: VerifyFlags, command: Command) => {
      const terminal = terminalOf(command);
      const { verifyBackup } = await import("@sallyport/control/backup/verify-backup.ts");
      const { systemClock, systemRandom } = await import("../roles/system-ports.ts");
      const progress = progressOf(terminal, "judged");
      const { manifest, signer, signerGiven } = await ended(async () =>
        verifyBackup({
          path: resolve(file),
          unlock: await unlockOf(flags),
          signer: signerOf(flags.signer),
          clock: systemClock,
          random: systemRandom,
          onProgress: progress.at,
        }),
      ).finally(progress.end);
      const { parts, schema: _schema, ...said } = manifest;
      terminal.result({ valid: true, ...said, parts: parts.length, signer, signerGiven }, () => [
        `backup ${manifest.id} of ${manifest.node}, made ${new Date(manifest.createdAt).toISOString()} by ${manifest.product}`,
        `  ${rowsOf(manifest.tables)} rows (${manifest.dialect}), epoch ${manifest.epoch}, ${parts.length} parts`,
        ...manifest.logs.map(({ origin, size, root }) => `  log ${origin}, ${size} leaves, root ${root}`),
        `  signed by ${signer}${signerGiven ? "" : "  (nothing outside vouches for it: give --signer)"}`,
        "yes: it can be restored",
      ]);
    });
}

function rowsOf(tables: Readonly<Record<string, number>>): number {
  return Object.values(tables).reduce((sum, rows) => sum + rows, 0);
}
