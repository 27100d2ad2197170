// Promises a restore that says what it does before it does it, and everything that is different afterwards.
// Trusts packages/control/src/backup, which is loaded only when asked for. Specified in docs/cli/restore.md and docs/backup.md.
import { resolve } from "node:path";
import type { RestoreReport } from "@sallyport/control/backup/restore-backup.ts";
import type { Command } from "commander";
import { CommandEnd, exitCode } from "../exit.ts";
import { ended, progressOf, signerOf, storeUrlOf, terminalOf, unlockOf } from "./backup-flags.ts";

const examples = `
Into an empty place; nothing is ever written over. Look first:
  sallyport restore /backups/monday.sallyport --key /media/safe/backup.key --signer control.vkey --data /srv/sallyport --dry-run
  sallyport restore /backups/monday.sallyport --key /media/safe/backup.key --signer control.vkey --data /srv/sallyport
  sallyport serve --config estate --data /srv/sallyport
  sallyport integration confirm --reason "went through the incident list"
`;

interface RestoreFlags {
  readonly data: string;
  readonly store?: string;
  readonly key?: string;
  readonly passphraseFile?: string;
  readonly signer?: string;
  readonly unknownSigner: boolean;
  readonly keepStates: boolean;
  readonly dryRun: boolean;
}

/** `sallyport restore`. */
export function restoreCommand(program: Command): void {
  program
    .command("restore <file>")
    .description("make an installation from a backup, in an empty place; nothing issued before is valid in it")
    .requiredOption("--data <directory>", "where it will live; empty or not there yet")
    .option("--key <file>", "private key of `backup key new`")
    .option("--passphrase-file <file>", "the passphrase, in a file readable by you alone")
    .option("--store <variable>", "environment variable with the URL of an empty PostgreSQL database; default: SQLite")
    .option("--signer <verifier>", "verifier key of control's log, or a file that holds it: proves whose backup it is")
    .option("--unknown-signer", "the verifier key is lost: take the backup whoever made it", false)
    .option(
      "--keep-states",
      "nothing was suspended or retired since the backup: do not wait for `integration confirm`",
      false,
    )
    .option("--dry-run", "judge the backup and the target, say what would happen, change nothing", false)
    .addHelpText("after", examples)
    .action(async (file: string, flags: RestoreFlags, command: Command) => {
      const terminal = terminalOf(command);
      demandSigner(flags);
      const { restoreBackup } = await import("@sallyport/control/backup/restore-backup.ts");
      const { localActor } = await import("@sallyport/control/backup/places.ts");
      const { systemClock, systemRandom } = await import("../roles/system-ports.ts");
      const progress = progressOf(terminal, "judged");
      const report = await ended(async () =>
        restoreBackup({
          path: resolve(file),
          unlock: await unlockOf(flags),
          signer: signerOf(flags.signer),
          dataDirectory: resolve(flags.data),
          storeUrl: storeUrlOf(flags.store),
          states: flags.keepStates ? "keep" : "hold",
          dryRun: flags.dryRun,
          actor: localActor(),
          clock: systemClock,
          random: systemRandom,
          onProgress: progress.at,
        }),
      ).finally(progress.end);
      const { manifest, ...rest } = report;
      const { id, createdAt, node, product, layout } = manifest;
      terminal.result({ backup: { id, createdAt, node, product, layout }, ...rest }, () => words(report));
    });
}

/** Anybody can seal a backup to a public recipient: one that nobody vouches for is only taken by somebody who says so. */
function demandSigner({ signer, unknownSigner }: Pick<RestoreFlags, "signer" | "unknownSigner">): void {
  if ((signer !== undefined) !== unknownSigner) return;
  throw new CommandEnd(
    exitCode.badUse,
    signer === undefined
      ? "say whose backup it must be: anybody can seal one to a public recipient"
      : "--signer and --unknown-signer contradict each other",
    "--signer <verifier key of control's log, or a file of it> (`sallyport audit verify <log>` prints it); --unknown-signer where it is lost",
  );
}

function words(report: RestoreReport): readonly string[] {
  const { manifest, ended: gone, dryRun } = report;
  const made = new Date(manifest.createdAt).toISOString();
  const held =
    report.states === "hold"
      ? `${gone.integrations} integrations wait: apply the estate, suspend again what was suspended after ${made}, then sallyport integration confirm`
      : `${gone.integrations} integrations are served again when their estate is applied, in the states of ${made}`;
  return [
    `${dryRun ? "would restore" : "restored"} backup ${manifest.id} of ${manifest.node}, made ${made}, into ${report.dataDirectory} (${report.dialect})`,
    `epoch      ${report.epochBefore} -> ${dryRun ? `above ${report.epochBefore}, made from the time of the restore` : report.epoch}`,
    ...report.logs.map(
      ({ origin, size }) => `log        ${origin} ends at ${size} leaves; the next origin names that end`,
    ),
    `signed by  ${report.signer}${report.signerGiven ? "" : "  (nothing outside vouches for it)"}`,
    `tokens     ${gone.keys} signing keys ended: every token issued before is refused; clients ask for new ones by themselves`,
    `gateways   ${gone.nodes} ended: each joins again with a new token, in a new data directory${manifest.layout === "all" ? " (the one of role all by itself)" : ""}`,
    `operators  ${gone.operators} keys ended: the next serve makes a new operator.key.json; operators declared in the estate stay`,
    `joining    ${gone.joinTokens} join tokens ended`,
    ...(gone.users === 0 && gone.grants === 0
      ? []
      : [
          `users      ${gone.grants} grants ended; ${gone.users} users may sign in as at the backup: disable again who left after ${made}`,
        ]),
    `states     ${held}`,
    ...(dryRun
      ? ["nothing was changed"]
      : [
          `next: sallyport serve --config <estate> --data ${report.dataDirectory}${manifest.layout === "control" ? " --role control" : ""}`,
        ]),
  ];
}
