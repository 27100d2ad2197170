// Promises that an operator sees who is told of findings and whether they are, and tries one. Trusts control's admin API.
// Specified in docs/alerts.md and docs/cli/alert.md.
import type { AlertReplay, AlertTest } from "@sallyport/control/watch/alerts/alert-fold.ts";
import type { AlertReport } from "@sallyport/control/watch/alerts/alerts.ts";
import type { Command } from "commander";
import type { Connect } from "../admin-client.ts";
import { CommandEnd, exitCode } from "../exit.ts";
import { ago } from "../start/status-words.ts";

/** `sallyport alert list|test|replay`. */
export function alertCommands(program: Command, connect: Connect): void {
  const group = program.command("alert").description("who is told of findings, and whether they are");
  group
    .command("list")
    .description("every notifier with what it is told of and when it last was; exit 1 when one does not tell")
    .action(async (_flags: unknown, command: Command) => {
      const { client, terminal } = await connect(command);
      const alerts = await client.call<readonly AlertReport[]>("GET", "/v1/alerts");
      const faults = await alertFaults(alerts);
      terminal.result(alerts, () =>
        alerts.length === 0
          ? ["nobody is told of findings: serve --alerts <folder>"]
          : [
              ...terminal.table([["ALERT", "TO", "WHERE", "SEVERITY", "TOLD", "STATE"], ...alerts.map(rowOf)]),
              ...faults,
            ],
      );
      if (faults.length > 0) throw new CommandEnd(exitCode.no, "");
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
  replayCommand(group, connect);
}

function replayCommand(group: Command, connect: Connect): void {
  group
    .command("replay <name>")
    .description("tell the findings a notifier gave up because its receiver refused them; exit 1 when some are left")
    .requiredOption("--reason <text>", "why; it is recorded")
    .action(async (name: string, { reason }: { readonly reason: string }, command: Command) => {
      const { client, terminal } = await connect(command);
      const path = `/v1/alerts/${encodeURIComponent(name)}/replay`;
      const { told, gone, left, why } = await client.call<AlertReplay>("POST", path, { reason });
      terminal.result({ told, gone, left, why }, () => [
        `${told} told${gone === 0 ? "" : `, ${gone} that control no longer has`}`,
        ...(left === 0 ? [] : [`${left} are left: ${why ?? "the minute has no more messages, ask again in one"}`]),
      ]);
      if (left > 0) throw new CommandEnd(exitCode.no, "");
    });
}

function rowOf({ alert, to, where, severity, fault, standing, recipients }: AlertReport): readonly string[] {
  const takenAt = standing?.takenAtMs ?? null;
  const told = takenAt === null ? "not since the start" : `${ago(Date.now() - takenAt)} ago`;
  const whom = recipients === null ? where : `${where}, ${recipients} recipients`;
  const dead = standing?.deadLetters ?? 0;
  const state = fault === null ? "tells" : "fault";
  return [alert, to, whom, severity, told, dead === 0 ? state : `${state}, ${dead} dead letters`];
}

/** A line for each notifier that does not tell. */
export async function alertFaults(alerts: readonly AlertReport[]): Promise<readonly string[]> {
  // Not before a command needs it: the words are control's.
  const { givenUpWords } = await import("@sallyport/control/watch/alerts/given-up-words.ts");
  return alerts.flatMap(({ alert, fault, standing }) => [
    ...(fault === null ? [] : [`the notifier ${alert} does not tell: ${fault}`]),
    ...givenUpWords(alert, standing),
  ]);
}
