// Promises the JSON Schema of every kind of file of an estate, for editors, made from the types that check it.
// Trusts reference.ts. Specified in docs/cli/schema.md.
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { EditorSchema } from "@sallyport/control/registry/config/reference.ts";
import { type Command, InvalidArgumentError } from "commander";
import { CommandEnd, exitCode } from "../exit.ts";
import { createTerminal } from "../terminal.ts";

/** `sallyport schema [kind]`. */
export function schemaCommand(program: Command): void {
  program
    .command("schema")
    .argument("[kind]", "estate, system, integration, team or trust; without it, what there is", word)
    .description("print the JSON Schema of a kind of file, for completion and checks in an editor")
    .option("--out <dir>", "write all of them there, one file each, in place of older ones")
    .addHelpText(
      "after",
      "\nExamples:\n  sallyport schema system\n  sallyport schema --out .sallyport/schemas\n\ndocs/cli/schema.md says how an editor finds them.\n",
    )
    .action(async (kind: string | undefined, options: { out?: string }, command: Command) => {
      const { editorSchemas } = await import("@sallyport/control/registry/config/reference.ts");
      const schemas = editorSchemas();
      const terminal = createTerminal(command.optsWithGlobals<{ json?: boolean }>().json === true);
      if (kind !== undefined && options.out !== undefined)
        throw new CommandEnd(exitCode.badUse, "`--out` writes every kind", "leave out the kind, or `--out`");
      if (options.out !== undefined) {
        const { out } = options;
        const written = schemas.map((schema) => writeSchema(out, schema));
        terminal.result({ written }, () => written);
        return;
      }
      if (kind === undefined) {
        const list = schemas.map(({ kind, glob, file }) => ({ kind, files: glob, schema: file }));
        terminal.result(list, () =>
          terminal.table([["kind", "files"], ...list.map(({ kind, files }) => [kind, files])]),
        );
        return;
      }
      const found = schemas.find((schema) => schema.kind === kind);
      if (found === undefined) {
        const known = schemas.map((schema) => schema.kind).join(", ");
        throw new CommandEnd(exitCode.badUse, `there is no kind of file \`${kind}\``, `use one of ${known}`);
      }
      terminal.result(found.schema, () => textOf(found).trimEnd().split("\n"));
    });
}

function word(text: string): string {
  if (!/^[a-z-]{1,40}$/.test(text)) throw new InvalidArgumentError("write a word such as `system`");
  return text;
}

function textOf({ schema }: EditorSchema): string {
  return `${JSON.stringify(schema, null, 2)}\n`;
}

function writeSchema(dir: string, schema: EditorSchema): string {
  const path = join(dir, schema.file);
  try {
    mkdirSync(dir, { recursive: true });
    writeFileSync(path, textOf(schema));
  } catch (error) {
    const code = error instanceof Error && "code" in error ? ` (${String(error.code)})` : "";
    throw new CommandEnd(exitCode.badUse, `${path} cannot be written${code}`, "name a folder that is writable");
  }
  return path;
}
