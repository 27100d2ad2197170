// Promises one command for every role, with a start that says what it serves and refuses to start half-working.
// Trusts the role files, which are imported only when their role is asked for: a gateway never loads the control plane.
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import type { SinkSettings } from "@sallyport/control/audit/export/sink-settings.ts";
import type { ArchiveStoreConfig } from "@sallyport/control/audit/keeping/store-file.ts";
import type { ForwardingField, TrustedProxies } from "@sallyport/control/identity/trusted-proxies.ts";
import type { AlertSettings } from "@sallyport/control/watch/alerts/alert-settings.ts";
import type { GeoFile } from "@sallyport/gateway/authorize/geo-file.ts";
import { readPrivateFile } from "@sallyport/kernel/seal/key-file.ts";
import type { OutsideWitness } from "@sallyport/kernel/witness/http-witness.ts";
import { type Command, Option } from "commander";
import { assertNotDevData } from "../dev/dev-data.ts";
import { CommandEnd, exitCode } from "../exit.ts";
import { outliveReader } from "../terminal.ts";
import { assertEstateDirectory } from "./estate-directory.ts";
import { addReceiverOptions, type RawReceiverOptions, readReceivers } from "./receiver-options.ts";
import { addTraceOptions, parseTraceOptions, type RawTraceOptions, type TraceSettings } from "./trace-options.ts";
import { addWitnessOptions, type RawWitnessOptions, readWitnesses, witnessListenOf } from "./witness-options.ts";

/** A listening address as given on the command line. */
export interface Address {
  readonly host: string;
  readonly port: number;
}

export interface ServeOptions {
  readonly role: "all" | "control" | "gateway";
  readonly dataDirectory: string;
  readonly configDirectory: string | null;
  readonly watch: boolean;
  /** The join token's text, when a file was named. */
  readonly joinToken: string | null;
  /** Gateway listeners by name. */
  readonly listen: ReadonlyMap<string, Address>;
  readonly tls: { readonly cert: string; readonly key: string } | null;
  readonly identity: Address;
  readonly channel: Address;
  readonly admin: Address;
  /** Client-facing origins where they differ from the addresses. */
  readonly identityUrl: string | null;
  /** Proxies before the identity listener; null: none is believed. */
  readonly identityProxies: TrustedProxies | null;
  readonly channelUrl: string | null;
  readonly adminUrl: string | null;
  readonly storeUrl: string | null;
  readonly checkpointCopy: string | null;
  /** Where control keeps logs for years; null: only here. */
  readonly archiveStore: ArchiveStoreConfig | null;
  /** Where copies of the log go. */
  readonly sinks: readonly SinkSettings[];
  /** Who is told of findings. */
  readonly alerts: readonly AlertSettings[];
  /** Outside witnesses of the logs of this process. */
  readonly witnesses: readonly OutsideWitness[];
  /** Where strangers have their logs cosigned; null: nowhere. */
  readonly witnessListen: Address | null;
  readonly shutdownGraceMs: number;
  /** Liveness, readiness and metrics of this process. */
  readonly status: Address;
  /** Group of the gateway in role all. */
  readonly group: string | null;
  readonly snapshotLifetimeMs: number;
  /** Null: no traces are sent. */
  readonly traces: TraceSettings | null;
  readonly serverTiming: boolean;
  /** Where addresses are; null: nobody knows. */
  readonly geo: GeoFile | null;
}

const credentialBytesMax = 64 * 1024;

