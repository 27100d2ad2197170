// Promises to judge a log offline, to show what it says of one crossing, and to make and check receipts anyone can verify.
// Trusts the verifier key and the checkpoints given on the command line, and nothing in the directory. Specified in docs/audit.md and docs/formats/leaf.md.
import type { VerifyReport } from "@sallyport/kernel/log/verify.ts";
import type { Command } from "commander";
import type { Connect } from "../admin-client.ts";
import { CommandEnd, exitCode } from "../exit.ts";
import type { Terminal } from "../terminal.ts";
import { auditArchiveCommands } from "./audit-archive.ts";
import { edgesCommand } from "./audit-edges.ts";
import { readFile, readKey, terminalOf, writeNew } from "./audit-files.ts";
import { archiveCommands, archivedLogOf } from "./audit-held.ts";
import { auditHoldCommands } from "./audit-hold.ts";
import { policyLine, readPolicy } from "./audit-policy.ts";
import { receiptCommands } from "./audit-receipts.ts";
import { searchCommands } from "./audit-search.ts";
import { tailCommand } from "./audit-tail.ts";
import { witnessCommands } from "./audit-witnesses.ts";

/** `sallyport audit …`; all but what asks control works without it. */
export function auditCommands(program: Command, connect: Connect): void {
  const group = program
    .command("audit")
    .description(
      "verify a log, show what it says, make and check receipts, offline over files; find records over all nodes",
    );
  verifyCommand(group);
  showCommand(group);
  receiptCommands(group);
  checkpointsCommand(group, connect);
  searchCommands(group, connect);
  tailCommand(group, connect);
  edgesCommand(group, connect);
  auditArchiveCommands(group);
  auditHoldCommands(group, connect);
  archiveCommands(group, connect);
  witnessCommands(group, connect);
}

function checkpointsCommand(group: Command, connect: Connect): void {
  group
    .command("checkpoints")
    .description("write the checkpoints that control keeps of every gateway to a file for audit verify --older")
    .requiredOption("--out <file>", "where to write them; never overwritten")
    .action(async (flags: { readonly out: string }, command: Command) => {
      const { client, terminal } = await connect(command);
      const kept = await client.call<readonly { readonly origin: string; readonly note: string }[]>(
        "GET",
        "/v1/checkpoints",
      );
      writeNew(flags.out, kept.map(({ note }) => `${note}\n`).join(""));
      const origins = kept.map(({ origin }) => origin);
      terminal.result({ file: flags.out, origins }, () => [`${flags.out}: ${origins.length} checkpoints`, ...origins]);
    });
}

const verifyExamples = `
Without --key the log is checked against the key that lies beside it: that finds damage, not a rewrite by
whoever owns the directory. A rewrite is found with a key and a checkpoint kept elsewhere:
  sallyport audit verify .sallyport/gateway/log --key gateway.vkey --older /mnt/elsewhere/checkpoints
What control holds of a gateway, on control's host:
  sallyport audit verify .sallyport/control --archive gw-4b955d09167a --older kept.checkpoints
`;

type LogProblem = VerifyReport["problems"][number];

interface VerifyFlags {
  readonly key?: string;
  readonly older?: readonly string[];
  readonly policy?: string;
  readonly live: boolean;
  readonly archive?: string;
}

function verifyCommand(group: Command): void {
  group
    .command("verify <directory>")
    .description("check every byte of a log directory: exit 0 when it is whole, unchanged and complete, 1 when not")
    .option("--key <key>", "verifier key (<origin>+<id>+<base64>), or a file that holds it; default: the log's own")
    .option("--older <file...>", "checkpoints kept elsewhere, which the log must still extend")
    .option("--policy <file>", "which witnesses must have cosigned a checkpoint of it (C2SP tlog-policy)")
    .option("--live", "the log is being written: crossings still open are not held against it", false)
    .option("--archive <node>", "the archived log of this node; <directory> is then control's data directory")
    .addHelpText("after", verifyExamples)
    .action(async (given: string, flags: VerifyFlags, command: Command) => {
      const directory = flags.archive === undefined ? given : await archivedLogOf(given, flags.archive);
      const { verifyLogDirectory } = await import("@sallyport/kernel/log/verify.ts");
      const terminal = terminalOf(command);
      const key = flags.key === undefined ? await ownKey(directory) : readKey(flags.key);
      const older = (flags.older ?? []).map((path) => readFile(path).toString("utf8"));
      const policy = flags.policy === undefined ? null : await readPolicy(flags.policy, directory);
      const report = verifyLogDirectory(directory, {
        verifierKey: key,
        olderCheckpoints: [...older, ...(policy?.notes ?? [])],
        // An archived log ends where its node was heard last: a crossing may be open there for ever.
        live: flags.live || flags.archive !== undefined,
        onProgress: progressOf(terminal),
      });
      const trust = flags.key === undefined ? "own" : "given";
      const origins = report.origins.map(printableOrigin);
      const judged = policy?.report(key) ?? null;
      const said = { ...report, origins, verifierKey: key, keyFrom: trust, olderFiles: older.length };
      terminal.result(judged === null ? said : { ...said, policy: judged }, () => [
        ...(judged === null ? [] : [policyLine(judged, report.origins.at(-1)?.leaves ?? 0)]),
        ...verifyWords(report, { key, trust, older: older.length }),
      ]);
      if (!report.ok || judged?.met === false) throw new CommandEnd(exitCode.no, "");
    });
}

