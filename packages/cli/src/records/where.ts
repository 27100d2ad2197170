// Promises the options that say which records are meant, the same for every command over records, as the admin API takes them.
// Trusts nothing. Specified in docs/audit-search.md.
import type { Command } from "commander";
import { readToken, refuseTokenText } from "../commands/token-file.ts";
import { parseDuration } from "../duration.ts";
import { CommandEnd, exitCode } from "../exit.ts";

interface WhereOption {
  /** Field of docs/audit-search.md. */
  readonly field: string;
  readonly flag: string;
  readonly about: string;
}

/** Each may be given several times: any of its values. */
const whereOptions: readonly WhereOption[] = [
  { field: "caller", flag: "--caller <system>", about: "system that called" },
  { field: "subject", flag: "--subject <user>", about: "user it acted for: user:<name>, a name or an id" },
  { field: "client", flag: "--client <client>", about: "client that asked for a token" },
  {
    field: "actor",
    flag: "--actor <actor>",
    about: "who administered: an operator, user:<name>, gateway:<node>, config:<estate>",
  },
  { field: "jti", flag: "--jti <id>", about: "id of a token" },
  { field: "address", flag: "--address <address>", about: "source address" },
  { field: "operation", flag: "--operation <operation>", about: "for example billing:invoice.create" },
  { field: "system", flag: "--system <system>", about: "system whose operation it was" },
  { field: "integration", flag: "--integration <id>", about: "integration" },
  {
    field: "outcome",
    flag: "--outcome <outcome>",
    about: "success, business-error, system-error, denied, aborted, unknown",
  },
  { field: "verdict", flag: "--verdict <verdict>", about: "allow or deny" },
  { field: "code", flag: "--code <code>", about: "code of a denial" },
  { field: "policy", flag: "--policy <id>", about: "policy that decided" },
  { field: "id", flag: "--id <id>", about: "crossing id (correlation id) or event id" },
  { field: "kind", flag: "--kind <kind>", about: "crossing, intent, outcome, denials, issuance, admin, start, …" },
  { field: "action", flag: "--action <action>", about: "administrative action, for example key.rotate" },
  {
    field: "object",
    flag: "--object <object>",
    about: "what was administered, for example integration/orders-to-billing",
  },
  { field: "status", flag: "--status <status>", about: "HTTP status sent to the caller" },
  { field: "node", flag: "--node <node>", about: "gateway or control node that recorded it" },
  { field: "environment", flag: "--environment <environment>", about: "environment" },
  {
    field: "odd",
    flag: "--odd <what>",
    about: "unreadable or foreign-place: records that do not look like their origin's",
  },
];

const collect = (value: string, before: readonly string[] = []): readonly string[] => [...before, value];

export function addWhereOptions(command: Command): Command {
  for (const { flag, about } of whereOptions) command.option(flag, about, collect);
  command.option("--token <file>", "file that holds a whole token; - reads it from standard input", collect);
  return command;
}

export type WhereFlags = Readonly<Record<string, unknown>>;

/** `where` of a request. Throws CommandEnd where a token stands on the command line, or its file cannot be read. */
export function whereOf(flags: WhereFlags): Readonly<Record<string, readonly string[]>> {
  const where: Record<string, readonly string[]> = {};
  for (const { field } of whereOptions) {
    // `collect` above is what gives it.
    const values = flags[field] as readonly string[] | undefined;
    if (values === undefined) continue;
    if (field !== "jti") where[field] = values;
    for (const value of values) refuseTokenText(value, "--token <file>");
  }
  const tokens = [
    ...((flags["jti"] as readonly string[] | undefined) ?? []),
    ...((flags["token"] as readonly string[] | undefined) ?? []).map(readToken),
  ];
  return tokens.length === 0 ? where : { ...where, token: tokens };
}

/** A moment: how long ago (2h, 7d), or ISO 8601. Milliseconds since the epoch. */
export function parseMoment(text: string, now: number): number {
  if (/^\d+(ms|s|m|h|d)$/.test(text)) return Math.max(0, now - parseDuration(text));
  const at = /^\d{4}-\d{2}-\d{2}(T\d{2}:\d{2}(:\d{2}(\.\d{1,3})?)?(Z|[+-]\d{2}:\d{2}))?$/.test(text)
    ? Date.parse(text)
    : Number.NaN;
  if (Number.isNaN(at))
    throw new CommandEnd(
      exitCode.badUse,
      `"${text}" is no moment`,
      "say how long ago (30m, 2h, 7d), or 2026-11-30T08:00:00Z",
    );
  return Math.max(0, at);
}
