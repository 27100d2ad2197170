// Promises that an operator sees where copies of the log go and how far each is, tries one, holds it, sends again; and that a copy is checked without control.
// Trusts control's admin API; of a copy nothing. Specified in docs/export.md and docs/cli/export.md.
import { createReadStream, readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import type { ExportStanding, ExportTest } from "@sallyport/control/audit/export/export-fold.ts";
import type { ExportReport } from "@sallyport/control/audit/export/exports.ts";
import type { CopyReport, LogHashes, SignedSize } from "@sallyport/control/audit/export/verify-export.ts";
import type { Command } from "commander";
import type { Connect } from "../admin-client.ts";
import { CommandEnd, exitCode } from "../exit.ts";
import { ago } from "../start/status-words.ts";
import { createTerminal } from "../terminal.ts";

/** `sallyport export list|test|pause|resume|replay|verify`. */
export function exportCommands(program: Command, connect: Connect): void {
  const group = program
    .command("export")
    .description("copies of the log for a SIEM: where they go, how far, whether whole");
  listCommand(group, connect);
  testCommand(group, connect);
  holdCommand(group, connect, "pause");
  holdCommand(group, connect, "resume");
  replayCommand(group, connect);
  verifyCommand(group);
}

const pathOf = (name: string, act: string): string => `/v1/exports/${encodeURIComponent(name)}/${act}`;

function listCommand(group: Command, connect: Connect): void {
  group
    .command("list")
    .description("every sink with what it gets and how far it is behind; exit 1 when one does not keep up")
    .action(async (_flags: unknown, command: Command) => {
      const { client, terminal } = await connect(command);
      const sinks = await client.call<readonly ExportReport[]>("GET", "/v1/exports");
      terminal.result(sinks, () =>
        sinks.length === 0
          ? ["no copy of the log goes anywhere: serve --exports <folder>"]
          : [
              ...terminal.table([["SINK", "TO", "WHERE", "FORMAT", "BEHIND", "STATE"], ...sinks.map(rowOf)]),
              ...sinks.flatMap(faultLine),
            ],
      );
      if (sinks.some(({ fault, standing }) => fault !== null && standing?.pausedSinceMs === null))
        throw new CommandEnd(exitCode.no, "");
    });
}

function rowOf({ sink, to, where, format, behind, behindSince, fault, standing }: ExportReport): readonly string[] {
  const since = behindSince === null ? "" : `, ${ago(Date.now() - behindSince)}`;
  const paused = standing?.pausedSinceMs ?? null;
  const state = paused !== null ? `paused ${ago(Date.now() - paused)} ago` : fault !== null ? "fault" : "sends";
  const dead = standing === null || standing.deadLetters === 0 ? "" : `, ${standing.deadLetters} dead letters`;
  return [sink, to, where, format, behind === 0 ? "0" : `${behind} records${since}`, `${state}${dead}`];
}

const faultLine = ({ sink, fault, standing }: ExportReport): readonly string[] =>
  fault === null || standing?.pausedSinceMs != null ? [] : [`${sink}: ${fault}`];

function testCommand(group: Command, connect: Connect): void {
  group
    .command("test <name>")
    .description("send one event that is no record to a sink; exit 1 when it is not taken")
    .action(async (name: string, _flags: unknown, command: Command) => {
      const { client, terminal } = await connect(command);
      const test = await client.call<ExportTest>("POST", pathOf(name, "test"), {});
      terminal.result(test, () => [
        test.taken ? `${name} took the test event (origin test/${name})` : `${name} did not take it: ${test.why}`,
      ]);
      if (!test.taken) throw new CommandEnd(exitCode.no, "");
    });
}

function holdCommand(group: Command, connect: Connect, act: "pause" | "resume"): void {
  group
    .command(`${act} <name>`)
    .description(
      act === "pause"
        ? "send nothing to a sink until it is resumed; its place stays"
        : "go on sending to a sink from its place",
    )
    .requiredOption("--reason <text>", "why; it is recorded")
    .action(async (name: string, { reason }: { readonly reason: string }, command: Command) => {
      const { client, terminal } = await connect(command);
      const standing = await client.call<ExportStanding>("POST", pathOf(name, act), { reason });
      terminal.result(standing, () => [
        act === "pause" ? `${name} is paused; records wait in the log` : `${name} goes on from its place`,
      ]);
    });
}

function replayCommand(group: Command, connect: Connect): void {
  group
    .command("replay <name>")
    .description("send records again that a sink was sent before, from an index on")
    .requiredOption("--from-index <n>", "index of the first record, from 0")
    .option("--origin <origin>", "one log only; default: every one")
    .requiredOption("--reason <text>", "why; it is recorded")
    .action(
      async (
        name: string,
        flags: { readonly fromIndex: string; readonly origin?: string; readonly reason: string },
        command: Command,
      ) => {
        if (!/^(?:0|[1-9][0-9]{0,14})$/.test(flags.fromIndex))
          throw new CommandEnd(
            exitCode.badUse,
            `--from-index ${flags.fromIndex} is no index`,
            "write a whole number from 0",
          );
        const { client, terminal } = await connect(command);
        const body = { fromIndex: Number(flags.fromIndex), origin: flags.origin ?? null, reason: flags.reason };
        const standing = await client.call<ExportStanding>("POST", pathOf(name, "replay"), body);
        terminal.result(standing, () => [
          `${name} begins again:`,
          ...Object.entries(standing.places).map(([origin, { next }]) => `  ${origin} at ${next}`),
        ]);
      },
    );
}

interface VerifyFlags {
  readonly checkpoint?: readonly string[];
  readonly key?: string;
  readonly log?: string;
}

function verifyCommand(group: Command): void {
  group
    .command("verify <file...>")
    .description("check a copy: which records are changed or missing; exit 1 when any is. Works without control")
    .option("--checkpoint <file...>", "signed checkpoints the copy must give the root of; needs --key")
    .option("--key <file>", "file with the verifier keys of these logs, one a line")
    .option("--log <directory>", "a log directory to hold every leaf against")
    .action(async (files: readonly string[], flags: VerifyFlags, command: Command) => {
      const { CopyVerifier } = await import("@sallyport/control/audit/export/verify-export.ts");
      const checkpoints = await readCheckpoints(flags);
      const log = flags.log === undefined ? null : await hashesOf(flags.log);
      const verifier = new CopyVerifier();
      for (const file of files) for await (const line of linesOf(file)) verifier.take(line);
      const report = verifier.report({ checkpoints, log });
      createTerminal(command.optsWithGlobals<{ json?: boolean }>().json === true).result(report, () =>
        verifyWords(report),
      );
      if (!report.ok) throw new CommandEnd(exitCode.no, "");
    });
}

async function* linesOf(path: string): AsyncGenerator<string> {
  const input = createReadStream(path, "utf8");
  try {
    yield* createInterface({ input, crlfDelay: Number.POSITIVE_INFINITY });
  } catch (error) {
    throw new CommandEnd(
      exitCode.badUse,
      `${path} cannot be read (${codeOf(error)})`,
      "check the path and its permissions",
    );
  }
}

const codeOf = (error: unknown): string => (error instanceof Error && "code" in error ? String(error.code) : "unknown");

function readText(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    throw new CommandEnd(
      exitCode.badUse,
      `${path} cannot be read (${codeOf(error)})`,
      "check the path and its permissions",
    );
  }
}

