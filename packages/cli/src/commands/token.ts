// Promises that a token can be looked into and, with a reason on record, made for debugging; a token is read from and written to files only.
// Trusts control's admin API. Specified in docs/cli/token.md.
import { closeSync, rmSync, writeFileSync } from "node:fs";
import { generateSigner } from "@sallyport/kernel/token-crypto.ts";
import type { Command } from "commander";
import type { Connect } from "../admin-client.ts";
import { CommandEnd, exitCode } from "../exit.ts";
import { openNew } from "./new-file.ts";
import { readToken, type TokenReport } from "./token-file.ts";

/** What each claim means, in the order of docs/formats/token.md §3. */
const meanings: readonly (readonly [string, string])[] = [
  ["iss", "the issuer: one tenant and environment"],
  ["sub", "whom it speaks for: the client, or a user"],
  ["client_id", "the client it was issued to"],
  ["aud", "the one system it is good for"],
  ["scope", "operations it is limited to; absent: the grant alone decides"],
  ["iat", "issued"],
  ["nbf", "not before"],
  ["exp", "ends"],
  ["jti", "its id: what it is revoked by"],
  ["cnf", "the key or certificate its bearer must prove"],
  ["act", "who acts for the subject, the newest outermost"],
  ["gid", "the grants it descends from; revoking any ends it"],
  ["sid", "the login session it ends with"],
  ["acr", "how strongly the user was authenticated"],
  ["amr", "by which means"],
  ["auth_time", "when the user was authenticated"],
];
const times: ReadonlySet<string> = new Set(["iat", "nbf", "exp", "auth_time"]);
const states: Readonly<Record<string, string>> = {
  active: "good now, for who proves its key",
  expired: "its time is over",
  "not-yet-valid": "its time has not come: a clock is off",
  revoked: "ended before its time",
  "not-granted": "no active integration lets its client call the audience any more",
  foreign:
    "no key in use here has signed it: another installation's, a forgery, or of a key that was killed or has left the ring",
};

/** `sallyport token inspect|issue`. */
export function tokenCommands(program: Command, connect: Connect): void {
  const group = program.command("token").description("look into an access token, or have one made for debugging");
  group
    .command("inspect <file>")
    .description("what a token says, claim by claim, and what it is worth now; exit 1 when it is not good")
    .addHelpText("after", "\nThe file holds the token alone; - reads it from standard input.\n")
    .action(async (file: string, _options: unknown, command: Command) => {
      const token = readToken(file);
      const { client, terminal } = await connect(command);
      const report = await client.call<TokenReport>("POST", "/v1/tokens/inspect", { token });
      terminal.result(report, () => words(report, (rows) => terminal.table(rows)));
      if (report.state !== "active") throw new CommandEnd(exitCode.no, "", "");
    });
  issueCommand(group, connect);
}

function words(report: TokenReport, table: (rows: readonly string[][]) => readonly string[]): readonly string[] {
  const { state, environment, kid, claims, revoked, why } = report;
  const head = `${state}: ${states[state] ?? state}`;
  if (claims === null) return [why === null ? head : `${head} (${why})`];
  const told = meanings.flatMap(([name, meaning]) =>
    claims[name] === undefined ? [] : [[name, shown(name, claims[name]), meaning]],
  );
  const by =
    revoked === null
      ? []
      : [`by ${revoked.kind} ${revoked.value}, at ${new Date(revoked.notBefore).toISOString()} (entry ${revoked.seq})`];
  return [head, ...by, `environment ${environment ?? "-"}, signed by key ${kid ?? "-"}`, ...table(told)];
}

function shown(name: string, value: unknown): string {
  if (times.has(name) && typeof value === "number") return new Date(value * 1_000).toISOString();
  return typeof value === "string" ? value : JSON.stringify(value);
}

interface IssueFlags {
  readonly client: string;
  readonly for: string;
  readonly scope?: string;
  readonly out: string;
  readonly environment: string;
  readonly reason: string;
}

function issueCommand(group: Command, connect: Connect): void {
  group
    .command("issue")
    .description("a token as a client would get it, bound to a key made on the spot; who asked and why is recorded")
    .requiredOption("--client <client>", "for which client")
    .requiredOption("--for <system>", "the providing system it is good for")
    .requiredOption("--out <prefix>", "writes <prefix>.jwt and <prefix>.key.pem (mode 0600, never overwritten)")
    .requiredOption("--reason <text>", "why; it is recorded")
    .option("--scope <scope>", "operations to limit it to, separated by spaces")
    .option("--environment <environment>", "which environment", "production")
    .action(async (flags: IssueFlags, command: Command) => {
      const { client, terminal } = await connect(command);
      const { signer, pem } = generateSigner("ES256");
      const { environment, reason, scope, out } = flags;
      const files = [`${out}.jwt`, `${out}.key.pem`] as const;
      const [tokenFile, keyFile] = openBoth(files);
      try {
        const body = { environment, reason, client: flags.client, to: flags.for, jkt: signer.kid };
        const made = await client.call<{ token: string; jti: string; expiresAt: number }>(
          "POST",
          "/v1/tokens/issue",
          scope === undefined ? body : { ...body, scope },
        );
        writeFileSync(tokenFile, `${made.token}\n`);
        writeFileSync(keyFile, pem);
        const { jti, expiresAt } = made;
        terminal.result({ token: files[0], key: files[1], jti, expiresAt }, () => [
          `${files[0]}: token ${jti} of ${flags.client} for ${flags.for} until ${new Date(expiresAt).toISOString()}`,
          `${files[1]}: the key to prove with every request (DPoP)`,
        ]);
      } catch (error) {
        for (const file of files) rmSync(file, { force: true });
        throw error;
      } finally {
        closeSync(tokenFile);
        closeSync(keyFile);
      }
    });
}

/** Before the token is made: one that cannot be written down would live with nobody holding it. */
function openBoth([first, second]: readonly [string, string]): readonly [number, number] {
  const one = openNew(first);
  try {
    return [one, openNew(second)];
  } catch (error) {
    closeSync(one);
    rmSync(first, { force: true });
    throw error;
  }
}
