// Promises that a gateway joins with one token, once, and can be cut off by one command.
// Trusts control's admin API. Specified in docs/formats/join.md and docs/cli.md.
import { closeSync, rmSync, writeFileSync } from "node:fs";
import type { Command } from "commander";
import type { Connect } from "../admin-client.ts";
import { parseDuration } from "../duration.ts";
import { openNew } from "./new-file.ts";

interface GatewayStatus {
  readonly node: string;
  readonly environment: string;
  readonly group: string;
  readonly state: string;
  readonly connected: boolean;
  readonly snapshot: { readonly epoch: number; readonly version: number } | null;
  readonly refusal: string | null;
}

/** `sallyport gateway token|list|revoke`. */
export function gatewayCommands(program: Command, connect: Connect): void {
  const group = program.command("gateway").description("let gateways join, see them, cut them off");
  group
    .command("token")
    .description("make a one-time join token and write it to a file that only you can read")
    .requiredOption("--group <group>", "group the gateway will belong to, for example production-default")
    .requiredOption("--out <file>", "where to write the token (created with mode 0600, never overwritten)")
    .option("--lifetime <duration>", "how long it may be used", "1h")
    .addHelpText("after", "\nThen, on the gateway's host:\n  sallyport serve --role gateway --join-file <file>\n")
    .action(async (options: { group: string; out: string; lifetime: string }, command: Command) => {
      const { client, terminal } = await connect(command);
      const body = { lifetimeMs: parseDuration(options.lifetime) };
      const file = openNew(options.out);
      let made: { readonly token: string; readonly expiresAt: number };
      try {
        made = await client.call("POST", `/v1/groups/${encodeURIComponent(options.group)}/join-tokens`, body);
        writeFileSync(file, `${made.token}\n`);
      } catch (error) {
        rmSync(options.out, { force: true });
        throw error;
      } finally {
        closeSync(file);
      }
      terminal.result({ file: options.out, expiresAt: made.expiresAt }, () => [
        `${options.out}: good for one gateway of ${options.group} until ${new Date(made.expiresAt).toISOString()}`,
      ]);
    });
  group
    .command("list")
    .description("every gateway, what it obeys and whether it is connected")
    .action(async (_options: unknown, command: Command) => {
      const { client, terminal } = await connect(command);
      const rows = await client.call<readonly GatewayStatus[]>("GET", "/v1/gateways");
      terminal.result(rows, () =>
        terminal.table([
          ["NODE", "ENVIRONMENT", "GROUP", "STATE", "CONNECTED", "SNAPSHOT", "REFUSAL"],
          ...rows.map((row) => [
            row.node,
            row.environment,
            row.group,
            row.state,
            row.connected ? "yes" : "no",
            row.snapshot === null ? "-" : `${row.snapshot.epoch}.${row.snapshot.version}`,
            row.refusal ?? "-",
          ]),
        ]),
      );
    });
  group
    .command("revoke <node>")
    .description("cut a gateway off: its certificate, its channel and its hop key end now")
    .requiredOption("--reason <text>", "why; it is recorded")
    .action(async (node: string, options: { reason: string }, command: Command) => {
      const { client, terminal } = await connect(command);
      await client.call("POST", `/v1/gateways/${encodeURIComponent(node)}/revoke`, options);
      terminal.result({ node, state: "revoked" }, () => [`${node} is revoked`]);
    });
}
