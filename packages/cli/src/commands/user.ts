// Promises that a person gets in by one link that is shown once, and is out everywhere by one command. Trusts control's admin API.
// Specified in docs/cli/user.md, docs/cli/session.md, docs/identity/people.md.
import type { Command } from "commander";
import type { Connect } from "../admin-client.ts";
import { parseDuration } from "../duration.ts";
import { CommandEnd, exitCode } from "../exit.ts";

interface UserRow {
  readonly id: string;
  readonly environment: string;
  readonly name: string;
  readonly state: string;
  readonly password: boolean;
  readonly totp: boolean;
  readonly passkeys: number;
  readonly links: number;
  readonly sessions: number;
}

interface Enrolment {
  readonly id: string;
  readonly link: string;
  readonly until: number;
}

interface SessionRow {
  readonly sid: string;
  readonly environment: string;
  readonly user: string;
  readonly name: string;
  readonly authTime: number;
  readonly seenAt: number;
  readonly acr: string;
  readonly device: string;
  readonly browser: string;
}

interface ConsentRow {
  readonly client: string;
  readonly environment: string;
  readonly providers: readonly string[];
  readonly scopes: readonly string[] | null;
  readonly at: number | null;
  readonly grants: number;
}

interface UndeliveredRow {
  readonly session: string;
  readonly environment: string;
  readonly client: string;
  readonly attempts: number;
  readonly why: string;
  readonly endedAt: number;
  readonly nextAt: number | null;
}

type Connected = Awaited<ReturnType<Connect>>;

/** `sallyport user add|list|disable|enable|reset|link|consents` and `sallyport session list|undelivered|end`. */
export function userCommands(program: Command, connect: Connect): void {
  const group = program.command("user").description("add people who may sign in, see them, and end what they hold");
  group
    .command("add <name>")
    .description("add a user and print the link that sets up their account; it is shown once")
    .option("--environment <environment>", "which environment", "production")
    .option("--link-lifetime <duration>", "how long the link may be used", "24h")
    .action(async (name: string, flags: { environment: string; linkLifetime: string }, command: Command) => {
      const { client, terminal } = await connect(command);
      const body = { environment: flags.environment, name, linkLifetimeMs: parseDuration(flags.linkLifetime) };
      showLink(terminal, name, await client.call<Enrolment>("POST", "/v1/users", body));
    });
  group
    .command("list")
    .description("every user, how they sign in, and how many sessions they have")
    .action(async (_options: unknown, command: Command) => {
      const { client, terminal } = await connect(command);
      const rows = await client.call<readonly UserRow[]>("GET", "/v1/users");
      terminal.result(rows, () =>
        terminal.table([
          ["NAME", "ENVIRONMENT", "STATE", "SIGNS IN WITH", "SESSIONS", "ID"],
          ...rows.map((row) => [row.name, row.environment, row.state, waysOf(row), String(row.sessions), row.id]),
        ]),
      );
    });
  stateCommand(
    group,
    connect,
    "disable",
    "end every session and token of a user; nobody signs in as them until they are enabled",
  );
  stateCommand(group, connect, "enable", "let a disabled user sign in again");
  group
    .command("reset <name>")
    .description("take every credential of a user away, end what they hold, and print a new link")
    .option("--environment <environment>", "which environment", "production")
    .option("--link-lifetime <duration>", "how long the link may be used", "24h")
    .requiredOption("--reason <text>", "why; it is recorded")
    .action(
      async (name: string, flags: { environment: string; linkLifetime: string; reason: string }, command: Command) => {
        const { client, terminal } = await connect(command);
        const { environment, reason } = flags;
        const id = await idOf(client, name, environment);
        const body = { environment, reason, linkLifetimeMs: parseDuration(flags.linkLifetime) };
        showLink(terminal, name, await client.call<Enrolment>("POST", `/v1/users/${id}/reset`, body));
      },
    );
  linkCommand(group, connect);
  consentsCommand(group, connect);
  sessionCommands(program, connect);
}

function linkCommand(group: Command, connect: Connect): void {
  group
    .command("link <name>")
    .description("connect a user with their account at a provider outside, so that they can sign in through it")
    .option("--environment <environment>", "which environment", "production")
    .requiredOption("--provider <id>", "id of the provider in the estate")
    .requiredOption("--subject <sub>", "what the provider calls them: the `sub` of its tokens, never an e-mail address")
    .requiredOption("--reason <text>", "why; it is recorded")
    .action(
      async (
        name: string,
        flags: { environment: string; provider: string; subject: string; reason: string },
        command: Command,
      ) => {
        const { client, terminal } = await connect(command);
        const id = await idOf(client, name, flags.environment);
        const done = await client.call("POST", `/v1/users/${id}/link`, flags);
        terminal.result(done, () => [`${name} (${flags.environment}) can sign in through ${flags.provider}`]);
      },
    );
}

