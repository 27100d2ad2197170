// Promises "who did what, from where, with which token, and how did it end" in one command, over every node's records, each line provable.
// Trusts control's admin API, which records the search. Specified in docs/cli/audit.md and docs/audit-search.md.
import type { RecordsPage } from "@sallyport/control/audit/search/search-actions.ts";
import type { Command } from "commander";
import type { Connect } from "../admin-client.ts";
import { CommandEnd, exitCode } from "../exit.ts";
import { csvHeadings, csvLine, csvRow, printedHit, recordHeadings, recordRow } from "../records/record-words.ts";
import { addWhereOptions, parseMoment, type WhereFlags, whereOf } from "../records/where.ts";

const limitMax = 100_000;
const pageMax = 1_000;

type Flags = WhereFlags & {
  readonly since?: string;
  readonly until?: string;
  readonly limit: string;
  readonly csv: boolean;
};

const example = `
"This string leaked": who used it, where, and what came of it (a file, or - for standard input; never on the command line):
  sallyport audit search --token leaked.txt
Denials of one caller in the last two hours, as a spreadsheet:
  sallyport audit search --caller orders --outcome denied --since 2h --csv
`;

export function searchCommands(group: Command, connect: Connect): void {
  addWhereOptions(
    group
      .command("search")
      .description("find records of every node by who, what, when, from where and how it ended; newest first"),
  )
    .option("--since <moment>", "from when: how long ago (2h, 7d), or 2026-11-30T08:00:00Z")
    .option("--until <moment>", "until when, the same")
    .option("--limit <number>", `at most so many, up to ${limitMax}`, "100")
    .option("--csv", "comma-separated values instead of a table", false)
    .addHelpText("after", example)
    .action(async (flags: Flags, command: Command) => {
      const { client, terminal } = await connect(command);
      const limit = limitOf(flags.limit);
      const request = requestOf(flags, Date.now());
      const pages: RecordsPage[] = [];
      let left = limit;
      let cursor: string | null = null;
      do {
        const body = { ...request, limit: Math.min(pageMax, left), ...(cursor === null ? {} : { cursor }) };
        const page: RecordsPage = await client.call("POST", "/v1/audit/records", body);
        pages.push(page);
        left -= page.hits.length;
        cursor = page.next;
      } while (cursor !== null && left > 0);
      terminal.result(printedPages(pages, cursor), () =>
        flags.csv ? csvOf(pages) : [...tableOf(pages, terminal), ...notesOf(pages, cursor)],
      );
      if (pages.every(({ hits }) => hits.length === 0)) throw nothingFound(pages);
    });
  group
    .command("index")
    .description("the search index, which is derived from the log")
    .command("rebuild")
    .description(
      "throw the search index away and make it again from the log; searches know less until it has caught up",
    )
    .action(async (_flags: unknown, command: Command) => {
      const { client, terminal } = await connect(command);
      const done = await client.call("POST", "/v1/audit/index/rebuild", {});
      terminal.result(done, () => ["the search index is being made again; sallyport status says how far it is"]);
    });
}

/** No answer of records looks final while some are not there. */
function nothingFound(pages: readonly RecordsPage[]): CommandEnd {
  const unheld = pages.at(-1)?.unheld ?? [];
  const [unknown] = unknownWords(pages);
  if (unknown !== undefined && unheld.length === 0) return new CommandEnd(exitCode.no, "no record matches", unknown);
  return unheld.length === 0
    ? new CommandEnd(exitCode.no, "no record matches", "sallyport status says whether the index is behind")
    : new CommandEnd(
        exitCode.no,
        `no record matches, of those that control holds; not all are there: ${unheld.map(({ node }) => node).join(", ")}`,
        "sallyport status says what is the matter with them; ask again when their logs are here",
      );
}

const nouns = {
  caller: "system",
  system: "system",
  client: "client",
  integration: "integration",
  environment: "environment",
};

/** A sentence for each name that nothing declared bears. */
function unknownWords(pages: readonly RecordsPage[]): readonly string[] {
  // Of a control plane from before this was said, nothing is known.
  return (pages.at(-1)?.unknown ?? []).map(({ field, value, nearest }) => {
    const meant = nearest === null ? "" : `; did you mean \`${nearest}\`?`;
    return `--${field} ${value}: no ${nouns[field]} is called so now${meant}`;
  });
}

function limitOf(text: string): number {
  const limit = /^[1-9]\d{0,5}$/.test(text) ? Number(text) : Number.NaN;
  if (!(limit <= limitMax))
    throw new CommandEnd(
      exitCode.badUse,
      `--limit ${text} is not a number from 1 to ${limitMax}`,
      "narrow the search instead",
    );
  return limit;
}

function requestOf(flags: Flags, now: number): object {
  return {
    where: whereOf(flags),
    ...(flags.since === undefined ? {} : { from: parseMoment(flags.since, now) }),
    ...(flags.until === undefined ? {} : { to: parseMoment(flags.until, now) }),
  };
}

function printedPages(pages: readonly RecordsPage[], next: string | null): object {
  const last = pages.at(-1);
  return {
    records: pages.flatMap(({ hits, names }) => hits.map((hit) => printedHit(hit, names))),
    next,
    searchedTo: last?.searchedTo ?? 0,
    behind: last?.behind ?? 0,
    unheld: last?.unheld ?? [],
    unknown: last?.unknown ?? [],
  };
}

function csvOf(pages: readonly RecordsPage[]): readonly string[] {
  const rows = pages.flatMap(({ hits, names }) => hits.map((hit) => csvLine(csvRow(hit, names))));
  return [csvLine(csvHeadings), ...rows];
}

function tableOf(
  pages: readonly RecordsPage[],
  terminal: { table(rows: readonly (readonly string[])[]): readonly string[] },
) {
  const rows = pages.flatMap(({ hits, names }) => hits.map((hit) => recordRow(hit, names)));
  return rows.length === 0 ? [] : terminal.table([recordHeadings, ...rows]);
}

function notesOf(pages: readonly RecordsPage[], next: string | null): readonly string[] {
  const last = pages.at(-1);
  if (last === undefined) return [];
  return [
    ...(next === null
      ? []
      : [
          `more match, older than ${new Date(last.searchedTo).toISOString()}: --until ${new Date(last.searchedTo).toISOString()}, or a larger --limit`,
        ]),
    ...(last.behind === 0 ? [] : [`note: the index is ${last.behind} records behind the log`]),
    // Nothing found: the end of the command says the first of them.
    ...unknownWords(pages)
      .slice(pages.every(({ hits }) => hits.length === 0) && (last.unheld ?? []).length === 0 ? 1 : 0)
      .map((words) => `note: ${words}`),
    // Of a control plane from before this was said, nothing is known.
    ...(last.unheld ?? []).map(({ node, why }) => `note: not all records of ${node} are here: ${why}`),
  ];
}
