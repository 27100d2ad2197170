// Promises that an integration is suspended everywhere within a second, and stays so whatever is applied afterwards.
// Trusts control's admin API. Specified in docs/cli.md.
import type { Command } from "commander";
import type { Connect } from "../admin-client.ts";
import { CommandEnd, exitCode } from "../exit.ts";

interface IntegrationStatus {
  readonly id: string;
  readonly environment: string;
  readonly from: string;
  readonly to: string;
  readonly owner: string;
  readonly state: string;
  readonly declaredAt: string;
}

/** `sallyport integration list|confirm|activate|suspend|retire`. */
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
  confirmCommand(group, connect);
  for (const verb of ["activate", "suspend", "retire"] as const) stateCommand(group, connect, verb);
}

interface Confirmed {
  readonly activated: readonly string[];
  readonly waiting: readonly { readonly environment: string; readonly id: string; readonly managedBy: string }[];
}

function confirmCommand(group: Command, connect: Connect): void {
  group
    .command("confirm")
    .description("after a restore: serve again what it put on hold, once you have looked")
    .requiredOption("--reason <text>", "what you looked at; it is recorded")
    .addHelpText(
      "after",
      `
A restore cannot know what was suspended or retired after its backup. Suspend those again first:
  sallyport integration list
  sallyport integration suspend orders-to-billing --reason "incident 4711, before the restore"
  sallyport integration confirm --reason "went through the incident list"
`,
    )
    .action(async (flags: { readonly reason: string }, command: Command) => {
      const { client, terminal } = await connect(command);
      const report = await client.call<Confirmed>("POST", "/v1/restore/confirm", { reason: flags.reason });
      terminal.result(report, () => [
        ...report.activated.map((name) => `${name} is active`),
        ...report.waiting.map(
          (one) => `${one.environment}/${one.id} waits: ${one.managedBy} was not applied since the restore`,
        ),
        `${report.activated.length} confirmed, ${report.waiting.length} waiting`,
      ]);
      if (report.waiting.length > 0)
        throw new CommandEnd(exitCode.no, "", "apply the estate first: sallyport apply <directory>");
    });
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
