// Promises a client key made on the spot: the private half in a file of its owner alone, the public half as the JWKS an estate declares.
// Trusts node:crypto. Specified in docs/identity.md "Clients" and docs/cli.md.
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import type { Command } from "commander";
import { CommandEnd, exitCode } from "../exit.ts";
import { createTerminal } from "../terminal.ts";

/** `sallyport client-key new`. */
export function clientKeyCommands(program: Command): void {
  const group = program.command("client-key").description("keys that workloads prove themselves with");
  group
    .command("new")
    .description(
      "make a key pair: keep the private half with the workload, declare the public half in its system's YAML",
    )
    .requiredOption("--private <file>", "where the private key goes (PEM, mode 0600, never overwritten)")
    .requiredOption("--public <file>", "where the public JWKS goes (never overwritten)")
    .addHelpText(
      "after",
      "\nThen, in systems/orders.yaml:\n  identity: { client: orders, keys: [orders.jwks.json] }\n\nTo replace a key, declare both public halves until no workload uses the old one.\n",
    )
    .action(async (options: { private: string; public: string }, command: Command) => {
      const { generateClientKey, publicJwks } = await import("@sallyport/sdk/node-crypto.ts");
      const { signer, pem } = generateClientKey();
      write(options.private, pem, 0o600);
      write(options.public, `${JSON.stringify(publicJwks([signer]), null, 2)}\n`, 0o644);
      const terminal = createTerminal(command.optsWithGlobals<{ json?: boolean }>().json === true);
      terminal.result({ kid: signer.kid, private: options.private, public: options.public }, () => [
        `${options.private}: private key, for the workload alone`,
        `${options.public}: public key ${signer.kid}, to declare`,
      ]);
    });
}

function write(path: string, text: string, mode: number): void {
  try {
    // A folder made for a private key is for its owner alone.
    mkdirSync(dirname(path), { recursive: true, mode: mode === 0o600 ? 0o700 : 0o755 });
    writeFileSync(path, text, { mode, flag: "wx" });
  } catch (error) {
    const exists = error instanceof Error && "code" in error && error.code === "EEXIST";
    throw new CommandEnd(
      exitCode.badUse,
      exists ? `${path} exists already and is never overwritten` : `${path} cannot be written`,
      exists
        ? "name another file; an old key stays good as long as it is declared"
        : "check that its folder exists and is writable",
    );
  }
}
