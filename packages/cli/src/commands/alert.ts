// Promises that an operator sees who is told of findings and whether they are, and tries one. Trusts control's admin API.
// Specified in docs/alerts.md and docs/cli/alert.md.
import type { AlertTest } from "@sallyport/control/watch/alerts/alert-fold.ts";
import type { AlertReport } from "@sallyport/control/watch/alerts/alerts.ts";
import type { Command } from "commander";
import type { Connect } from "../admin-client.ts";
import { CommandEnd, exitCode } from "../exit.ts";
import { ago } from "../start/status-words.ts";

/** `sallyport alert list|test`. */
export function alertCommands(program: Command, connect: Connect): void {
  const group = program.command("alert").description("who is told of findings, and whether they are");
  group
    .command("list")
    .description("every notifier with what it is told of and when it last was; exit 1 when one does not tell")
    .action(async (_flags: unknown, command: Command) => {
      const { client, terminal } = await connect(command);
      const alerts = await client.call<readonly AlertReport[]>("GET", "/v1/alerts");
      terminal.result(alerts, () =>
        alerts.length === 0
          ? ["nobody is told of findings: serve --alerts <folder>"]
          : [
              ...terminal.table([["ALERT", "TO", "WHERE", "SEVERITY", "TOLD", "STATE"], ...alerts.map(rowOf)]),
              ...alertFaults(alerts),
            ],
      );
      if (alerts.some(({ fault }) => fault !== null)) throw new CommandEnd(exitCode.no, "");
    });
  group
    .command("test <name>")
    .description("send one message that is about no finding; exit 1 when it is not taken")
    .action(async (name: string, _flags: unknown, command: Command) => {
      const { client, terminal } = await connect(command);
      const test = await client.call<AlertTest>("POST", `/v1/alerts/${encodeURIComponent(name)}/test`, {});
      terminal.result(test, () => [
        test.taken ? `${name} took the test message` : `${name} did not take it: ${test.why}`,
      ]);
      if (!test.taken) throw new CommandEnd(exitCode.no, "");
    });
}

function rowOf({ alert, to, where, severity, fault, standing, recipients }: AlertReport): readonly string[] {
  const takenAt = standing?.takenAtMs ?? null;
  const told = takenAt === null ? "not since the start" : `${ago(Date.now() - takenAt)} ago`;
  const whom = recipients === null ? where : `${where}, ${recipients} recipients`;
  return [alert, to, whom, severity, told, fault === null ? "tells" : "fault"];
}

/** A line for each notifier that does not tell. */
export const alertFaults = (alerts: readonly AlertReport[]): readonly string[] =>
  alerts.flatMap(({ alert, fault }) => (fault === null ? [] : [`the notifier ${alert} does not tell: ${fault}`]));