/** JSON knows no bytes: a root is base64, as in the checkpoint it stands in. */
function printableOrigin({ checkpoint, root, ...origin }: VerifyReport["origins"][number]) {
  const base64 = (bytes: Uint8Array) => Buffer.from(bytes).toString("base64");
  return {
    ...origin,
    root: root === null ? null : Buffer.from(root, "hex").toString("base64"),
    checkpoint: checkpoint === null ? null : { ...checkpoint, root: base64(checkpoint.root) },
  };
}

/** The count of leaves so far, on one line of standard error, for people only. */
function progressOf(terminal: Terminal): (leaves: number) => void {
  if (terminal.json || process.stderr.isTTY !== true) return () => {};
  return (leaves) => process.stderr.write(`\r${leaves} leaves checked`);
}

function verifyWords(
  report: VerifyReport,
  given: { readonly key: string; readonly trust: "own" | "given"; readonly older: number },
): readonly string[] {
  const { counts } = report;
  const lines = report.origins.flatMap((origin) => [
    `origin     ${origin.origin}`,
    origin.size === null
      ? "  checkpoint  none that the key signed"
      : origin.removed === true
        ? `  removed     its ${origin.size} leaves are not here; only its last checkpoint, root ${origin.root}, was judged`
        : `  checkpoint  ${origin.size} of ${origin.leaves} leaves, root ${origin.root}`,
  ]);
  lines.push(
    `signer     ${given.key}${given.trust === "own" ? "  (the key in the directory: nothing outside vouches for it)" : ""}`,
    `extends    ${given.older === 0 ? "no older checkpoint was given" : `checkpoints of ${given.older} ${given.older === 1 ? "file" : "files"} kept elsewhere`}`,
    `crossings  ${counts.crossings}: ${counts.intents} intents, ${counts.outcomes} outcomes, ${counts.unknown} of them found at recovery, ${report.open.length} open`,
    ...tallyWords(report.tallies),
    ...report.problems.map(problemLine),
  );
  if (report.ok) return [...lines, `yes: ${report.leaves} leaves are whole, unchanged and complete`];
  const first = report.firstBad;
  return [...lines, `no: ${first === null ? "see above" : `the first bad place is ${problemLine(first)}`}`];
}

/** What the listeners counted, and where nobody did. */
function tallyWords({ tallies, seen, refused, unread, uncounted, crashes, crashWindows }: VerifyReport["tallies"]) {
  if (tallies === 0 && uncounted === 0) return [];
  const time = (ms: number | null) => (ms === null ? "the end" : new Date(ms).toISOString());
  const lines = [
    `seen       ${seen} at the listeners, in ${tallies} tallies; ${refused} refused for want of a record, ${unread} that never became a request${uncounted === 0 ? "" : `; ${uncounted} crossings nobody counted, from before there were tallies`}`,
    ...crashWindows.map(
      ({ from, until, leaves }) =>
        `crash      ${time(from)} to ${time(until)}: ${leaves} crossings found, how many there were is not known`,
    ),
  ];
  if (crashes > crashWindows.length) lines.push(`crash      and ${crashes - crashWindows.length} more`);
  return lines;
}

function problemLine(problem: LogProblem): string {
  const place = problem.file === null ? problem.origin : `${problem.file}:${problem.offset ?? "-"}`;
  const leaf = problem.index === null ? "" : ` leaf ${problem.index}`;
  return `${problem.kind}: ${place}${leaf}: ${problem.message}`;
}

function showCommand(group: Command): void {
  group
    .command("show <id>")
    .description("the leaves a log holds of one crossing or event; exit 1 when there are none")
    .requiredOption("--log <directory>", "log directory, for example .sallyport/gateway/log")
    .addHelpText("after", "\nThe full reason of a denial is sealed to control: sallyport why <id>\n")
    .action(async (id: string, flags: { readonly log: string }, command: Command) => {
      const found = await leavesOf(flags.log, id);
      terminalOf(command).result(
        found.map(({ origin, index, leaf }) => ({ origin, index, leaf: JSON.parse(leaf) })),
        () => found.map(({ origin, index, leaf }) => `${origin} leaf ${index}\n  ${leaf}`),
      );
      if (found.length === 0)
        throw new CommandEnd(
          exitCode.no,
          `${flags.log} holds no leaf of ${id}`,
          "ask the node named in the id, or control, which has the archive: sallyport why <id>",
        );
    });
}

interface FoundLeaf {
  readonly origin: string;
  readonly index: number;
  readonly leaf: string;
}

async function leavesOf(directory: string, id: string): Promise<readonly FoundLeaf[]> {
  const { findInSegments } = await import("@sallyport/kernel/log/segment-lookup.ts");
  const { realDisk } = await import("@sallyport/kernel/log/real-disk.ts");
  const disk = realDisk();
  return (await originsOf(directory)).flatMap(({ origin, folder }) =>
    findInSegments({ disk, directory: folder, origin }, id).map(({ index, leaf }) => ({
      origin,
      index,
      leaf: Buffer.from(leaf).toString("latin1"),
    })),
  );
}

/** The origins of a log by their published checkpoints, oldest first. Throws CommandEnd when the directory holds no log. */
async function originsOf(directory: string): Promise<readonly { readonly origin: string; readonly folder: string }[]> {
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
async function ownKey(directory: string): Promise<string> {
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
