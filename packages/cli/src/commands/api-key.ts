// Promises that an API key is made, replaced without an outage and ended, and that the key itself is written to one file and printed nowhere.
// Trusts control's admin API. Specified in docs/identity/api-keys.md and docs/cli/api-key.md.
import { closeSync, rmSync, writeFileSync } from "node:fs";
import type { Command } from "commander";
import type { Connect } from "../admin-client.ts";
import { parseDuration } from "../duration.ts";
import { openNew } from "./new-file.ts";

interface ApiKeyStatus {
  readonly environment: string;
  readonly id: string;
  readonly system: string;
  readonly integrations: readonly string[];
  readonly createdAt: number;
  readonly notAfter: number;
  readonly endedAt: number | null;
  readonly state: string;
}

interface Scoped {
  readonly environment: string;
  readonly reason: string;
}

interface AddFlags extends Scoped {
  readonly integration: readonly string[];
  readonly out: string;
  readonly lifetime: string;
  readonly overlap: string;
}

const moment = (at: number): string => new Date(at).toISOString().slice(0, 16);

/** `sallyport api-key list|add|end`. */
export function apiKeyCommands(program: Command, connect: Connect): void {
  const group = program.command("api-key").description("API keys of callers that can do nothing better");
  group
    .command("list")
    .description("every API key by its name, whose it is, what it opens and until when")
    .action(async (_options: unknown, command: Command) => {
      const { client, terminal } = await connect(command);
      const rows = await client.call<readonly ApiKeyStatus[]>("GET", "/v1/api-keys");
      terminal.result(rows, () =>
        terminal.table([
          ["KEY", "ENVIRONMENT", "SYSTEM", "INTEGRATIONS", "STATE", "MADE", "ENDS"],
          ...rows.map((row) => [
            ...[row.id, row.environment, row.system, row.integrations.join(" "), row.state],
            ...[moment(row.createdAt), moment(row.endedAt ?? row.notAfter)],
          ]),
        ]),
      );
    });
  addCommand(group, connect);
  group
    .command("end <id>")
    .description("refuse a key from now on")
    .requiredOption("--reason <text>", "why; it is recorded")
    .option("--environment <environment>", "which environment", "production")
    .action(async (id: string, { environment, reason }: Scoped, command: Command) => {
      const { client, terminal } = await connect(command);
      await client.call("POST", `/v1/api-keys/${encodeURIComponent(id)}/end`, { environment, reason });
      terminal.result({ ended: id }, () => [`key ${id} is refused`]);
    });
}

function addCommand(group: Command, connect: Connect): void {
  group
    .command("add <system>")
    .description(
      "make a key and write it to a file that only you can read; the one before for the same integrations ends after the overlap",
    )
    .requiredOption("--integration <integration...>", "what it opens; whatever else the system is granted, it does not")
    .requiredOption("--out <file>", "where to write the key (created with mode 0600, never overwritten)")
    .requiredOption("--reason <text>", "why; it is recorded")
    .option("--environment <environment>", "which environment", "production")
    .option("--lifetime <duration>", "how long it is good, never beyond `until` of its integrations", "90d")
    .option("--overlap <duration>", "how long the key before it stays good", "7d")
    .action(async (system: string, flags: AddFlags, command: Command) => {
      const { client, terminal } = await connect(command);
      const { environment, reason, out, integration: integrations } = flags;
      const lifetimeMs = parseDuration(flags.lifetime);
      const overlapMs = parseDuration(flags.overlap);
      // Before the key is made: one that cannot be written down would stay good with nobody holding it.
      const file = openNew(out);
      try {
        const { key, ...made } = await client.call<{
          id: string;
          key: string;
          notAfter: number;
          follows: { id: string; notAfter: number } | null;
        }>("POST", `/v1/systems/${encodeURIComponent(system)}/api-keys`, {
          ...{ environment, reason, integrations, lifetimeMs, overlapMs },
        });
        writeFileSync(file, `${key}\n`);
        terminal.result({ file: out, ...made }, () => [
          `${out}: key ${made.id} of ${system}, good until ${moment(made.notAfter)}`,
          ...(made.follows === null ? [] : [`key ${made.follows.id} ends ${moment(made.follows.notAfter)}`]),
        ]);
      } catch (error) {
        rmSync(out, { force: true });
        throw error;
      } finally {
        closeSync(file);
      }
    });
}
