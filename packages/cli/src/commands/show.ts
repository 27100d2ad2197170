// Promises one object of an estate with every default filled in and where each value came from. Offline.
// Trusts the loader and the types that serve uses. Specified in docs/cli/show.md.
import type { Origin, Shown } from "@sallyport/control/explain/shown.ts";
import type { Command } from "commander";
import { findEndpoints } from "../calling/way.ts";
import { CommandEnd, exitCode } from "../exit.ts";
import { createTerminal } from "../terminal.ts";
import { assertEstateDirectory } from "./estate-directory.ts";

interface ShowOptions {
  readonly config?: string;
  readonly data: string;
  readonly environment: string;
}

const examples = `
Objects: a system, an integration, an operation (billing:invoice.read), team:<id>, trust:<name>, listener:<name>,
environment:<name>, witnesses; system:<id> and integration:<id> where two have the same name.

Examples:
  sallyport show orders-to-billing
  sallyport show billing:invoice.read --config estate --environment staging
`;

/** `sallyport show <object>`: exit 1 when the object is broken and not served. */
export function showCommand(program: Command): void {
  program
    .command("show <object>")
    .description("one object with every default filled in, and where each value came from")
    .option("--config <directory>", "estate to read; default: the one that is served here")
    .option("--data <directory>", "data directory of the serve or dev that runs here", ".sallyport")
    .option("--environment <environment>", "as this environment sees it", "production")
    .addHelpText("after", examples)
    .action(async (name: string, options: ShowOptions, command: Command) => {
      const directory = options.config ?? findEndpoints(options.data)?.config ?? null;
      if (directory === null)
        throw new CommandEnd(
          exitCode.badUse,
          "no estate is served here",
          "name its directory with --config <directory>",
        );
      assertEstateDirectory(directory);
      const answer = await read(directory, name, options.environment);
      const { originWords, shownRows } = await import("@sallyport/control/explain/shown.ts");
      const terminal = createTerminal(command.optsWithGlobals<{ json?: boolean }>().json === true);
      const { kind, id, environment, broken, shown } = answer;
      terminal.result({ kind, id, environment, broken, values: shownRows(shown) }, () => [
        `# ${kind} ${id} in ${environment}`,
        ...aligned(yamlLines(shown, "", originWords)),
      ]);
      if (broken !== null) throw new CommandEnd(exitCode.no, `${kind} ${id} is not served`, broken);
    });
}

async function read(directory: string, name: string, environment: string) {
  const { diskEstateIo } = await import("@sallyport/control/registry/config/estate-io.ts");
  const { showObject } = await import("@sallyport/control/explain/show-object.ts");
  const { QuestionFault } = await import("@sallyport/control/explain/explanation.ts");
  try {
    return showObject(
      diskEstateIo(directory, () => Date.now()),
      name,
      environment,
    );
  } catch (error) {
    if (error instanceof QuestionFault) throw new CommandEnd(exitCode.badUse, error.message, error.fix);
    throw error;
  }
}

interface Line {
  readonly text: string;
  readonly from: string;
}

type Words = (origin: Origin) => string;

function yamlLines(shown: Shown, indent: string, words: Words): readonly Line[] {
  if (shown.kind === "value") return [{ text: `${indent}${scalar(shown.value)}`, from: words(shown.origin) }];
  if (shown.kind === "list") return shown.items.flatMap((item) => itemLines(item, indent, words));
  return [...shown.entries].flatMap(([name, one]): readonly Line[] => {
    const at = `${indent}${scalar(name)}:`;
    if (one.kind === "value") return [{ text: `${at} ${scalar(one.value)}`, from: words(one.origin) }];
    const inside = yamlLines(one, `${indent}  `, words);
    if (inside.length > 0) return [{ text: at, from: "" }, ...inside];
    return [
      { text: `${at} ${one.kind === "list" ? "[]" : "{}"}`, from: one.kind === "list" ? words(one.origin) : "default" },
    ];
  });
}

function itemLines(item: Shown, indent: string, words: Words): readonly Line[] {
  const [first, ...rest] = yamlLines(item, `${indent}  `, words);
  return first === undefined ? [] : [{ ...first, text: `${indent}- ${first.text.trimStart()}` }, ...rest];
}

/** Plain where YAML reads it back as the same text, else as a JSON string, which is YAML too. */
function scalar(value: unknown): string {
  if (typeof value !== "string") return String(value);
  const plain =
    /^[A-Za-z/<][^\u0000-\u001f"'#{}[\],&*!|>%@`]*$/.test(value) &&
    !/: |:$|\s$|^(?:true|false|null|yes|no|on|off)$/i.test(value);
  return plain ? value : JSON.stringify(value);
}

const columnMax = 72;

function aligned(lines: readonly Line[]): readonly string[] {
  const width = Math.min(columnMax, Math.max(...lines.map(({ text }) => text.length)));
  return lines.map(({ text, from }) => (from === "" ? text : `${text.padEnd(width)}  # ${from}`));
}
