// Promises that an operator sees who outside is believed, with how their keys stand, and who may exchange whose tokens, as it is in force.
// Trusts control's admin API. Specified in docs/cli/issuer.md and docs/cli/exchange.md.
import type { Command } from "commander";
import type { Connect } from "../admin-client.ts";
import { CommandEnd, exitCode } from "../exit.ts";
import { type IssuerState, issuerWords } from "../start/status-words.ts";

interface IssuerRow {
  readonly id: string;
  readonly environment: string;
  readonly url: string;
  readonly use: "tokens" | "log-in";
  readonly keys: (Omit<IssuerState, "issuer" | "environment" | "url" | "gateways"> & { readonly now: number }) | null;
  readonly says: readonly string[];
}

interface ExchangeRow {
  readonly environment: string;
  readonly integration: string;
  readonly state: string;
  readonly says: string;
  readonly declaredAt: string;
}

/** `sallyport issuer list|show`. */
export function issuerCommands(program: Command, connect: Connect): void {
  const group = program
    .command("issuer")
    .description("who outside is believed: issuers of tokens and providers of log-ins, as in force");
  group
    .command("list")
    .description("every outside issuer and provider of log-ins, with how their keys stand")
    .addHelpText("after", "\nExample:\n  sallyport issuer list\n  sallyport issuer show keycloak\n")
    .action(async (_options: unknown, command: Command) => {
      const { client, terminal } = await connect(command);
      const rows = await client.call<readonly IssuerRow[]>("GET", "/v1/issuers");
      terminal.result(rows, () =>
        rows.length === 0
          ? ["nobody outside is believed"]
          : terminal.table([
              ["ISSUER", "ENVIRONMENT", "FOR", "URL", "KEYS"],
              ...rows.map((row) => [row.id, row.environment, row.use, row.url, keysOf(row).says]),
            ]),
      );
    });
  group
    .command("show <id>")
    .description("what one of them is believed, and what that lets whom do; exit 1 when its keys are not sound")
    .option("--environment <environment>", "one environment; default: all that believe it")
    .addHelpText(
      "after",
      "\nIts keys are not sound when there are none, when they are too old to be believed, or when the last try failed.\nExample:\n  sallyport issuer show keycloak --environment production\n",
    )
    .action(async (id: string, flags: { readonly environment?: string }, command: Command) => {
      const { client, terminal } = await connect(command);
      const all = await client.call<readonly IssuerRow[]>("GET", `/v1/issuers/${encodeURIComponent(id)}`);
      const rows = all.filter(({ environment }) => environment === (flags.environment ?? environment));
      if (rows.length === 0)
        throw new CommandEnd(
          exitCode.no,
          `${id} is not believed in ${flags.environment}`,
          `it is in ${all.map(({ environment }) => environment).join(", ")}`,
        );
      terminal.result(rows, () =>
        rows.flatMap((row) => [
          `${row.id} (${row.environment}) is for ${row.use}; keys: ${keysOf(row).says}`,
          ...row.says.map((says) => `  ${says}`),
        ]),
      );
      if (!rows.every((row) => keysOf(row).isSound)) throw new CommandEnd(exitCode.no, "");
    });
}

/** `sallyport exchange list`. */
export function exchangeCommands(program: Command, connect: Connect): void {
  const group = program.command("exchange").description("who may exchange whose tokens for what, as in force");
  group
    .command("list")
    .description("every rule of token exchange; only those of active integrations may be used")
    .addHelpText(
      "after",
      "\nA rule stands on an integration: its state decides, and `sallyport integration suspend` ends it within a second.\nExample:\n  sallyport exchange list\n",
    )
    .action(async (_options: unknown, command: Command) => {
      const { client, terminal } = await connect(command);
      const rows = await client.call<readonly ExchangeRow[]>("GET", "/v1/exchanges");
      terminal.result(rows, () =>
        rows.length === 0
          ? ["nobody may exchange a token"]
          : rows.flatMap((row) => [
              `${row.integration} (${row.environment}) ${row.state}  ${row.declaredAt}`,
              `  ${row.says}`,
            ]),
      );
    });
}

function keysOf({ keys, id, environment, url }: IssuerRow): { readonly isSound: boolean; readonly says: string } {
  if (keys === null) return { isSound: true, says: "read at each log-in" };
  return issuerWords({ ...keys, issuer: id, environment, url, gateways: false }, keys.now);
}
