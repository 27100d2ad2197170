// Promises the answer to "is this log what was signed?", offline, of all of it or of the part that is asked for, of one log or of many; and never a yes
// that speaks of more than was looked at. Trusts the keys, checkpoints and policy on the command line, and nothing in the directories.
// Specified in docs/audit.md "Verifying" and docs/cli/audit.md.
import { sep } from "node:path";
import { LogFault } from "@sallyport/kernel/log/fault.ts";
import type { VerifyScope } from "@sallyport/kernel/log/verify-scope.ts";
import type { Command } from "commander";
import { CommandEnd, exitCode } from "../exit.ts";
import { showProgress } from "../progress.ts";
import { parseMoment } from "../records/where.ts";
import type { Terminal } from "../terminal.ts";
import { readFile, terminalOf } from "./audit-files.ts";
import { archivedLogOf } from "./audit-held.ts";
import { keyOfLog, originsOf, ownKey, readKeys } from "./audit-logs.ts";
import { readPolicy } from "./audit-policy.ts";
import { isYes, printedLog, type VerifiedLog, verifyWords } from "./audit-verify-words.ts";

const examples = `
Without --key the log is checked against the key that lies beside it: that finds damage, not a rewrite by
whoever owns the directory. A rewrite is found with a key and a checkpoint kept elsewhere:
  sallyport audit verify .sallyport/gateway/log --key gateway.vkey --older /mnt/elsewhere/checkpoints
What is new since a checkpoint you kept, and that what it covers still stands:
  sallyport audit verify .sallyport/gateway/log --key gateway.vkey --from-checkpoint monday.checkpoint
The leaves of a day:
  sallyport audit verify .sallyport/gateway/log --since 2026-11-29 --until 2026-11-30
What control holds of two gateways, on control's host:
  sallyport audit verify .sallyport/control --archive gw-4b955d09167a gw-77a01c52e0d3 --older kept.checkpoints
`;

interface VerifyFlags {
  readonly key?: readonly string[];
  readonly older?: readonly string[];
  readonly policy?: string;
  readonly live: boolean;
  readonly archive?: readonly string[];
  readonly from?: string;
  readonly to?: string;
  readonly year?: string;
  readonly since?: string;
  readonly until?: string;
  readonly fromCheckpoint?: string;
}

/** `sallyport audit verify`. */
export function verifyCommand(group: Command): void {
  group
    .command("verify <directory...>")
    .description("check log directories, all of them or a part: exit 0 when what was asked for is as it was signed")
    .option("--key <key...>", "verifier keys (<origin>+<id>+<base64>), or files of them; default: the log's own")
    .option("--older <file...>", "checkpoints kept elsewhere, which the log must still extend")
    .option("--policy <file>", "which witnesses must have cosigned a checkpoint of it (C2SP tlog-policy)")
    .option("--live", "the log is being written: crossings still open are not held against it", false)
    .option("--archive <node...>", "the archived logs of these nodes; <directory> is then control's data directory")
    .option("--since <moment>", "only leaves made since then: how long ago (2h, 7d), or 2026-11-30T08:00:00Z")
    .option("--until <moment>", "only leaves made before then, the same")
    .option("--from <leaf>", "only leaves from this number on, of the newest year or of --year")
    .option("--to <leaf>", "only leaves up to this number, and it too")
    .option("--year <year>", "the year that --from and --to count in; default: the newest")
    .option("--from-checkpoint <file>", "only what stands behind this kept checkpoint, which the log must still extend")
    .addHelpText("after", examples)
    .action(async (given: readonly string[], flags: VerifyFlags, command: Command) => {
      const terminal = terminalOf(command);
      const directories = await directoriesOf(given, flags);
      const scope = scopeOf(flags, Date.now());
      const keys = readKeys(flags.key ?? []);
      // Every key is found before the first log is read: a slip of the hand should not cost an hour.
      const asked = [];
      for (const directory of directories)
        asked.push({
          directory,
          key: flags.key === undefined ? await ownKey(directory) : await keyOfLog(directory, keys),
        });
      const logs: (VerifiedLog | UnjudgedLog)[] = [];
      for (const [i, one] of asked.entries()) {
        const name = asked.length === 1 ? "" : ` of ${one.directory} (${i + 1} of ${asked.length})`;
        const log = await verifyOne(one, { flags, scope, terminal, name });
        logs.push(log);
        if (asked.length > 1) terminal.line(`${i === 0 ? "" : "\n"}log        ${one.directory}`);
        for (const line of wordsOf(log)) terminal.line(line);
      }
      const ok = logs.every((log) => "report" in log && isYes(log));
      terminal.result(jsonOf(logs, ok), () => (logs.length === 1 ? [] : ["", overall(logs, ok)]));
      if (!ok) throw new CommandEnd(exitCode.no, "");
    });
}

async function directoriesOf(given: readonly string[], { archive }: VerifyFlags): Promise<readonly string[]> {
  if (archive === undefined) return given;
  const [data, second] = given;
  if (data === undefined || second !== undefined)
    throw new CommandEnd(exitCode.badUse, "--archive looks into one data directory of control", "name that one alone");
  const found: string[] = [];
  for (const node of archive) {
    const directory = await archivedLogOf(data, node);
    await assertOfFolder(directory);
    found.push(directory);
  }
  return found;
}

