// Promises the binary run as a user runs it, and its commands run against a control that is a table of answers; for tests. Trusts nothing.
import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { Command } from "commander";
import type { AdminClient, Connect } from "./admin-client.ts";
import { alertCommands } from "./commands/alert.ts";
import { auditCommands } from "./commands/audit.ts";
import { clientCommands } from "./commands/client.ts";
import { estateCommands } from "./commands/estate.ts";
import { findingCommands } from "./commands/finding.ts";
import { gatewayCommands } from "./commands/gateway.ts";
import { integrationCommands } from "./commands/integration.ts";
import { exchangeCommands, issuerCommands } from "./commands/issuer.ts";
import { keyCommands } from "./commands/keys.ts";
import { revokeCommands } from "./commands/revoke.ts";
import { statusCommand } from "./commands/status.ts";
import { tokenCommands } from "./commands/token.ts";
import { whyCommand } from "./commands/why.ts";
import { CommandEnd, type ExitCode } from "./exit.ts";
import { createTerminal } from "./terminal.ts";

export interface Ended {
  readonly exit: number;
  readonly out: string;
  readonly err: string;
}

const main = fileURLToPath(new URL("main.ts", import.meta.url));

/** What a process of the binary inherits in tests: where programs are, and where its compiled code is kept between starts, as its launcher has it. */
export function inheritedEnvironment(): Readonly<Record<string, string>> {
  const kept = ["PATH", "NODE_COMPILE_CACHE"].map((name) => [name, process.env[name]] as const);
  return Object.fromEntries(kept.flatMap(([name, value]) => (value === undefined ? [] : [[name, value]])));
}

/** One run of the binary in a process of its own; ended after 100 s. */
export function runBinary(argv: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<Ended> {
  return new Promise((resolve) => {
    const child = execFile(
      process.execPath,
      [main, ...argv],
      { env: { ...inheritedEnvironment(), ...env }, timeout: 100_000 },
      // -1: ended by a signal.
      (_error, out, err) => resolve({ exit: child.exitCode ?? -1, out, err }),
    );
  });
}

export type Answers = Readonly<Record<string, unknown>>;

/** What a command printed, asked control for, and ended with. */
export interface Ran {
  readonly exit: ExitCode;
  readonly end: CommandEnd | null;
  readonly out: readonly string[];
  readonly asked: readonly { readonly route: string; readonly body: unknown }[];
}

/** Runs a command that speaks to control; `answers` by `METHOD path`, a CommandEnd is thrown. */
export async function runAgainst(answers: Answers, argv: readonly string[], json = false): Promise<Ran> {
  const out: string[] = [];
  const asked: { route: string; body: unknown }[] = [];
  const client: AdminClient = {
    follow: () => Promise.reject(new Error("nothing is followed here")),
    call: async <T>(method: "GET" | "POST", path: string, body?: unknown): Promise<T> => {
      const route = `${method} ${path}`;
      asked.push({ route, body });
      const answer = answers[route];
      if (answer instanceof CommandEnd) throw answer;
      if (answer === undefined) throw new Error(`no answer for ${route}`);
      // The table holds what the real route would answer.
      return answer as T;
    },
  };
  const connect: Connect = async () => ({ client, terminal: createTerminal(json, (text) => out.push(text)) });
  const program = new Command("sallyport").exitOverride();
  for (const add of [
    statusCommand,
    whyCommand,
    estateCommands,
    integrationCommands,
    issuerCommands,
    exchangeCommands,
    gatewayCommands,
    keyCommands,
    revokeCommands,
    clientCommands,
    tokenCommands,
    auditCommands,
    findingCommands,
    alertCommands,
  ])
    add(program, connect);
  try {
    await program.parseAsync([...argv], { from: "user" });
    return { exit: 0, end: null, out, asked };
  } catch (error) {
    if (!(error instanceof CommandEnd)) throw error;
    return { exit: error.exit, end: error, out, asked };
  }
}