/** `sallyport serve`. */
export function serveCommand(program: Command): void {
  const serve = program
    .command("serve")
    .description("run Sallyport: control plane, gateway, or both in one process")
    .addOption(new Option("--role <role>", "what to run").choices(["all", "control", "gateway"]).default("all"))
    .option("--config <directory>", "estate to apply at start (roles all and control)")
    .option("--watch", "apply the estate again when a file changes", false)
    .option("--data <directory>", "where state lives; created with mode 0700", ".sallyport")
    .option(
      "--listen <name=host:port...>",
      "addresses of gateway listeners, by the names in sallyport.yaml; default public=127.0.0.1:8443",
    )
    .option("--tls-cert <file>", "certificate chain of the gateway listeners (PEM); default: issued by the local CA")
    .option("--tls-key <file>", "its private key (PEM, readable by you alone)")
    .option("--join-file <file>", "join token of a gateway that has not joined yet (role gateway)")
    .option("--identity-listen <host:port>", "where tokens are issued", "127.0.0.1:7440")
    .option("--channel-listen <host:port>", "where gateways connect", "127.0.0.1:7441")
    .option("--admin-listen <host:port>", "where operators connect", "127.0.0.1:7442")
    .option("--status-listen <host:port>", "where /livez, /readyz and /metrics are", "127.0.0.1:7443")
    .option("--group <group>", "group of the gateway in role all; default: production's")
    .option("--snapshot-lifetime <duration>", "how long gateways may obey a snapshot without a newer one", "24h")
    .option("--identity-url <url>", "origin clients use for tokens; it is part of every issuer")
    .option("--channel-url <url>", "origin gateways use")
    .option("--admin-url <url>", "origin operators use")
    .option(
      "--store <variable>",
      "environment variable that holds the PostgreSQL URL of the control store; default: SQLite under --data",
    )
    .option("--checkpoint-copy <file>", "also write each log checkpoint to this file, best on another disk")
    .option(
      "--archive-store <file>",
      "where logs are kept for years (docs/archive.md); the file holds its credentials and is readable by you alone",
    )
    .option(
      "--geo-file <file>",
      "MaxMind DB (.mmdb) with the countries of addresses, for policies that read context.country or context.risk",
    )
    .option("--grace <duration>", "how long requests are still accepted after SIGTERM", "10s")
    .option("--quiet", "no banner and no lines below a warning; the `ready` line of --json stays", false);
  addTraceOptions(serve);
  addReceiverOptions(addPlaceOptions(addWitnessOptions(serve)))
    .addHelpText("after", examples)
    .action(async (raw: RawOptions, command: Command) => {
      // Before a credential is read or a directory made: a start with the wrong estate must leave nothing behind.
      if (raw.config !== undefined) assertEstateDirectory(raw.config);
      const { parseDuration } = await import("../duration.ts");
      const geo = await openGeo(raw);
      const identityProxies = await readProxies(raw);
      const archiveStore = await readArchiveStore(raw);
      const { sinks, alerts } = await readReceivers(raw);
      const more = { archiveStore, geo, identityProxies, sinks, alerts, witnesses: await readWitnesses(raw) };
      const options = { ...parseServeOptions(raw, parseDuration), ...more };
      assertNotDevData(options.dataDirectory);
      const json = command.optsWithGlobals<{ json?: boolean }>().json === true;
      outliveReader();
      const { runRole } = await import("../roles/run.ts");
      const { createServeReporter } = await import("../start/serve-reporter.ts");
      await runRole({ serve: options, reporter: createServeReporter({ json, quiet: raw.quiet }) });
    });
}

function addPlaceOptions(serve: Command): Command {
  return serve
    .option(
      "--identity-proxies <network...>",
      "proxies before the identity listener (addresses or CIDRs) whose word counts for where a request came from; default: none",
    )
    .addOption(
      new Option("--identity-proxy-header <field>", "the one field these proxies write")
        .choices(["x-forwarded-for", "forwarded"])
        .default("x-forwarded-for"),
    );
}

const examples = `
Examples:
  sallyport serve --config estate                      everything in one process, on loopback
  sallyport serve --role control --config estate       a control plane
  sallyport serve --role gateway --join-file token     a gateway, on another host
`;