function consentsCommand(group: Command, connect: Connect): void {
  group
    .command("consents <name>")
    .description("what a user allowed applications; with --withdraw it is taken back from one")
    .option("--environment <environment>", "which environment", "production")
    .option("--withdraw <client>", "end every grant of this client for the user, and ask them again next time")
    .option("--reason <text>", "why it is taken back; it is recorded")
    .action(
      async (name: string, flags: { environment: string; withdraw?: string; reason?: string }, command: Command) => {
        const { environment, withdraw, reason } = flags;
        if (withdraw !== undefined && reason === undefined)
          throw new CommandEnd(exitCode.badUse, "--withdraw needs a reason", "add --reason <text>");
        const { client, terminal } = await connect(command);
        const id = await idOf(client, name, environment);
        if (withdraw !== undefined) {
          const done = await client.call("POST", `/v1/users/${id}/withdraw`, { environment, client: withdraw, reason });
          return terminal.result(done, () => [`${withdraw} may do nothing for ${name} (${environment}) any more`]);
        }
        const rows = await client.call<readonly ConsentRow[]>("GET", `/v1/users/${id}/consents`);
        terminal.result(rows, () =>
          terminal.table([
            ["CLIENT", "ENVIRONMENT", "MAY CALL", "OPERATIONS", "ALLOWED", "GRANTS ALIVE"],
            ...rows.map((row) => [
              row.client,
              row.environment,
              row.providers.join(" ") || "nothing",
              row.scopes === null ? "all it is granted" : row.scopes.join(" "),
              row.at === null ? "by a code" : new Date(row.at).toISOString().slice(0, 16),
              String(row.grants),
            ]),
          ]),
        );
      },
    );
}

function showLink(terminal: Connected["terminal"], name: string, made: Enrolment): void {
  terminal.result(made, () => [
    `${name} sets up their account with this link, once, until ${new Date(made.until).toISOString()}:`,
    made.link,
  ]);
}

function waysOf(row: UserRow): string {
  const ways = [
    ...(row.passkeys > 0 ? [`${row.passkeys} passkey${row.passkeys === 1 ? "" : "s"}`] : []),
    ...(row.links > 0 ? [`${row.links} provider${row.links === 1 ? "" : "s"}`] : []),
    ...(row.password ? [row.totp ? "password and code" : "password"] : []),
  ];
  return ways.join(", ") || "nothing yet";
}

function stateCommand(group: Command, connect: Connect, verb: "disable" | "enable", description: string): void {
  group
    .command(`${verb} <name>`)
    .description(description)
    .option("--environment <environment>", "which environment", "production")
    .requiredOption("--reason <text>", "why; it is recorded")
    .action(async (name: string, flags: { environment: string; reason: string }, command: Command) => {
      const { client, terminal } = await connect(command);
      const id = await idOf(client, name, flags.environment);
      const done = await client.call<{ readonly state: string }>("POST", `/v1/users/${id}/${verb}`, flags);
      terminal.result(done, () => [`${name} (${flags.environment}) is ${done.state}`]);
    });
}

/** Routes take the opaque id: a name in a path would stand in other people's logs. */
async function idOf(client: Connected["client"], name: string, environment: string): Promise<string> {
  if (/^usr_[A-Za-z0-9_-]{22}$/.test(name)) return name;
  const rows = await client.call<readonly UserRow[]>("GET", "/v1/users");
  const found = rows.find((row) => row.name === name && row.environment === environment);
  if (found !== undefined) return found.id;
  throw new CommandEnd(exitCode.no, `there is no user ${name} in ${environment}`, "sallyport user list shows them");
}

function sessionCommands(program: Command, connect: Connect): void {
  const group = program.command("session").description("see who is signed in, and end it");
  group
    .command("list")
    .description("every log-in session that is alive")
    .action(async (_options: unknown, command: Command) => {
      const { client, terminal } = await connect(command);
      const rows = await client.call<readonly SessionRow[]>("GET", "/v1/sessions");
      const when = (at: number) => new Date(at).toISOString().slice(0, 16);
      terminal.result(rows, () =>
        terminal.table([
          ["SESSION", "ENVIRONMENT", "NAME", "USER", "SIGNED IN", "LAST USED", "WORTH", "BROWSER"],
          ...rows.map((row) => [
            row.sid,
            row.environment,
            row.name,
            row.user,
            when(row.authTime),
            when(row.seenAt),
            row.acr.replace("urn:sallyport:acr:", ""),
            `${row.browser} (${row.device})`,
          ]),
        ]),
      );
    });
  group
    .command("undelivered")
    .description("ends of log-ins that an application could not be told of, and when it is tried again")
    .action(async (_options: unknown, command: Command) => {
      const { client, terminal } = await connect(command);
      const rows = await client.call<readonly UndeliveredRow[]>("GET", "/v1/logouts");
      const when = (at: number) => new Date(at).toISOString().slice(0, 16);
      terminal.result(rows, () =>
        terminal.table([
          ["CLIENT", "ENVIRONMENT", "SESSION", "ENDED", "TRIES", "WHY", "NEXT TRY"],
          ...rows.map((row) => [
            row.client,
            row.environment,
            row.session,
            when(row.endedAt),
            String(row.attempts),
            row.why,
            row.nextAt === null ? "none" : when(row.nextAt),
          ]),
        ]),
      );
    });
  group
    .command("end <sid>")
    .description("end a session now: its tokens are refused within a second")
    .option("--environment <environment>", "which environment", "production")
    .requiredOption("--reason <text>", "why; it is recorded")
    .action(async (sid: string, flags: { environment: string; reason: string }, command: Command) => {
      const { client, terminal } = await connect(command);
      await client.call("POST", `/v1/sessions/${encodeURIComponent(sid)}/end`, flags);
      terminal.result({ ended: sid }, () => [`${sid} is over`]);
    });
}
