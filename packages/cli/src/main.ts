#!/usr/bin/env node
// Promises the binary: one exit code per kind of end, nothing secret on a command line.
// Trusts the commands, and command-files.ts to say which word is in which file. Specified in docs/cli.md.
import { existsSync } from "node:fs";
import { join, resolve } from "node:path";
import { Command, CommanderError, Help, type Option } from "commander";
import type { Connect } from "./admin-client.ts";
import { type CommandFile, commandFiles, filesFor } from "./command-files.ts";
import { CommandEnd, exitCode } from "./exit.ts";
import { addHelpExamples } from "./help-examples.ts";
import { createTerminal, printEnd } from "./terminal.ts";
import { version } from "./version.ts";

interface GlobalOptions {
  readonly json?: boolean;
  readonly operator?: string;
}

/** Control's code is loaded by the commands that speak to it, never by a gateway. */
const connect: Connect = async (command) => {
  const options = command.optsWithGlobals<GlobalOptions>();
  const { openAdminClient } = await import("./admin-connection.ts");
  return { client: openAdminClient(operatorKeyOf(command)), terminal: createTerminal(options.json === true) };
};

function operatorKeyOf(command: Command): string {
  const { operator } = command.optsWithGlobals<GlobalOptions>();
  return operator || process.env["SALLYPORT_OPERATOR"] || defaultOperatorKey();
}

/** Where the first start leaves the key: role all keeps control's state in a folder of its own, role control in --data itself. */
function defaultOperatorKey(): string {
  const ofAll = join(resolve(".sallyport"), "control", "operator.key.json");
  return existsSync(ofAll) ? ofAll : join(resolve(".sallyport"), "operator.key.json");
}

/** The program with the commands of these files, by default with all. */
export async function createProgram(files: readonly CommandFile[] = commandFiles): Promise<Command> {
  const program = new Command("sallyport")
    .description(
      "a secure integration gateway: every crossing authenticated, authorised, validated, limited and recorded",
    )
    .version(version)
    .option("--json", "print one JSON value instead of words")
    .option(
      "--operator <file>",
      "operator key file; default: $SALLYPORT_OPERATOR, then the one that serve left under .sallyport",
    )
    .exitOverride()
    .showHelpAfterError("(run with --help for what this command takes)")
    .configureHelp({ showGlobalOptions: true, optionDescription })
    .addHelpText(
      "after",
      "\nExit codes: 0 yes · 1 the answer is no · 2 bad use or configuration · 3 unreachable · 4 not permitted\n",
    );
  for (const file of files) await file.add(program, { connect, operatorKeyOf });
  const isAsked = (word: string) => files === commandFiles || files.some(({ words }) => words.includes(word));
  addHelpExamples(program, isAsked);
  return program;
}

/** As commander says it, and whether the command can do without. */
function optionDescription(option: Option): string {
  return `${new Help().optionDescription(option)}${option.mandatory ? " (required)" : ""}`;
}

/** Runs one command line and returns its exit code. */
export async function run(argv: readonly string[]): Promise<number> {
  const program = await createProgram(filesFor(argv));
  const json = argv.includes("--json");
  try {
    await program.parseAsync([...argv], { from: "user" });
    return exitCode.yes;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? exitCode.yes : exitCode.badUse;
    if (error instanceof CommandEnd) {
      printEnd(error, json);
      return error.exit;
    }
    const end = faultEnd(error);
    printEnd(end, json);
    return end.exit;
  }
}

/** A fault of a part (store, log, seal, join …) has words for people and a code; anything else is a bug and shows where it was. */
function faultEnd(error: unknown): CommandEnd {
  if (error instanceof Error && "code" in error && typeof error.code === "string") {
    const words =
      "publicText" in error && error.code === "estate-unreadable" ? String(error.publicText) : error.message;
    return new CommandEnd(exitCode.badUse, `${words} (${error.code})`);
  }
  return new CommandEnd(
    exitCode.badUse,
    `unexpected: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`,
    "please report this",
  );
}

/** The status a shell reports of a program that SIGPIPE ended; Node ignores that signal. */
const readerGone = 141;

/** `sallyport check --list-rules | head`: the reader has what it wanted. */
function endWithReader(error: NodeJS.ErrnoException): void {
  if (error.code !== "EPIPE") throw error;
  process.exit(readerGone);
}

if (import.meta.main) {
  process.stdout.on("error", endWithReader);
  process.exitCode = await run(process.argv.slice(2));
}