interface RawOptions extends RawTraceOptions, RawWitnessOptions, RawReceiverOptions {
  readonly role: ServeOptions["role"];
  readonly config?: string;
  readonly watch: boolean;
  readonly data: string;
  readonly listen?: readonly string[];
  readonly tlsCert?: string;
  readonly tlsKey?: string;
  readonly joinFile?: string;
  readonly identityListen: string;
  readonly channelListen: string;
  readonly adminListen: string;
  readonly identityUrl?: string;
  readonly identityProxies?: readonly string[];
  readonly identityProxyHeader: ForwardingField;
  readonly channelUrl?: string;
  readonly adminUrl?: string;
  readonly store?: string;
  readonly checkpointCopy?: string;
  readonly archiveStore?: string;
  readonly geoFile?: string;
  readonly grace: string;
  readonly statusListen: string;
  readonly group?: string;
  readonly snapshotLifetime: string;
  readonly serverTiming: boolean;
  readonly quiet: boolean;
}

/** Like a credential, before anything is made. */
async function openGeo({ role, geoFile }: RawOptions): Promise<GeoFile | null> {
  if (geoFile === undefined) return null;
  if (role === "control")
    throw new CommandEnd(exitCode.badUse, "--geo-file is for gateways", "give it to the gateways, or use --role all");
  const { readGeoFile } = await import("../roles/geo.ts");
  return readGeoFile(geoFile);
}

/** Before anything is made, and only where there is an identity listener: a gateway loads no code of the control plane. */
async function readProxies(raw: RawOptions): Promise<TrustedProxies | null> {
  if (raw.identityProxies === undefined) return null;
  if (raw.role === "gateway")
    throw new CommandEnd(
      exitCode.badUse,
      "--identity-proxies is for the identity listener, which this role has not",
      "give it to control, or use --role all",
    );
  const { ProxyNetworkFault, trustedProxies } = await import("@sallyport/control/identity/trusted-proxies.ts");
  try {
    return trustedProxies(raw.identityProxies, raw.identityProxyHeader);
  } catch (error) {
    if (!(error instanceof ProxyNetworkFault)) throw error;
    throw new CommandEnd(exitCode.badUse, `--identity-proxies: ${error.message}`, error.fix);
  }
}

/** Before anything is made, and only where there is a control plane. */
async function readArchiveStore({ role, archiveStore }: RawOptions): Promise<ArchiveStoreConfig | null> {
  if (archiveStore === undefined) return null;
  if (role === "gateway")
    throw new CommandEnd(
      exitCode.badUse,
      "--archive-store is for control, which archives the logs of its gateways",
      "give it to control, or use --role all",
    );
  const { openStoreFile } = await import("../archive-store.ts");
  return openStoreFile(archiveStore);
}

type ParsedAtOnce = Omit<ServeOptions, "alerts" | "archiveStore" | "geo" | "identityProxies" | "sinks" | "witnesses">;

function parseServeOptions(raw: RawOptions, parseDuration: (text: string) => number): ParsedAtOnce {
  return {
    role: raw.role,
    dataDirectory: resolve(raw.data),
    configDirectory: raw.config === undefined ? null : resolve(raw.config),
    watch: raw.watch,
    joinToken:
      raw.joinFile === undefined
        ? null
        : readPrivateText(raw.joinFile, "make one at control: sallyport gateway token --group <group> --out <file>"),
    listen: parseListen(raw.listen ?? []),
    tls: parseTls(raw),
    identity: parseAddress(raw.identityListen),
    channel: parseAddress(raw.channelListen),
    admin: parseAddress(raw.adminListen),
    identityUrl: parseOrigin(raw.identityUrl, "--identity-url"),
    channelUrl: parseOrigin(raw.channelUrl, "--channel-url"),
    adminUrl: parseOrigin(raw.adminUrl, "--admin-url"),
    storeUrl: raw.store === undefined ? null : readStoreUrl(raw.store),
    checkpointCopy: raw.checkpointCopy === undefined ? null : resolve(raw.checkpointCopy),
    shutdownGraceMs: parseDuration(raw.grace),
    status: parseAddress(raw.statusListen),
    witnessListen: witnessListenAddress(raw),
    group: raw.group ?? null,
    snapshotLifetimeMs: parseDuration(raw.snapshotLifetime),
    traces: parseTraceOptions(raw, (path) => readPrivateText(path)),
    serverTiming: raw.serverTiming,
  };
}