/** Checkpoints that a given key signed; one that none did is bad use: it would prove nothing. */
async function readCheckpoints({ checkpoint = [], key }: VerifyFlags): Promise<readonly SignedSize[]> {
  if (checkpoint.length === 0) return [];
  if (key === undefined)
    throw new CommandEnd(
      exitCode.badUse,
      "--checkpoint without --key",
      "give the verifier key: a checkpoint nobody vouches for proves nothing",
    );
  const { noteCrypto, sha256 } = await import("@sallyport/kernel/log/log-crypto.ts");
  const { splitCheckpoints, verifyCheckpoint } = await import("@sallyport/protocol/audit/checkpoint.ts");
  const { parseVerifierKey } = await import("@sallyport/protocol/audit/note.ts");
  const texts = readText(key)
    .split("\n")
    .filter((line) => line !== "");
  const keys = texts.map((text) => {
    const verifier = parseVerifierKey(sha256, text.trim());
    if (verifier === null)
      throw new CommandEnd(
        exitCode.badUse,
        "what --key names is no verifier key",
        "it is <origin>+<id>+<base64>, as audit verify shows it",
      );
    return verifier;
  });
  return checkpoint.flatMap((path) =>
    splitCheckpoints(readText(path)).map((note) => {
      const verdict = verifyCheckpoint(noteCrypto, note, { origin: null, keys });
      if (verdict.kind === "refused")
        throw new CommandEnd(
          exitCode.badUse,
          `a checkpoint of ${path} is not signed by a given key (${verdict.why})`,
          "give the key of its log, or leave the checkpoint out",
        );
      return verdict.checkpoint;
    }),
  );
}

/** Leaf hashes of a log directory. */
async function hashesOf(directory: string): Promise<LogHashes> {
  const { leafHashes } = await import("@sallyport/control/audit/export/log-hashes.ts");
  const hashes = await leafHashes(directory);
  if (hashes.size === 0)
    throw new CommandEnd(exitCode.badUse, `${directory} holds no log`, "name the folder that holds a folder per year");
  return hashes;
}

function verifyWords(report: CopyReport): readonly string[] {
  const lines = report.origins.flatMap((one) => [
    `origin     ${one.origin}`,
    `  events      ${one.events}, from ${one.first} to ${one.last}; ${one.duplicates} came again, ${one.leftOut} left out by the sink's filter`,
    `  checkpoint  ${checkpointWords[one.checkpoint]}`,
    ...(one.log === "none" ? [] : [`  log         ${logWords[one.log]}`]),
  ]);
  const problems = report.problems.map(({ kind, origin, from, to, line, message }) => {
    const range = from === null ? "" : from === to ? ` ${from}` : ` ${from} to ${to}`;
    return `${kind}: ${origin ?? `line ${line}`}${range}: ${message}`;
  });
  const more = report.problemCount - report.problems.length;
  const compared =
    report.notCompared === 0
      ? []
      : [
          `note: the fields of ${report.notCompared} events were made by another version and not compared; their leaves were`,
        ];
  const end = report.ok
    ? "yes: nothing shows a change or a gap"
    : `no: ${report.problemCount} ${report.problemCount === 1 ? "problem" : "problems"}`;
  return [...lines, ...problems, ...(more > 0 ? [`… and ${more} more`] : []), ...compared, end];
}

const logWords = {
  compared: "every leaf was held against it",
  other: "not in the directory that was given: not compared",
} as const;

const checkpointWords: Readonly<Record<CopyReport["origins"][number]["checkpoint"], string>> = {
  whole: "all leaves up to it are here and give its root",
  part: "not all leaves up to it are here, so its root cannot be computed",
  differs: "the leaves do not give its root",
  none: "none was given",
};
