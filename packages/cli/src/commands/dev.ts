// Promises an estate served on this machine while it is being written: loopback only, test identities, every save applied, every crossing shown.
// Trusts the directory. Its own imports are few and late: it has to be up at once. Specified in docs/cli/dev.md.
import { existsSync } from "node:fs";
import { resolve } from "node:path";
import type { Command } from "commander";
import { openDevData, removeDevData } from "../dev/dev-data.ts";
import { CommandEnd, exitCode } from "../exit.ts";
import { assertEstateDirectory } from "./estate-directory.ts";

interface RawOptions {
  readonly data: string;
  readonly fresh: boolean;
  readonly port: string;
  readonly host: string;
}

const examples = `
Examples:
  sallyport dev                         the estate here, or in ./estate
  sallyport dev shop --port 9443        gateway on another port
  sallyport dev --fresh                 forget everything an earlier dev kept
`;

/** `sallyport dev [directory]`. */
export function devCommand(program: Command): void {
  program
    .command("dev [directory]")
    .description("serve an estate on this machine while you write it: test identities, every save, every crossing")
    .option("--data <directory>", "where state and test keys live; kept for the next time", ".sallyport")
    .option("--fresh", "begin with nothing, and keep nothing afterwards", false)
    .option("--port <port>", "port of the gateway; 0: any free ports for everything", "8443")
    .option("--host <address>", "loopback address to listen on", "127.0.0.1")
    .addHelpText("after", examples)
    .action(async (named: string | undefined, raw: RawOptions, command: Command) => {
      const directory = resolve(named ?? nearestEstate());
      assertEstateDirectory(directory);
      assertLoopback(raw.host);
      const port = parsePort(raw.port);
      const dataDirectory = resolve(raw.data);
      process.umask(0o077);
      openDevData(dataDirectory, raw.fresh);
      const json = command.optsWithGlobals<{ json?: boolean }>().json === true;
      const { beginThreads } = await import("../start/begin-threads.ts");
      beginThreads({ role: "all", storeUrl: null });
      const { runDev } = await import("../dev/run-dev.ts");
      try {
        await runDev({ directory, dataDirectory, host: raw.host, port, json });
      } finally {
        if (raw.fresh) removeDevData(dataDirectory);
      }
    });
}

/** The present folder when it is an estate, else ./estate. */
function nearestEstate(): string {
  const here = ["sallyport.yaml", "systems", "integrations"].some((name) => existsSync(name));
  return here || !existsSync("estate") ? "." : "estate";
}

function assertLoopback(host: string): void {
  if (/^(127(\.\d{1,3}){3}|::1|localhost)$/.test(host)) return;
  throw new CommandEnd(
    exitCode.badUse,
    `--host ${host} is not a loopback address: the private keys of test identities lie on this disk, so nobody else may reach dev`,
    "leave --host out; to serve others, use sallyport serve --config <directory> --listen public=<host:port>",
  );
}

function parsePort(text: string): number {
  const port = /^\d{1,5}$/.test(text) ? Number(text) : Number.NaN;
  if (port <= 65_535) return port;
  throw new CommandEnd(exitCode.badUse, `--port ${text} is not a port`, "write a number from 0 to 65535");
}