function witnessListenAddress(raw: RawOptions): Address | null {
  const text = witnessListenOf(raw);
  return text === null ? null : parseAddress(text);
}

function parseListen(texts: readonly string[]): ReadonlyMap<string, Address> {
  const listeners = new Map<string, Address>();
  for (const text of texts) {
    const split = text.indexOf("=");
    if (split < 1)
      throw new CommandEnd(
        exitCode.badUse,
        `--listen ${text}: no listener name`,
        "write name=host:port, for example public=0.0.0.0:8443",
      );
    const name = text.slice(0, split);
    if (listeners.has(name))
      throw new CommandEnd(exitCode.badUse, `--listen ${name} is given twice`, "give each listener one address");
    listeners.set(name, parseAddress(text.slice(split + 1)));
  }
  return listeners;
}

/** `127.0.0.1:8443`, `[::1]:8443`. Throws CommandEnd (bad use). */
export function parseAddress(text: string): Address {
  const match = /^(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+):(\d{1,5})$/.exec(text);
  const port = Number(match?.[2]);
  if (match?.[1] === undefined || port > 65_535)
    throw new CommandEnd(
      exitCode.badUse,
      `"${text}" is not an address`,
      "write host:port, for example 127.0.0.1:8443 or [::1]:8443",
    );
  return { host: match[1].replace(/^\[|\]$/g, ""), port };
}

function parseOrigin(text: string | undefined, option: string): string | null {
  if (text === undefined) return null;
  const url = URL.canParse(text) ? new URL(text) : null;
  if (url === null || url.protocol !== "https:" || url.origin !== text) {
    throw new CommandEnd(
      exitCode.badUse,
      `${option} ${text} is not an https origin`,
      "write https://host or https://host:port, without a path or a trailing slash",
    );
  }
  return text;
}

function parseTls(raw: RawOptions): ServeOptions["tls"] {
  if (raw.tlsCert === undefined && raw.tlsKey === undefined) return null;
  if (raw.tlsCert === undefined || raw.tlsKey === undefined)
    throw new CommandEnd(
      exitCode.badUse,
      "--tls-cert and --tls-key belong together",
      "give both, or neither to use the local CA",
    );
  return { cert: readText(raw.tlsCert), key: readPrivateText(raw.tlsKey) };
}

function readText(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    throw new CommandEnd(exitCode.badUse, `${path} cannot be read`, "check the path and its permissions");
  }
}

/** A file that holds a credential: its owner's alone, judged on the opened file. */
function readPrivateText(path: string, fix = "check the path"): string {
  const bytes = readCredential(path);
  if (bytes === null) throw new CommandEnd(exitCode.badUse, `there is no file ${path}`, fix);
  return new TextDecoder().decode(bytes);
}

function readCredential(path: string): Uint8Array | null {
  try {
    return readPrivateFile(path, credentialBytesMax);
  } catch (error) {
    throw new CommandEnd(
      exitCode.badUse,
      error instanceof Error ? error.message : `${path} cannot be read`,
      "if others may have read it, replace what it holds",
    );
  }
}

/** The URL holds a password: a command line is visible to everybody on the machine, so only its variable is named there. */
function readStoreUrl(variable: string): string {
  if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(variable))
    throw new CommandEnd(
      exitCode.badUse,
      "--store takes the name of an environment variable, not a URL: a command line is no place for a password",
      "put the URL into a variable and name it, for example --store SALLYPORT_STORE",
    );
  const url = process.env[variable];
  if (url === undefined || url === "")
    throw new CommandEnd(
      exitCode.badUse,
      `the environment variable ${variable} is not set`,
      "set it to postgres://user:password@host:5432/database",
    );
  return url;
}
