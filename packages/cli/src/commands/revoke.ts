// Promises that tokens end before their time by what they carry, and a found one by its file, without its text in a command line or a record.
// Trusts control's admin API. Specified in docs/cli/revoke.md.
import type { Command } from "commander";
import type { AdminClient, Connect } from "../admin-client.ts";
import { CommandEnd, exitCode } from "../exit.ts";
import { readToken, refuseTokenText, type TokenReport } from "./token-file.ts";

interface RevokeFlags {
  readonly environment: string;
  readonly reason: string;
  readonly file?: string;
  readonly absent?: boolean;
}

interface Target {
  readonly environment: string;
  readonly value: string;
  /** What it is, for the answer. */
  readonly told: string;
}

/** `sallyport revoke token|grant|session|subject|client`. */
export function revokeCommands(program: Command, connect: Connect): void {
  const revoke = program.command("revoke").description("end tokens before their time");
  for (const [verb, argument, kind, what] of [
    ["token", "[jti]", "jti", "one token, by its jti or by a file that holds it"],
    ["grant", "<gid>", "grant", "every token that descends from a grant"],
    ["session", "<sid>", "session", "every token of a login session"],
    ["subject", "<sub>", "subject", "every token that speaks for a user now"],
    ["client", "<client>", "client", "every token a client holds now"],
  ] as const) {
    const command = revoke
      .command(`${verb} ${argument}`)
      .description(what)
      .option("--environment <environment>", "which environment", "production")
      .requiredOption("--reason <text>", "why; it is recorded");
    if (kind === "jti") command.option("--file <file>", "a file that holds the token alone; - reads standard input");
    if (kind === "client") command.option("--absent", "it is not served any more");
    command.action(async (value: string | undefined, flags: RevokeFlags, self: Command) => {
      const given = givenOf(value, flags.file);
      const { client, terminal } = await connect(self);
      const target =
        "text" in given
          ? await targetOf(client, given.text)
          : { environment: flags.environment, value: given.id, told: "" };
      const { environment, reason, absent } = { ...flags, environment: target.environment };
      const body = { environment, reason, kind, value: target.value, ...(absent === true ? { absent } : {}) };
      const { seq } = await client.call<{ seq: number }>("POST", "/v1/revocations", body);
      terminal.result({ kind, value: target.value, seq }, () => [`revoked${target.told} (entry ${seq})`]);
    });
  }
}

function givenOf(
  value: string | undefined,
  file: string | undefined,
): { readonly id: string } | { readonly text: string } {
  if (file !== undefined && value === undefined) return { text: readToken(file) };
  if (file === undefined && value !== undefined) {
    refuseTokenText(value, "--file <file>");
    return { id: value };
  }
  throw new CommandEnd(exitCode.badUse, "name one token", "write its jti, or --file <file> with the token in it");
}

/** What the token is revoked by. Throws where there is nothing to revoke. */
async function targetOf(client: AdminClient, token: string): Promise<Target> {
  const { claims, environment } = await client.call<TokenReport>("POST", "/v1/tokens/inspect", { token });
  const [jti, holder, audience] = ["jti", "client_id", "aud"].map((name) => String(claims?.[name] ?? ""));
  if (claims === null || environment === null || jti === undefined)
    throw new CommandEnd(
      exitCode.no,
      "no key in use here has signed it: nothing was revoked",
      "sallyport token inspect says more; a token of an issuer outside is revoked by its tokenId, which sallyport why shows",
    );
  return { environment, value: jti, told: ` ${jti} of ${holder} for ${audience}` };
}
