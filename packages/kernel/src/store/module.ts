// Promises a checked table of commands from a module named by URL, the same in every thread. Trusts the module's own code.
// Shape: docs/store.md, "A commands module".
import { StoreFault } from "./fault.ts";
import type { Migration } from "./migration.ts";
import { outboxMigrations } from "./outbox.ts";
import type { CommandTable } from "./port.ts";

export interface CommandsModule {
  readonly commands: CommandTable;
  /** The store's own steps first, then the module's. */
  readonly migrations: readonly Migration[];
}

/** Imports `commands` and `migrations`. Throws StoreFault `bad-commands-module` naming what is wrong. */
export async function loadCommands(url: string): Promise<CommandsModule> {
  const module: { commands?: unknown; migrations?: unknown } = await import(url).catch((error: unknown) => {
    throw new StoreFault(
      "bad-commands-module",
      `cannot import ${url}: ${error instanceof Error ? error.message : "unknown error"}`,
      { cause: error },
    );
  });
  if (!isCommandTable(module.commands))
    throw new StoreFault(
      "bad-commands-module",
      `${url} does not export a table \`commands\` whose entries have \`audit\` and \`body\``,
    );
  if (!Array.isArray(module.migrations))
    throw new StoreFault("bad-commands-module", `${url} does not export a list \`migrations\``);
  // as: entries are the programmer's own, checked by the compiler where they are written.
  return { commands: module.commands, migrations: [...outboxMigrations, ...(module.migrations as Migration[])] };
}

function isCommandTable(value: unknown): value is CommandTable {
  if (typeof value !== "object" || value === null) return false;
  return Object.values(value).every(
    (entry: unknown) =>
      typeof entry === "object" &&
      entry !== null &&
      "audit" in entry &&
      "body" in entry &&
      typeof entry.body === "function",
  );
}
