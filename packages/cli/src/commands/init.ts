// Promises an estate that runs at once, in a folder where nothing is ever overwritten, and the next three commands.
// Trusts the loader that `serve` uses: what init writes has no error there. Specified in docs/cli/init.md.
import { existsSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import type { Command } from "commander";
import { CommandEnd, exitCode } from "../exit.ts";
import {
  gitignore,
  type NewFile,
  type StarterChoice,
  starterEstate,
  starterOperations,
} from "../init/starter-estate.ts";
import { filesThere, writeNewFiles } from "../init/write-new-files.ts";
import { createTerminal, type Terminal } from "../terminal.ts";

interface InitFlags {
  readonly name?: string;
  readonly upstream?: string;
  readonly consumer?: string;
  readonly from?: string;
}

const examples = `
Examples:
  sallyport init
  sallyport init gateway --name billing --upstream http://127.0.0.1:8080 --consumer orders
  sallyport init gateway --from openapi.yaml --consumer orders
  sallyport init gateway --from kong.yaml

Nothing is ever overwritten: when one of the files exists, none is written (exit 2).
`;

/** `sallyport init [directory]`. */
export function initCommand(program: Command): void {
  program
    .command("init")
    .argument("[directory]", "where the estate goes; made when it is not there", ".")
    .description("write an estate that runs at once: your API, one caller, what the caller may do")
    .option("--name <id>", "id of the system behind the gateway (default: billing; with --from, the title's)")
    .option("--upstream <url>", "where it is served (default: http://127.0.0.1:8080; with --from, the first server's)")
    .option("--consumer <id>", "id of the system that calls it (default: orders; with --from, none)")
    .option("--from <file>", "import an OpenAPI 3.0 or 3.1 description, or a declarative Kong file, with a report")
    .addHelpText("after", examples)
    .action(async (directory: string, flags: InitFlags, command: Command) => {
      const terminal = createTerminal(command.optsWithGlobals<{ json?: boolean }>().json === true);
      const { from } = flags;
      const made = from === undefined ? await starter(flags) : await imported(from, flags, terminal);
      const { written, notes } = writeEstate(directory, made.files);
      const next = nextCommands(directory, made.call);
      terminal.result(
        { directory, written, notes, next, ...(made.report === null ? {} : { report: made.report }) },
        () => [
          ...made.lines,
          ...(made.lines.length === 0 ? written : [`${written.length} files in ${directory}`]),
          ...notes,
          "",
          "Next:",
          ...next.map((line) => `  ${line}`),
        ],
      );
    });
}

interface Made {
  readonly files: readonly NewFile[];
  /** What of the source became what; null without a source. */
  readonly report: object | null;
  /** The report for a terminal. */
  readonly lines: readonly string[];
  /** A call that would be allowed. */
  readonly call: string | null;
}

async function starter(flags: InitFlags): Promise<Made> {
  const { needsPrivateWord } = await import("@sallyport/control/registry/config/private-hosts.ts");
  const { name = "billing", upstream = "http://127.0.0.1:8080", consumer = "orders" } = await readFlags(flags);
  refuseOneSystem(name, consumer);
  const choice: StarterChoice = { name, upstream, consumer, isPrivate: needsPrivateWord(new URL(upstream).hostname) };
  const [operation] = starterOperations(name).slice(-1);
  const call = `${name}:${operation?.name ?? ""} id=1 --as ${consumer}`;
  return { files: starterEstate(choice), report: null, lines: [], call };
}

async function imported(from: string, flags: InitFlags, terminal: Terminal): Promise<Made> {
  const { diskEstateIo } = await import("@sallyport/control/registry/config/estate-io.ts");
  const { formatFinding } = await import("@sallyport/control/registry/config/finding.ts");
  const { importSource } = await import("@sallyport/control/registry/import/import-source.ts");
  const { countOf, reportLines, reportMarkdown } = await import("@sallyport/control/registry/import/import-report.ts");
  const choice = await readFlags(flags);
  const folder = dirname(resolve(from));
  if (!existsSync(folder))
    throw new CommandEnd(exitCode.badUse, `${folder} cannot be read`, "correct the path of --from");
  const io = diskEstateIo(folder, () => Date.now());
  const shown = progressLine(terminal);
  const result = importSource({ io, file: basename(from), choice, progress: shown.at });
  shown.end();
  if ("finding" in result)
    throw new CommandEnd(
      exitCode.badUse,
      formatFinding(result.finding).replace(/\. Fix: .*$/s, ""),
      result.finding.fix,
    );
  const { files, report } = result;
  if (files.length === 0)
    throw new CommandEnd(
      exitCode.badUse,
      `${from} has nothing to import`,
      reportLines(report)[0] ?? "name a file with services or paths",
    );
  refuseTwice(files);
  const counts = {
    mapped: countOf(report, "mapped"),
    changed: countOf(report, "changed"),
    notMapped: countOf(report, "not-mapped"),
  };
  return {
    files: [...files, { file: "import-report.md", text: reportMarkdown(report) }],
    report: { kind: report.kind, source: report.source, ...counts, entries: report.entries },
    lines: [...reportLines(report), "the whole report is in import-report.md"],
    call: result.call,
  };
}

const shownEveryMs = 100;

/** What the import is doing, on one line of standard error, for people only. */
function progressLine(terminal: Terminal): { readonly at: (doing: string) => void; readonly end: () => void } {
  if (terminal.json || process.stderr.isTTY !== true) return { at: () => {}, end: () => {} };
  let shownMs = 0;
  return {
    at: (doing) => {
      if (/^path /.test(doing) && performance.now() - shownMs < shownEveryMs) return;
      shownMs = performance.now();
      // The name of a file comes from outside: nothing in it moves the cursor.
      process.stderr.write(`\r\u001b[K${doing.replaceAll(/\p{C}/gu, "?").slice(0, 72)}`);
    },
    end: () => void process.stderr.write("\r\u001b[K"),
  };
}

function refuseOneSystem(name: string, consumer: string): void {
  if (name === consumer)
    throw new CommandEnd(
      exitCode.badUse,
      "--name and --consumer are the same system",
      "give the caller an id of its own",
    );
}

function refuseTwice(files: readonly NewFile[]): void {
  const names = files.map(({ file }) => file);
  const twice = names.find((file, index) => names.indexOf(file) !== index);
  if (twice === undefined) return;
  throw new CommandEnd(exitCode.badUse, `${twice} would be written twice`, "give --name or --consumer another id");
}

async function readFlags(flags: InitFlags): Promise<{ name?: string; upstream?: string; consumer?: string }> {
  const { id, upstreamUrl } = await import("@sallyport/control/registry/config/words.ts");
  const { name, upstream, consumer } = flags;
  return {
    ...(name === undefined ? {} : { name: judge("--name", id().safeParse(name)) }),
    ...(upstream === undefined ? {} : { upstream: judge("--upstream", upstreamUrl().safeParse(upstream)) }),
    ...(consumer === undefined ? {} : { consumer: judge("--consumer", id().safeParse(consumer)) }),
  };
}

type Judged =
  | { readonly success: true; readonly data: string }
  | {
      readonly success: false;
      readonly error: { readonly issues: readonly { readonly message: string; readonly params?: unknown }[] };
    };

/** The word as the configuration reads it, or its own sentence and fix. */
function judge(flag: string, parsed: Judged): string {
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  const params = issue?.params;
  const fix = typeof params === "object" && params !== null && "fix" in params ? String(params.fix) : "";
  throw new CommandEnd(exitCode.badUse, `${flag}: ${issue?.message ?? "not accepted"}`, fix);
}

/** Writes the files and `.gitignore`; one that is there already is the author's and stays as it is. */
function writeEstate(
  directory: string,
  files: readonly NewFile[],
): { readonly written: readonly string[]; readonly notes: readonly string[] } {
  const isThere = filesThere(directory, [gitignore]).length > 0;
  const all = isThere ? files : [...files, gitignore];
  writeNewFiles(directory, all);
  const note = `${join(directory, ".gitignore")} is left as it is: see that it has the lines ${gitignore.text.trim().replace("\n", " and ")}`;
  return { written: all.map(({ file }) => join(directory, file)), notes: isThere ? [note] : [] };
}

/** What to type next. */
function nextCommands(directory: string, call: string | null): readonly string[] {
  const shown = /^[\w./-]+$/.test(directory) ? directory : `'${directory.replaceAll("'", "'\\''")}'`;
  const third = call === null ? "sallyport status" : `sallyport call ${call}`;
  return [`sallyport check ${shown}`, `sallyport dev ${shown}`, third];
}
