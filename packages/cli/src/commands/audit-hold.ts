// Promises that an operator places, sees and releases legal holds, and sees what is retained and what was removed.
// Trusts control's admin API. Specified in docs/cli/audit.md and docs/archive.md "Legal hold".

import type { LegalHold } from "@sallyport/control/audit/keeping/decide-hold.ts";
import type { RetentionReport } from "@sallyport/control/audit/keeping/keeping-actions.ts";
import type { KeptLog } from "@sallyport/control/audit/keeping/sweep.ts";
import type { Command } from "commander";
import type { Connect } from "../admin-client.ts";
import { CommandEnd, exitCode } from "../exit.ts";

const examples = {
  add: `
Examples:
  sallyport audit hold add acme-v-us --environment production --years 2025..2027 --owner legal --reason "Case 4711"
  sallyport audit hold add one-log --origin sallyport.local/main/production/gw-1/gateway/2026 --owner legal --reason "Case 4712"
`,
  release: '\nExample:\n  sallyport audit hold release acme-v-us --reason "settled 2028-02-01"\n',
  retention: "\nExample:\n  sallyport audit retention\n",
};

/** `sallyport audit hold add|list|release` and `sallyport audit retention`. */
export function auditHoldCommands(group: Command, connect: Connect): void {
  const hold = group
    .command("hold")
    .description("legal holds: what they cover is removed by nothing, whatever its date");
  addCommand(hold, connect);
  hold
    .command("list")
    .description("legal holds, also those that were released")
    .addHelpText("after", "\nExample:\n  sallyport audit hold list\n")
    .action(async (_options: unknown, command: Command) => {
      const { client, terminal } = await connect(command);
      const holds = await client.call<readonly LegalHold[]>("GET", "/v1/holds");
      terminal.result(holds, () =>
        holds.length === 0
          ? ["there is no hold"]
          : terminal.table([
              ["HOLD", "COVERS", "OWNER", "PLACED", "RELEASED", "REASON"],
              ...holds.map((one) => [
                one.id,
                scopeWords(one),
                one.owner,
                day(one.placedAt),
                one.releasedAt === null ? "-" : day(one.releasedAt),
                one.reason,
              ]),
            ]),
      );
    });
  hold
    .command("release <hold>")
    .description("release a hold; retention removes again what is due and under no other")
    .requiredOption("--reason <text>", "why; it is recorded")
    .addHelpText("after", examples.release)
    .action(async (id: string, flags: { readonly reason: string }, command: Command) => {
      const { client, terminal } = await connect(command);
      const path = `/v1/holds/${encodeURIComponent(id)}/release`;
      const released = await client.call<LegalHold>("POST", path, { reason: flags.reason });
      terminal.result(released, () => [`released ${released.id}: it covered ${scopeWords(released)}`]);
    });
  retentionCommand(group, connect);
}

interface AddFlags {
  readonly origin?: string;
  readonly environment?: string;
  readonly years?: string;
  readonly owner: string;
  readonly reason: string;
}

function addCommand(hold: Command, connect: Connect): void {
  hold
    .command("add <hold>")
    .description("place a hold under a name of its own, which is used once")
    .option("--origin <origin>", "one log of one year, as audit archived names it")
    .option("--environment <environment>", "every log with records of it; default: of all environments")
    .option("--years <years>", "2026, 2025..2027, 2025.. or ..2027; default: all years")
    .requiredOption("--owner <owner>", "who answers for it: a person, a team, a case")
    .requiredOption("--reason <text>", "why; it is recorded")
    .addHelpText("after", examples.add)
    .action(async (id: string, flags: AddFlags, command: Command) => {
      const years = flags.years === undefined ? {} : parseYears(flags.years);
      const { client, terminal } = await connect(command);
      const { origin, environment, owner, reason } = flags;
      const body = {
        ...{ id, owner, reason, ...years },
        ...(origin === undefined ? {} : { origin }),
        ...(environment === undefined ? {} : { environment }),
      };
      const placed = await client.call<LegalHold>("POST", "/v1/holds", body);
      terminal.result(placed, () => [`placed ${placed.id}: it covers ${scopeWords(placed)}`]);
    });
}

/** Throws CommandEnd (bad use). */
function parseYears(text: string): { readonly fromYear?: number; readonly toYear?: number } {
  const [, one, from, to] = /^(?:(\d{4})|(\d{4})?\.\.(\d{4})?)$/.exec(text) ?? [];
  if (one !== undefined) return { fromYear: Number(one), toYear: Number(one) };
  if (from === undefined && to === undefined)
    throw new CommandEnd(exitCode.badUse, `"${text}" names no years`, "write 2026, 2025..2027, 2025.. or ..2027");
  return {
    ...(from === undefined ? {} : { fromYear: Number(from) }),
    ...(to === undefined ? {} : { toYear: Number(to) }),
  };
}

function retentionCommand(group: Command, connect: Connect): void {
  group
    .command("retention")
    .description("until when each log in the archive store is kept, what holds it longer, and what was removed")
    .addHelpText("after", examples.retention)
    .action(async (_options: unknown, command: Command) => {
      const { client, terminal } = await connect(command);
      const report = await client.call<RetentionReport>("GET", "/v1/retention");
      terminal.result(report, () => retentionWords(report, terminal.table));
    });
}

function retentionWords(
  { place, kept, removed, now }: RetentionReport,
  table: (rows: readonly (readonly string[])[]) => readonly string[],
): readonly string[] {
  if (place === null)
    return ["no archive store is configured: logs stay where they are, and nothing is removed (docs/archive.md)"];
  const rows = (kept ?? []).map((log: KeptLog) => [
    log.origin,
    String(log.leaves),
    day(log.retainedUntil),
    log.heldBy === null ? (log.retainedUntil <= now ? "due" : "retained") : `held by ${log.heldBy}`,
  ]);
  return [
    ...(kept === null
      ? [`${place} was not looked through yet in this run of control`]
      : rows.length === 0
        ? [`${place} holds no log`]
        : table([["ORIGIN", "LEAVES", "UNTIL", "STATE"], ...rows])),
    ...removed.map(
      (one) =>
        `${one.origin}: ${one.leaves} leaves ${one.finishedAt === null ? `are being removed since ${day(one.beganAt)}` : `were removed on ${day(one.finishedAt)}`}`,
    ),
  ];
}

function scopeWords({ origin, environment, fromYear, toYear }: LegalHold): string {
  if (origin !== null) return origin;
  const years =
    fromYear === null && toYear === null
      ? "all years"
      : fromYear === toYear
        ? String(fromYear)
        : `${fromYear ?? ""}..${toYear ?? ""}`;
  return `${environment === null ? "every environment" : environment}, ${years}`;
}

const day = (at: number): string => new Date(at).toISOString().slice(0, 10);
