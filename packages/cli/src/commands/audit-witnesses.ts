// Promises what was found against logs, with both checkpoints as evidence, and the witnesses with their keys as a policy.
// Trusts control's admin API. Specified in docs/cli/audit.md and docs/witnesses.md.
import type { WitnessReport } from "@sallyport/control/admin/actions.ts";
import type { LogFindingRow } from "@sallyport/control/audit/witness-store.ts";
import type { Command } from "commander";
import type { Connect } from "../admin-client.ts";
import { CommandEnd, exitCode } from "../exit.ts";

/** `sallyport audit findings|witnesses`. */
export function witnessCommands(group: Command, connect: Connect): void {
  group
    .command("findings")
    .description(
      "evidence that a log contradicts what was signed of it: rollback, fork, split view; exit 1 when there is any",
    )
    .action(async (_flags: object, command: Command) => {
      const { client, terminal } = await connect(command);
      const found = await client.call<readonly LogFindingRow[]>("GET", "/v1/log-findings");
      terminal.result(found, () => [
        ...(found.length === 0 ? ["no log contradicts what was signed of it"] : found.flatMap(findingLines)),
        found.length === 0
          ? "what rules noticed in the records: sallyport finding list"
          : "this is the evidence, which stays; who looks at it, and what rules noticed in the records: sallyport finding list",
      ]);
      if (found.length > 0) throw new CommandEnd(exitCode.no, "");
    });
  group
    .command("witnesses")
    .description("who witnesses the logs, what was cosigned last, and their keys as a policy for audit verify")
    .action(async (_flags: object, command: Command) => {
      const { client, terminal } = await connect(command);
      const report = await client.call<WitnessReport>("GET", "/v1/witnesses");
      terminal.result(report, () => [
        ...report.cosigners.map(
          ({ name, leaves, fault }) =>
            `# ${name}: control's log at ${leaves} leaves${fault === null ? "" : `; ${fault}`}`,
        ),
        ...report.witnessed.map(({ origin, leaves }) => `# control's witness: ${origin} at ${leaves} leaves`),
        `witness control ${report.control}`,
        ...report.gateways.map(({ node, key }) => `witness ${node} ${key}`),
        ...outsideLines(report),
      ]);
    });
}

/** With them the whole is a policy (C2SP tlog-policy): the quorum of the estate. */
function outsideLines({ outside = [], quorum }: WitnessReport): readonly string[] {
  if (outside.length === 0 || quorum === undefined)
    return ["# a policy ends in whose word is enough, which is yours to say, for example:", "# quorum control"];
  return [
    ...outside.map(({ name, key, url }) => `witness ${name} ${key} ${url}`),
    `group outside ${quorum.asked} ${outside.map(({ name }) => name).join(" ")}`,
    "quorum outside",
  ];
}

const sizeOf = (note: string) => note.split("\n")[1] ?? "?";

function findingLines({ code, origin, witness, by, at, kept, shown }: LogFindingRow): readonly string[] {
  return [
    `${code}  ${origin}`,
    `  cosigned by ${witness} at ${sizeOf(kept)} leaves, then shown with ${sizeOf(shown)}; found by ${by}, ${new Date(at).toISOString()}`,
    "  both checkpoints: --json",
  ];
}
