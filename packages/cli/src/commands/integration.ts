// Promises that an integration is suspended everywhere within a second, and stays so whatever is applied afterwards.
// Trusts control's admin API. Specified in docs/cli.md.
import type { Command } from "commander";
import type { Connect } from "../admin-client.ts";

interface IntegrationStatus {
  readonly id: string;
  readonly environment: string;
  readonly from: string;
  readonly to: string;
  readonly owner: string;
  readonly state: string;
  readonly declaredAt: string;
}

/** `sallyport integration list|activate|suspend|retire`. */
export function integrationCommands(program: Command, connect: Connect): void {
  const group = program
    .command("integration")
    .description("list integrations and change their state; a state survives every apply");
  group
    .command("list")
    .description("every integration with its state and where it is declared")
    .action(async (_options: unknown, command: Command) => {
      const { client, terminal } = await connect(command);
      const rows = await client.call<readonly IntegrationStatus[]>("GET", "/v1/integrations");
      terminal.result(rows, () =>
        terminal.table([
          ["INTEGRATION", "ENVIRONMENT", "STATE", "OWNER", "DECLARED"],
          ...rows.map((row) => [row.id, row.environment, row.state, row.owner, row.declaredAt]),
        ]),
      );
    });
  for (const verb of ["activate", "suspend", "retire"] as const) stateCommand(group, connect, verb);
}

interface StateFlags {
  readonly environment: string;
  readonly reason: string;
  readonly absent?: boolean;
}

function stateCommand(group: Command, connect: Connect, verb: keyof typeof describe): void {
  const named = group
    .command(`${verb} <id>`)
    .description(describe[verb])
    .option("--environment <environment>", "which environment", "production")
    .requiredOption("--reason <text>", "why; it is recorded");
  if (verb === "suspend") named.option("--absent", "cut off an id that is not declared yet");
  named
    .addHelpText("after", `\nExample:\n  sallyport integration ${verb} orders-to-billing --reason "incident 4711"\n`)
    .action(async (id: string, flags: StateFlags, command: Command) => {
      const { client, terminal } = await connect(command);
      const path = `/v1/integrations/${encodeURIComponent(id)}/${verb}`;
      const status = await client.call<IntegrationStatus>("POST", path, flags);
      const undeclared = status.declaredAt === "" ? "; nothing is declared under that id" : "";
      terminal.result(status, () => [`${status.id} (${status.environment}) is ${status.state}${undeclared}`]);
    });
}

const describe = {
  activate: "serve an integration again, or for the first time",
  suspend: "stop serving an integration now; gateways refuse it within a second",
  retire: "end an integration for good",
} as const;
