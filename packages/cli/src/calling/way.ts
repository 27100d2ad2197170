// Promises where a command's calls go and what proves that place: from what runs on this machine, or from the options, never from both unsaid.
// Trusts endpoints.json, which only its owner can write. Specified in docs/cli/call.md "Which gateway".
import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { readPrivateFile } from "@sallyport/kernel/seal/key-file.ts";
import { apiKeyIdOf } from "@sallyport/protocol/token/api-key.ts";
import type { TokenSigner } from "@sallyport/protocol/token/crypto.ts";
import { signerFromPem } from "@sallyport/sdk/node-crypto.ts";
import type { Command } from "commander";
import { CommandEnd, exitCode } from "../exit.ts";
import { type Endpoints, readEndpoints } from "../roles/endpoints.ts";

export interface WayOptions {
  readonly data: string;
  readonly environment: string;
  readonly config?: string;
  readonly gateway?: string;
  readonly issuer?: string;
  readonly ca?: string;
  readonly key?: string;
}

export interface Way {
  readonly environment: string;
  readonly issuer: string;
  /** Origin. */
  readonly gateway: string;
  /** PEM; undefined: the public roots. */
  readonly identityRoots: string | undefined;
  readonly gatewayRoots: string | undefined;
  readonly configDirectory: string | null;
  readonly dataDirectory: string;
}

const keyBytesMax = 16 * 1024;

/** The options that `call` and `proxy` share. */
export function wayOptions(command: Command): Command {
  return command
    .option("--data <directory>", "data directory of the serve or dev that runs here", ".sallyport")
    .option("--environment <environment>", "environment to call in", "production")
    .option("--config <directory>", "estate that says where operations are; default: the one that is served here")
    .option("--gateway <url>", "origin of the gateway; default: the one that runs here")
    .option("--issuer <url>", "issuer of tokens; default: the one that runs here")
    .option("--ca <file>", "roots (PEM) that prove gateway and issuer; default: those of what runs here")
    .option("--key <file>", "private key of the client (PEM, 0600); default: <data>/clients/<client>.key.pem");
}

/** Throws CommandEnd when nothing runs here and the options do not say where else. */
export function findWay(options: WayOptions): Way {
  const dataDirectory = resolve(options.data);
  const here = findEndpoints(dataDirectory);
  const { environment } = options;
  const issuer = options.issuer ?? here?.issuers[environment];
  const listener = here?.gateway.find((one) => one.listener === "public") ?? here?.gateway[0];
  const gateway = options.gateway ?? listener?.url;
  if (issuer === undefined || gateway === undefined) throw nowhere(options, here);
  const roots = options.ca === undefined ? undefined : readPem(options.ca);
  const configDirectory = options.config ?? here?.config ?? null;
  return {
    environment,
    issuer: httpsUrl(issuer, "--issuer").href.replace(/\/$/, ""),
    gateway: httpsUrl(gateway, "--gateway").origin,
    identityRoots: roots ?? (options.issuer === undefined ? rootsAt(here?.roots.identity) : undefined),
    gatewayRoots: roots ?? (options.gateway === undefined ? rootsAt(here?.roots.gateway[environment]) : undefined),
    configDirectory,
    dataDirectory,
  };
}

type Here = (Endpoints & { readonly isAlive: boolean }) | null;

/** What endpoints.json says; a file of a process that is gone says nothing. */
export function findEndpoints(dataDirectory: string): Here {
  const found = readEndpoints(dataDirectory);
  return found?.isAlive === true ? found : null;
}

function nowhere(options: WayOptions, here: Here): CommandEnd {
  const { environment, data } = options;
  if (here === null)
    return new CommandEnd(
      exitCode.unreachable,
      `nothing runs on ${data}`,
      "start it (sallyport dev, sallyport serve), name its folder with --data, or say where to call with --gateway, --issuer, --ca and --key",
    );
  const known = Object.keys(here.issuers);
  if (known.length > 0 && !known.includes(environment))
    return new CommandEnd(
      exitCode.badUse,
      `there is no environment ${environment} here`,
      `use one of ${known.join(", ")} with --environment`,
    );
  return new CommandEnd(
    exitCode.badUse,
    `role ${here.role} runs on ${data}, which ${here.gateway.length === 0 ? "opens no gateway" : "issues no tokens"}`,
    here.gateway.length === 0 ? "add --gateway <url> and --ca <file>" : "add --issuer <url> and --ca <file>",
  );
}

function httpsUrl(text: string, option: string): URL {
  const url = URL.canParse(text) ? new URL(text) : null;
  // Tokens and proofs never travel in clear.
  if (url?.protocol === "https:" && url.username === "" && url.search === "" && url.hash === "") return url;
  throw new CommandEnd(exitCode.badUse, `${option} ${text} is not an https URL`, "write it as https://host:port");
}

function rootsAt(path: string | null | undefined): string | undefined {
  return path === null || path === undefined ? undefined : readPem(path);
}

function readPem(path: string): string {
  try {
    const text = readFileSync(path, "utf8");
    if (text.includes("-----BEGIN CERTIFICATE-----")) return text;
  } catch {
    throw new CommandEnd(exitCode.badUse, `${path} cannot be read`, "check the path and its permissions");
  }
  throw new CommandEnd(exitCode.badUse, `${path} holds no certificate`, "name a PEM file with the root certificates");
}

/** The API key in a file that only its owner reads. */
export function readApiKey(path: string): string {
  let bytes: Uint8Array | null;
  try {
    bytes = readPrivateFile(path, keyBytesMax);
  } catch (error) {
    const words = error instanceof Error ? error.message : `${path} cannot be read`;
    throw new CommandEnd(exitCode.badUse, words, `chmod 600 ${path}; if others may have read it, end the key`);
  }
  const text = bytes === null ? "" : new TextDecoder().decode(bytes).trim();
  if (apiKeyIdOf(text) !== null) return text;
  throw new CommandEnd(
    exitCode.badUse,
    bytes === null ? `there is no file ${path}` : `${path} holds no API key, or one that lost a character`,
    "make one: sallyport api-key add",
  );
}

/** The signer behind a client's private key file. Throws CommandEnd that names the file and the fix. */
export function readClientKey(way: Pick<Way, "dataDirectory">, client: string, named: string | undefined): TokenSigner {
  const path = named ?? clientKeyPath(way.dataDirectory, client);
  let bytes: Uint8Array | null;
  try {
    bytes = readPrivateFile(path, keyBytesMax);
  } catch (error) {
    const words = error instanceof Error ? error.message : `${path} cannot be read`;
    throw new CommandEnd(exitCode.badUse, words, `chmod 600 ${path}; if others may have read it, make a new key`);
  }
  if (bytes === null)
    throw new CommandEnd(
      exitCode.badUse,
      `there is no key of client ${client} at ${path}`,
      named === undefined
        ? `name it with --key <file>, or make one: sallyport client-key new --private ${path} --public <file for identity.keys>`
        : "check the path",
    );
  try {
    return signerFromPem(new TextDecoder().decode(bytes));
  } catch {
    throw new CommandEnd(
      exitCode.badUse,
      `${path} is not a private key that clients use`,
      "it is a PKCS #8 PEM file with a P-256 or Ed25519 key, as sallyport client-key new writes it",
    );
  }
}

/** Where `dev`, `init` and `client-key` leave a client's private key. */
export function clientKeyPath(dataDirectory: string, client: string): string {
  return join(dataDirectory, "clients", `${client}.key.pem`);
}
