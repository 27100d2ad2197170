// Promises that a client's secrets and keys are given and taken without an outage, and that a secret is written to one file and printed nowhere.
// Trusts control's admin API. Specified in docs/identity/client-authentication.md and docs/cli/client.md.
import { closeSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import type { Command } from "commander";
import type { Connect } from "../admin-client.ts";
import { parseDuration } from "../duration.ts";
import { CommandEnd, exitCode } from "../exit.ts";
import { enrolCommand, enrolmentCodeCommand } from "./client-enrolment.ts";
import { openNew } from "./new-file.ts";

interface ClientStatus {
  readonly client: string;
  readonly system: string;
  readonly environment: string;
  readonly method: string;
  readonly until: number | null;
  /** Absent: from a control of before. */
  readonly published?: { readonly uri: string; readonly seenAt: number | null } | null;
  readonly keys: readonly {
    readonly kid: string;
    readonly from: string;
    readonly notAfter: number | null;
    readonly state: string;
  }[];
  readonly secrets: readonly {
    readonly id: string;
    readonly createdAt: number;
    readonly notAfter: number | null;
    readonly usedAt: number | null;
    readonly state: string;
  }[];
}

interface Scoped {
  readonly environment: string;
  readonly reason: string;
}

/** `sallyport client list`, `client secret add|end`, `client key list|add|code|enroll|end`. */
export function clientCommands(program: Command, connect: Connect): void {
  const group = program.command("client").description("clients, and what they prove themselves with");
  group
    .command("list")
    .description("every client with its way to authenticate, its keys and its secrets")
    .action(async (_options: unknown, command: Command) => {
      const { client, terminal } = await connect(command);
      const rows = await client.call<readonly ClientStatus[]>("GET", "/v1/clients");
      terminal.result(rows, () =>
        terminal.table([
          ["CLIENT", "ENVIRONMENT", "METHOD", "WHAT", "STATE", "ENDS", "LAST USED"],
          ...rows.flatMap(lines),
        ]),
      );
    });
  const secret = group.command("secret").description("secrets of clients that can do nothing better");
  addSecretCommand(secret, connect);
  endCommand(secret, connect, { what: "secret", member: "secret" });
  const key = group.command("key").description("public keys beside those of the estate");
  listKeysCommand(key, connect);
  addKeyCommand(key, connect);
  enrolmentCodeCommand(key, connect);
  enrolCommand(key);
  endCommand(key, connect, { what: "key", member: "kid" });
}

function listKeysCommand(key: Command, connect: Connect): void {
  key
    .command("list <client>")
    .description("the keys of one client, where each is from and until when it is good")
    .option("--environment <environment>", "which environment", "production")
    .action(async (id: string, { environment }: { environment: string }, command: Command) => {
      const { client, terminal } = await connect(command);
      const all = await client.call<readonly ClientStatus[]>("GET", "/v1/clients");
      const found = all.find((one) => one.client === id && one.environment === environment);
      if (found === undefined)
        throw new CommandEnd(
          exitCode.no,
          `there is no client ${id} in ${environment}`,
          "sallyport client list shows them",
        );
      terminal.result(found.keys, () =>
        terminal.table([
          ["KID", "FROM", "STATE", "ENDS"],
          ...found.keys.map(({ kid, from, state, notAfter }) => [kid, from, state, day(notAfter)]),
        ]),
      );
    });
}

const day = (at: number | null): string => (at === null ? "-" : new Date(at).toISOString().slice(0, 16));

function lines({ client, environment, method, until, published, keys, secrets }: ClientStatus): string[][] {
  const head = [client, environment, method];
  const place =
    published === null || published === undefined
      ? []
      : [
          [
            ...head,
            `keys at ${published.uri}`,
            published.seenAt === null ? "not seen yet" : "seen",
            "-",
            day(published.seenAt),
          ],
        ];
  const held = [
    ...place,
    ...keys.map(({ kid, from, state, notAfter }) => [...head, `key ${kid} (${from})`, state, day(notAfter), "-"]),
    ...secrets.map(({ id, state, notAfter, usedAt }) => [
      ...head,
      `secret ${id}`,
      state,
      day(notAfter ?? until),
      day(usedAt),
    ]),
  ];
  return held.length > 0 ? held : [[...head, "-", "-", day(until), "-"]];
}

interface AddSecretFlags extends Scoped {
  readonly out: string;
  readonly overlap: string;
  readonly lifetime?: string;
}

function addSecretCommand(secret: Command, connect: Connect): void {
  secret
    .command("add <client>")
    .description("make a secret and write it to a file that only you can read; the one before ends after the overlap")
    .requiredOption("--out <file>", "where to write the secret (created with mode 0600, never overwritten)")
    .requiredOption("--reason <text>", "why; it is recorded")
    .option("--environment <environment>", "which environment", "production")
    .option("--overlap <duration>", "how long the secret before it stays good", "7d")
    .option(
      "--lifetime <duration>",
      "how long the new one is good; without it as long as the estate lets the client use secrets",
    )
    .action(async (id: string, flags: AddSecretFlags, command: Command) => {
      const { client, terminal } = await connect(command);
      const { environment, reason, out } = flags;
      const body = {
        environment,
        reason,
        overlapMs: parseDuration(flags.overlap),
        ...(flags.lifetime === undefined ? {} : { lifetimeMs: parseDuration(flags.lifetime) }),
      };
      // Before the secret is made: one that cannot be written down would stay good with nobody holding it.
      const file = openNew(out);
      try {
        const made = await client.call<{
          id: string;
          secret: string;
          notAfter: number | null;
          follows: { id: string; notAfter: number } | null;
        }>("POST", `/v1/clients/${encodeURIComponent(id)}/secrets`, body);
        writeFileSync(file, `${made.secret}\n`);
        const { secret: _, ...shown } = made;
        terminal.result({ client: id, file: out, ...shown }, () => [
          `${out}: secret ${made.id} of ${id}`,
          ...(made.follows === null
            ? []
            : [`secret ${made.follows.id} ends ${new Date(made.follows.notAfter).toISOString()}`]),
        ]);
      } catch (error) {
        rmSync(out, { force: true });
        throw error;
      } finally {
        closeSync(file);
      }
    });
}

interface AddKeyFlags extends Scoped {
  readonly file: string;
  readonly lifetime?: string;
}

function addKeyCommand(key: Command, connect: Connect): void {
  key
    .command("add <client>")
    .description("let one more public key speak for a client, beside those its file declares")
    .requiredOption("--file <file>", "JWKS with exactly one public key, as `client-key new --public` writes it")
    .requiredOption("--reason <text>", "why; it is recorded")
    .option("--environment <environment>", "which environment", "production")
    .option("--lifetime <duration>", "how long it is good; without it until it is ended")
    .action(async (id: string, flags: AddKeyFlags, command: Command) => {
      const jwk = readKey(flags.file);
      const { client, terminal } = await connect(command);
      const { environment, reason, lifetime } = flags;
      const ends = lifetime === undefined ? {} : { notAfter: Date.now() + parseDuration(lifetime) };
      const added = await client.call<{ kid: string }>("POST", `/v1/clients/${encodeURIComponent(id)}/keys`, {
        environment,
        reason,
        jwk,
        ...ends,
      });
      terminal.result({ client: id, ...added }, () => [`key ${added.kid} speaks for ${id}`]);
    });
}

interface EndFlags extends Scoped {
  readonly leaked?: boolean;
}

function endCommand(
  group: Command,
  connect: Connect,
  { what, member }: { readonly what: "secret" | "key"; readonly member: "secret" | "kid" },
): void {
  const name = member === "kid" ? "kid" : "id";
  group
    .command(`end <client> <${name}>`)
    .description(`refuse a ${what} from now on${what === "key" ? "; a key that was ended does not come back" : ""}`)
    .requiredOption("--reason <text>", "why; it is recorded")
    .option("--environment <environment>", "which environment", "production")
    .option("--leaked", `it leaked: every token the client holds now ends with the ${what}`)
    .action(async (id: string, ended: string, flags: EndFlags, command: Command) => {
      const { client, terminal } = await connect(command);
      const { environment, reason, leaked: revokeTokens = false } = flags;
      const path = `/v1/clients/${encodeURIComponent(id)}/${what}s/end`;
      await client.call("POST", path, { environment, reason, revokeTokens, [member]: ended });
      terminal.result({ client: id, ended, tokensRevoked: revokeTokens }, () => [
        `${what} ${ended} of ${id} is refused${revokeTokens ? ", and so is every token it holds" : ""}`,
      ]);
    });
}

function readKey(path: string): unknown {
  let parsed: unknown;
  try {
    parsed = JSON.parse(readFileSync(path, "utf8"));
  } catch {
    throw new CommandEnd(exitCode.badUse, `${path} is not a JWKS file`, "make one: sallyport client-key new");
  }
  const keys: unknown = typeof parsed === "object" && parsed !== null && "keys" in parsed ? parsed.keys : null;
  if (Array.isArray(keys) && keys.length === 1) return keys[0];
  throw new CommandEnd(
    exitCode.badUse,
    `${path} does not hold exactly one key`,
    'write {"keys": [ … ]} with one public key',
  );
}
