// Promises an estate that runs at once, in a folder where nothing is ever overwritten, and the next three commands.
// Trusts the loader that `serve` uses: what init writes has no error there. Specified in docs/cli/init.md.
import { join } from "node:path";
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
import { createTerminal } from "../terminal.ts";

interface InitFlags {
  readonly name?: string;
  readonly upstream?: string;
  readonly consumer?: string;
}

const examples = `
Examples:
  sallyport init
  sallyport init gateway --name billing --upstream http://127.0.0.1:8080 --consumer orders

Nothing is ever overwritten: when one of the files exists, none is written (exit 2).
`;

/** `sallyport init [directory]`. */
export function initCommand(program: Command): void {
  program
    .command("init")
    .argument("[directory]", "where the estate goes; made when it is not there", ".")
    .description("write an estate that runs at once: your API, one caller, what the caller may do")
    .option("--name <id>", "id of the system behind the gateway (default: billing)")
    .option("--upstream <url>", "where it is served (default: http://127.0.0.1:8080)")
    .option("--consumer <id>", "id of the system that calls it (default: orders)")
    .addHelpText("after", examples)
    .action(async (directory: string, flags: InitFlags, command: Command) => {
      const choice = await readChoice(flags);
      const files = starterEstate(choice);
      const { written, notes } = writeEstate(directory, files);
      const [operation] = starterOperations(choice.name).slice(-1);
      const next = nextCommands(command, directory, {
        operation: `${choice.name}:${operation?.name ?? ""} id=1`,
        consumer: choice.consumer,
      });
      const terminal = createTerminal(command.optsWithGlobals<{ json?: boolean }>().json === true);
      terminal.result({ directory, written, notes, next }, () => [
        ...written,
        ...notes,
        "",
        "Next:",
        ...next.map((line) => `  ${line}`),
      ]);
    });
}

async function readChoice(flags: InitFlags): Promise<StarterChoice> {
  const { id, upstreamUrl } = await import("@sallyport/control/registry/config/words.ts");
  const { needsPrivateWord } = await import("@sallyport/control/registry/config/private-hosts.ts");
  const name = judge("--name", id().safeParse(flags.name ?? "billing"));
  const consumer = judge("--consumer", id().safeParse(flags.consumer ?? "orders"));
  const upstream = judge("--upstream", upstreamUrl().safeParse(flags.upstream ?? "http://127.0.0.1:8080"));
  if (name === consumer)
    throw new CommandEnd(
      exitCode.badUse,
      "--name and --consumer are the same system",
      "give the caller an id of its own",
    );
  return { name, upstream, consumer, isPrivate: needsPrivateWord(new URL(upstream).hostname) };
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

/** What to type next, of the commands this program has. */
function nextCommands(
  command: Command,
  directory: string,
  call: { readonly operation: string; readonly consumer: string },
): readonly string[] {
  const has = (name: string): boolean => command.parent?.commands.some((other) => other.name() === name) === true;
  const shown = /^[\w./-]+$/.test(directory) ? directory : `'${directory.replaceAll("'", "'\\''")}'`;
  const run = has("dev") ? `sallyport dev ${shown}` : `sallyport serve --config ${shown}`;
  const third = has("call") ? `sallyport call ${call.operation} --as ${call.consumer}` : "sallyport status";
  return [`sallyport check ${shown}`, run, third];
}
