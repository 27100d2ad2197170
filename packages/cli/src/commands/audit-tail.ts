// Promises the records as they come, each printed once, over restarts of control and of this command: it goes on where the last line said.
// Trusts control's admin API, which records each tail once. Specified in docs/cli/audit.md and docs/audit-search.md "The tail".
import { existsSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import type { RecordHit, RecordsPage } from "@sallyport/control/audit/search/search-actions.ts";
import type { TailLine } from "@sallyport/control/audit/search/tail.ts";
import type { Command } from "commander";
import type { Connect, LinesEnd } from "../admin-client.ts";
import { CommandEnd, exitCode } from "../exit.ts";
import { printedHit, recordRow } from "../records/record-words.ts";
import { addWhereOptions, type WhereFlags, whereOf } from "../records/where.ts";
import { printable, type Terminal } from "../terminal.ts";

const linesMax = 1_000;
const pauseMsMin = 200;
const pauseMsMax = 5_000;

type Flags = WhereFlags & { readonly limit: string; readonly follow: boolean; readonly cursor?: string };

const example = `
What was denied last, and what will be from now on:
  sallyport audit tail --outcome denied --follow
Every record once into a program of yours, also after it or control was restarted:
  sallyport audit tail --follow --limit 0 --cursor place.txt --json | ./take
`;

export function tailCommand(group: Command, connect: Connect): void {
  addWhereOptions(
    group.command("tail").description("the newest records of every node, oldest first; with --follow those that come"),
  )
    .option("--limit <number>", `how many of those that are there, up to ${linesMax}`, "10")
    .option("--follow", "go on with what comes, until interrupted", false)
    .option("--cursor <file>", "with --follow: where to go on, kept in this file; what is there already is not shown")
    .addHelpText("after", example)
    .action((flags: Flags, command: Command) => tail(flags, command, connect));
}

async function tail(flags: Flags, command: Command, connect: Connect): Promise<void> {
  const limit = limitOf(flags.limit);
  if (flags.cursor !== undefined && !flags.follow)
    throw new CommandEnd(exitCode.badUse, "--cursor is for --follow", "add --follow, or leave it out");
  const where = whereOf(flags);
  const { client, terminal } = await connect(command);
  const printer = new Printer(terminal, flags.cursor ?? null);
  const newest = async (): Promise<void> => {
    if (limit === 0) return;
    const { hits, names } = await client.call<RecordsPage>("POST", "/v1/audit/records", { where, limit });
    for (const hit of hits.toReversed()) printer.early(hit, names);
  };
  if (!flags.follow) return newest();
  interruptedBetweenLines();
  let pauseMs = 0;
  for (let first = true; ; first = false) {
    if (pauseMs > 0) await delay(pauseMs);
    const { client: fresh } = first ? { client } : await connect(command);
    const cursor = printer.cursor;
    const body = cursor === null ? { where } : { where, cursor };
    const before = printer.lines;
    const onLine = async (text: string) => {
      // The listener is proven by its pinned key.
      const line = JSON.parse(text) as TailLine;
      // Begun first, asked then: what comes in between is in both, and shown once.
      if (line.t === "begin" && first && cursor === null) await newest();
      printer.take(line);
    };
    const end = await fresh.follow("/v1/audit/tail", body, onLine).catch((error: unknown) => awayOr(error, first));
    if (printer.end?.code === "not-permitted") throw new CommandEnd(exitCode.notPermitted, printer.end.fix);
    if (end.kind === "broken") note(end.why);
    pauseMs = printer.lines > before ? 0 : Math.min(pauseMsMax, Math.max(pauseMsMin, pauseMs * 2));
  }
}

/** An interruption comes between two turns, so never after a record was printed and before its place was kept; the process ends by the signal as before. */
function interruptedBetweenLines(): void {
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => process.kill(process.pid, signal));
}

/** Control that is away later is waited for; control that never was there, and any refusal, ends the command. */
function awayOr(error: unknown, isFirst: boolean): LinesEnd {
  const isAway = error instanceof CommandEnd && error.exit === exitCode.unreachable;
  if (isFirst || !isAway) throw error;
  return { kind: "broken", why: error.message };
}

const note = (why: string): void =>
  void process.stderr.write(`note: ${printable(why)}; going on from the last record\n`);

function limitOf(text: string): number {
  const limit = /^\d{1,4}$/.test(text) ? Number(text) : Number.NaN;
  if (limit <= linesMax) return limit;
  throw new CommandEnd(exitCode.badUse, `--limit ${text} is not a number from 0 to ${linesMax}`, "use audit search");
}

class Printer {
  readonly #terminal: Terminal;
  readonly #file: string | null;
  /** Shown before the tail began to say them. */
  readonly #early = new Set<string>();
  cursor: string | null = null;
  end: Extract<TailLine, { t: "end" }> | null = null;
  /** Lines taken so far. */
  lines = 0;

  constructor(terminal: Terminal, file: string | null) {
    this.#terminal = terminal;
    this.#file = file;
    if (file !== null && existsSync(file)) this.cursor = readFileSync(file, "utf8").trim() || null;
  }

  early(hit: RecordHit, names: Readonly<Record<string, string>>): void {
    this.#early.add(keyOf(hit));
    this.#print(hit, names);
  }

  take(line: TailLine): void {
    this.lines += 1;
    if (line.t === "records")
      for (const hit of line.hits) if (!this.#early.delete(keyOf(hit))) this.#print(hit, line.names);
    if (line.t === "missing") note(`${line.count} records are in no index any more; they are in the log`);
    if (line.t === "end") this.end = line;
    this.#keep(line.cursor);
  }

  #print(hit: RecordHit, names: Readonly<Record<string, string>>): void {
    if (this.#terminal.json) process.stdout.write(`${JSON.stringify(printedHit(hit, names))}\n`);
    else this.#terminal.line(recordRow(hit, names).join("  "));
  }

  #keep(cursor: string): void {
    if (cursor === this.cursor) return;
    this.cursor = cursor;
    if (this.#file === null) return;
    // Whole or not at all: half a cursor would be none.
    writeFileSync(`${this.#file}.new`, `${cursor}\n`, { mode: 0o600 });
    renameSync(`${this.#file}.new`, this.#file);
  }
}

const keyOf = ({ origin, index }: RecordHit): string => `${origin} ${index}`;
