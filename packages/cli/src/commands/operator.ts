// Promises a key file for one more operator: the private half in a file of its owner alone, never over another; the public half to be declared.
// Trusts the operator key file at hand for where control is and how it proves itself, which are no secret. Specified in docs/cli/operator.md.
import { closeSync, fsyncSync, rmSync, writeSync } from "node:fs";
import type { Command } from "commander";
import { CommandEnd, exitCode } from "../exit.ts";
import { createTerminal } from "../terminal.ts";
import { openNew } from "./new-file.ts";

interface KeyFlags {
  readonly private?: string;
  readonly issuer?: string;
  readonly pin?: string;
  readonly json?: boolean;
}

const help = `
Whoever is to be the operator runs it, on their own machine, with the issuer and the pin that yours names
(they are no secret), and sends you what it prints:
  sallyport operator key ada --issuer https://control.acme.example:8443/operators --pin 8zZ0…=
You declare it, in sallyport.yaml, and apply:
  operators:
    ada: { keys: [ada.jwks.json], roles: [auditor] }
`;

/** `sallyport operator key`; `ownKeyFile` is the path of the operator key file that a command line names. */
export function operatorCommands(program: Command, ownKeyFile: (command: Command) => string): void {
  program
    .command("operator")
    .description("people who may use the admin API")
    .command("key <name>")
    .description("make the key file of a further operator, and print the public half that the estate declares")
    .option("--private <file>", "where the key file goes (mode 0600, never overwritten); default: <name>.key.json")
    .option("--issuer <url>", "of the operators: <admin url>/operators; default: what your own operator key file says")
    .option("--pin <hash>", "of the admin listener's key; default: what your own operator key file says")
    .addHelpText("after", help)
    .action(async (name: string, _flags: KeyFlags, command: Command) => {
      const flags = command.optsWithGlobals<KeyFlags>();
      assertName(name);
      const place =
        flags.issuer === undefined && flags.pin === undefined ? await placeOf(ownKeyFile(command)) : given(flags);
      const { freshKeyFile } = await import("@sallyport/control/identity/operator-key.ts");
      const { publicJwks } = await import("@sallyport/sdk/node-crypto.ts");
      const { file, signer } = freshKeyFile(name, place);
      const path = flags.private ?? `${name}.key.json`;
      writeNew(path, file);
      const jwks = publicJwks([signer]);
      // Words go beside it, so that the output is the file to declare.
      process.stderr.write(flags.json === true ? "" : words(name, path));
      createTerminal(flags.json === true).result({ operator: name, private: path, kid: signer.kid, jwks }, () => [
        JSON.stringify(jwks, null, 2),
      ]);
    });
}

function words(name: string, path: string): string {
  return `${path}: the key file, for ${name} alone (--operator ${path}, or its path in SALLYPORT_OPERATOR)
below: the public half. Keep it as ${name}.jwks.json in the estate and declare it in sallyport.yaml:
  operators:
    ${name}: { keys: [${name}.jwks.json], roles: [auditor] }
`;
}

function assertName(name: string): void {
  if (/^[a-z][a-z0-9-]{0,62}$/.test(name)) return;
  throw new CommandEnd(
    exitCode.badUse,
    "that is not the name of an operator",
    "write a-z, 0-9 and -, from a letter on",
  );
}

async function placeOf(path: string): Promise<{ readonly issuer: string; readonly pin: string }> {
  const { readOperatorKey } = await import("../admin-client.ts");
  const { issuer, pin } = readOperatorKey(path);
  return { issuer, pin };
}

function given({ issuer = "", pin = "" }: KeyFlags): { readonly issuer: string; readonly pin: string } {
  const url = URL.canParse(issuer) ? new URL(issuer) : null;
  if (url === null || url.protocol !== "https:" || issuer !== `${url.origin}/operators`)
    throw new CommandEnd(
      exitCode.badUse,
      "--issuer is not that of operators",
      "write https://<admin host>:<port>/operators",
    );
  if (!/^[A-Za-z0-9+/]{43}=$/.test(pin))
    throw new CommandEnd(
      exitCode.badUse,
      "--pin is not the hash of a key",
      "copy `pin` of an operator key file: --issuer and --pin come together",
    );
  return { issuer, pin };
}

function writeNew(path: string, bytes: Uint8Array): void {
  const file = openNew(path);
  try {
    writeSync(file, bytes);
    fsyncSync(file);
  } catch {
    rmSync(path, { force: true });
    throw new CommandEnd(exitCode.badUse, `${path} cannot be written`, "see whether the volume is full");
  } finally {
    closeSync(file);
  }
}