/** A folder is named by the node whose log it holds: that of another, whole as it may be, answers for nobody here. */
async function assertOfFolder(directory: string): Promise<void> {
  const place = directory.split(sep).slice(-3).join("/");
  const { origin = "" } = (await originsOf(directory)).at(-1) ?? {};
  if (origin.split("/").slice(1, 4).join("/") === place) return;
  throw new CommandEnd(
    exitCode.no,
    `no: ${directory} does not hold the log of ${place} but ${origin}`,
    "somebody moved it there: ask the node itself, or a copy of the archive",
  );
}

/** The part that is asked for; undefined: all of it. */
function scopeOf(flags: VerifyFlags, now: number): VerifyScope | undefined {
  const { from, to, year, since, until, fromCheckpoint } = flags;
  const moment = (text: string | undefined) => (text === undefined ? null : parseMoment(text, now));
  const scope: VerifyScope = {
    ...(from === undefined && to === undefined && year === undefined
      ? {}
      : {
          leaves: {
            year: year === undefined ? null : parseLeaf("--year", year),
            from: from === undefined ? 0 : parseLeaf("--from", from),
            to: to === undefined ? null : parseLeaf("--to", to) + 1,
          },
        }),
    ...(since === undefined && until === undefined ? {} : { times: { since: moment(since), until: moment(until) } }),
    ...(fromCheckpoint === undefined ? {} : { checkpoint: readFile(fromCheckpoint).toString("utf8") }),
  };
  return Object.keys(scope).length === 0 ? undefined : scope;
}

function parseLeaf(flag: string, text: string): number {
  if (/^\d{1,15}$/.test(text)) return Number(text);
  throw new CommandEnd(exitCode.badUse, `${flag} ${text} is not a number`, "count as audit verify does, from leaf 0");
}

/** Nothing could be judged, and why. */
interface UnjudgedLog {
  readonly directory: string;
  readonly nothing: string;
}

async function verifyOne(
  { directory, key }: { readonly directory: string; readonly key: string },
  on: {
    readonly flags: VerifyFlags;
    readonly scope: VerifyScope | undefined;
    readonly terminal: Terminal;
    readonly name: string;
  },
): Promise<VerifiedLog | UnjudgedLog> {
  const { flags, scope, terminal, name } = on;
  const { verifyLogDirectory } = await import("@sallyport/kernel/log/verify.ts");
  const older = await olderOf(directory, flags.older ?? []);
  const policy = flags.policy === undefined ? null : await readPolicy(flags.policy, directory);
  const now = () => performance.now();
  const progress = showProgress(`leaves${name}`, { json: terminal.json, output: process.stderr, now });
  try {
    const report = verifyLogDirectory(directory, {
      verifierKey: key,
      olderCheckpoints: [...older.notes, ...(policy?.notes ?? [])],
      // An archived log ends where its node was heard last: a crossing may be open there for ever.
      live: flags.live || flags.archive !== undefined,
      onProgress: (done, total) => progress.update(done, total),
      ...(scope === undefined ? {} : { scope }),
    });
    return {
      directory,
      report,
      key,
      keyFrom: flags.key === undefined ? "own" : "given",
      olderFiles: flags.older?.length ?? 0,
      isFromKept: flags.fromCheckpoint !== undefined,
      othersCheckpoints: older.others,
      policy: policy?.report(key) ?? null,
    };
  } catch (error) {
    if (scope !== undefined && error instanceof LogFault && error.code === "not-found")
      return { directory, nothing: error.internal };
    throw error;
  } finally {
    progress.end();
  }
}

/** Of checkpoints kept of many logs those of this one; where none is of it, all, and each is held against it. */
async function olderOf(
  directory: string,
  files: readonly string[],
): Promise<{ readonly notes: readonly string[]; readonly others: number }> {
  const { sameLog, splitCheckpoints } = await import("@sallyport/protocol/audit/checkpoint.ts");
  const notes = files.flatMap((file) => splitCheckpoints(readFile(file).toString("utf8")));
  const origins = notes.length === 0 ? [] : (await originsOf(directory)).map(({ origin }) => origin);
  const own = notes.filter((note) => origins.some((origin) => sameLog(origin, note.slice(0, note.indexOf("\n")))));
  return own.length === 0 ? { notes, others: 0 } : { notes: own, others: notes.length - own.length };
}

const wordsOf = (log: VerifiedLog | UnjudgedLog): readonly string[] =>
  "report" in log ? verifyWords(log) : [`no: ${log.nothing}`];

function jsonOf(logs: readonly (VerifiedLog | UnjudgedLog)[], ok: boolean): object {
  const printed = logs.map((log) =>
    "report" in log ? printedLog(log) : { directory: log.directory, ok: false, nothingChecked: log.nothing },
  );
  const [only] = printed;
  return printed.length === 1 && only !== undefined ? only : { ok, logs: printed };
}

function overall(logs: readonly (VerifiedLog | UnjudgedLog)[], ok: boolean): string {
  const bad = logs.filter((log) => !("report" in log && isYes(log))).map(({ directory }) => directory);
  const origins = new Set(logs.flatMap((log) => ("report" in log ? (log.report.origins.at(-1)?.origin ?? "") : [])));
  const held =
    origins.size === logs.length
      ? `${logs.length} logs`
      : `${logs.length} directories, which hold ${origins.size === 1 ? "one log" : `${origins.size} logs`}`;
  return ok
    ? `yes: all ${held}, each as far as it says above`
    : `no: ${bad.length} of ${logs.length} logs: ${bad.join(", ")}`;
}
