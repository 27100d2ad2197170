// Promises that signing keys rotate without a failed request and that a leaked key is useless within a second.
// Trusts control's admin API. Specified in docs/identity.md and docs/cli.md.
import type { Command } from "commander";
import type { Connect } from "../admin-client.ts";

interface Scoped {
  readonly environment: string;
  readonly reason: string;
}

/** `sallyport key rotate|kill`. */
export function keyCommands(program: Command, connect: Connect): void {
  const group = program.command("key").description("the signing keys of an environment");
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
}
