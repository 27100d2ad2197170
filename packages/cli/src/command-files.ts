// Promises which words of a command line are in which file, in the order of the help; a file is loaded when its word is asked for, and the
// rest never: most of what a short command took was reading the others. Trusts command-files.test.ts that each file adds its words and no others.
import type { Command } from "commander";
import type { Connect } from "./admin-client.ts";

/** What commands are handed beside the program. */
export interface CommandTools {
  readonly connect: Connect;
  readonly operatorKeyOf: (command: Command) => string;
}

export interface CommandFile {
  /** The first words of its commands. */
  readonly words: readonly string[];
  /** Loads the file and adds its commands to a program. */
  readonly add: (program: Command, tools: CommandTools) => Promise<void>;
}

type Add = (program: Command, connect: Connect) => void;

function file(words: readonly string[], load: () => Promise<Add>): CommandFile {
  return { words, add: async (program, { connect }) => (await load())(program, connect) };
}

export const commandFiles: readonly CommandFile[] = [
  file(["init"], async () => (await import("./commands/init.ts")).initCommand),
  file(["dev"], async () => (await import("./commands/dev.ts")).devCommand),
  file(["serve"], async () => (await import("./commands/serve.ts")).serveCommand),
  file(["check"], async () => (await import("./commands/check.ts")).checkCommand),
  file(["fmt"], async () => (await import("./commands/fmt.ts")).fmtCommand),
  file(["schema"], async () => (await import("./commands/schema.ts")).schemaCommand),
  file(["call"], async () => (await import("./commands/call.ts")).callCommand),
  file(["proxy"], async () => (await import("./commands/proxy.ts")).proxyCommand),
  file(["show"], async () => (await import("./commands/show.ts")).showCommand),
  file(["status"], async () => (await import("./commands/status.ts")).statusCommand),
  file(["doctor"], async () => (await import("./commands/doctor.ts")).doctorCommand),
  file(["why"], async () => (await import("./commands/why.ts")).whyCommand),
  file(["observe"], async () => (await import("./commands/observe.ts")).observeCommand),
  file(["finding"], async () => (await import("./commands/finding.ts")).findingCommands),
  file(["alert"], async () => (await import("./commands/alert.ts")).alertCommands),
  file(["plan", "apply"], async () => (await import("./commands/estate.ts")).estateCommands),
  file(["integration"], async () => (await import("./commands/integration.ts")).integrationCommands),
  file(["issuer"], async () => (await import("./commands/issuer.ts")).issuerCommands),
  file(["exchange"], async () => (await import("./commands/issuer.ts")).exchangeCommands),
  file(["gateway"], async () => (await import("./commands/gateway.ts")).gatewayCommands),
  file(["key"], async () => (await import("./commands/keys.ts")).keyCommands),
  file(["revoke"], async () => (await import("./commands/revoke.ts")).revokeCommands),
  file(["token"], async () => (await import("./commands/token.ts")).tokenCommands),
  file(["api-key"], async () => (await import("./commands/api-key.ts")).apiKeyCommands),
  file(["client"], async () => (await import("./commands/client.ts")).clientCommands),
  file(["client-key"], async () => (await import("./commands/client-key.ts")).clientKeyCommands),
  {
    words: ["operator"],
    add: async (program, { operatorKeyOf }) =>
      (await import("./commands/operator.ts")).operatorCommands(program, operatorKeyOf),
  },
  file(["user", "session"], async () => (await import("./commands/user.ts")).userCommands),
  file(["policy"], async () => (await import("./commands/policy.ts")).policyCommands),
  file(["audit"], async () => (await import("./commands/audit.ts")).auditCommands),
  file(["export"], async () => (await import("./commands/export.ts")).exportCommands),
  file(["backup"], async () => (await import("./commands/backup.ts")).backupCommands),
  file(["restore"], async () => (await import("./commands/restore.ts")).restoreCommand),
];

/**
 * The files that a command line needs: one where its first word is a command's, none where it only asks for the version, and all of them for
 * whatever else: help, no command, and a word that nobody knows, which is told what it may have meant.
 */
export function filesFor(argv: readonly string[]): readonly CommandFile[] {
  const word = firstWord(argv);
  if (word === "--version" || word === "-V") return [];
  const found = commandFiles.find(({ words }) => word !== undefined && words.includes(word));
  return found === undefined ? commandFiles : [found];
}

/** The first argument that is no global option (main.ts) and not the value of one. */
function firstWord(argv: readonly string[]): string | undefined {
  for (let at = 0; at < argv.length; at++) {
    const argument = argv[at];
    if (argument === "--operator") at++;
    else if (argument !== "--json" && argument?.startsWith("--operator=") !== true) return argument;
  }
  return undefined;
}
