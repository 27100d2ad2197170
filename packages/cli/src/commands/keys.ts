// Promises that signing keys rotate without a failed request, that a leaked key is useless within a second, and new keys for what control seals.
// Trusts control's admin API. Specified in docs/identity.md, docs/formats/seal.md "Rotation" and docs/cli/key.md.
import type { Command } from "commander";
import type { Connect } from "../admin-client.ts";

interface Scoped {
  readonly environment: string;
  readonly reason: string;
}

interface KeyRow {
  readonly environment: string;
  readonly kid: string;
  readonly alg: string;
  readonly state: string;
  readonly activatedAt: number | null;
  readonly verifiableUntil: number | null;
}

const dateOf = (at: number | null) => (at === null ? "-" : new Date(at).toISOString());

interface DataKeyRow {
  readonly purpose: string;
  readonly version: number;
  readonly since: number;
  readonly older: number;
}

/** `sallyport key list|rotate|kill|list-data|rotate-data`. */
export function keyCommands(program: Command, connect: Connect): void {
  const group = program
    .command("key")
    .description("the signing keys of an environment, and the keys control seals with");
  group
    .command("list")
    .description("the keys of every environment: which signs, which is next, and until when the others verify")
    .addHelpText("after", "\nExample:\n  sallyport key list\n")
    .action(async (_options: unknown, command: Command) => {
      const { client, terminal } = await connect(command);
      const rows = await client.call<readonly KeyRow[]>("GET", "/v1/keys");
      terminal.result(rows, () =>
        terminal.table([
          ["ENVIRONMENT", "STATE", "KID", "ALG", "SIGNS SINCE", "VERIFIES UNTIL"],
          ...rows.map((row) => [
            ...[row.environment, row.state, row.kid, row.alg],
            ...[dateOf(row.activatedAt), dateOf(row.verifiableUntil)],
          ]),
        ]),
      );
    });
  group
    .command("rotate")
    .description("make the next key the active one; every live gateway already knows it")
    .option("--environment <environment>", "which environment", "production")
    .action(async (options: { environment: string }, command: Command) => {
      const { client, terminal } = await connect(command);
      const ring = await client.call<{ active: string; next: string }>("POST", "/v1/keys/rotate", options);
      terminal.result(ring, () => [`active ${ring.active}`, `next   ${ring.next}`]);
    });
  group
    .command("kill <kid>")
    .description("a key leaked: every token it signed is refused from now on")
    .option("--environment <environment>", "which environment", "production")
    .requiredOption("--reason <text>", "why; it is recorded")
    .action(async (kid: string, options: Scoped, command: Command) => {
      const { client, terminal } = await connect(command);
      await client.call("POST", `/v1/keys/${encodeURIComponent(kid)}/kill`, options);
      terminal.result({ killed: kid }, () => [`${kid} is dead; its tokens are refused`]);
    });
  dataKeyCommands(group, connect);
}

function dataKeyCommands(group: Command, connect: Connect): void {
  const shown = (rows: readonly DataKeyRow[]): readonly (readonly string[])[] => [
    ["PURPOSE", "SEALS WITH", "SINCE", "ONLY OPEN"],
    ...rows.map(({ purpose, version, since, older }) => [purpose, `version ${version}`, dateOf(since), `${older}`]),
  ];
  group
    .command("list-data")
    .description("the data-encryption keys: which version seals, since when, and how many only open")
    .addHelpText("after", "\nExample:\n  sallyport key list-data\n")
    .action(async (_options: unknown, command: Command) => {
      const { client, terminal } = await connect(command);
      const rows = await client.call<readonly DataKeyRow[]>("GET", "/v1/data-encryption-keys");
      terminal.result(rows, () => terminal.table(shown(rows)));
    });
  group
    .command("rotate-data")
    .description("make new data-encryption keys: from now on they seal, and those of before only open")
    .requiredOption("--reason <text>", "why; it is recorded")
    .action(async (options: { reason: string }, command: Command) => {
      const { client, terminal } = await connect(command);
      const rows = await client.call<readonly DataKeyRow[]>("POST", "/v1/data-encryption-keys/rotate", options);
      terminal.result(rows, () => terminal.table(shown(rows)));
    });
}
