// Promises one command for every role, with a start that says what it serves and refuses to start half-working.
// Trusts the role files, which are imported only when their role is asked for: a gateway never loads the control plane.
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import type { SinkSettings } from "@sallyport/control/audit/export/sink-settings.ts";
import type { ArchiveStoreConfig } from "@sallyport/control/audit/keeping/store-file.ts";
import type { AlertSettings } from "@sallyport/control/watch/alerts/alert-settings.ts";
import type { GeoSource } from "@sallyport/kernel/geo/geo-source.ts";
import { readPrivateFile } from "@sallyport/kernel/seal/key-file.ts";
import type { TrustedProxies } from "@sallyport/kernel/trusted-proxies.ts";
import type { OutsideWitness } from "@sallyport/kernel/witness/http-witness.ts";
import { type Command, Option } from "commander";
import { assertNotDevData } from "../dev/dev-data.ts";
import { CommandEnd, exitCode } from "../exit.ts";
import { outliveReader } from "../terminal.ts";
import { addBoundOptions, type RawBoundOptions, readBounds, type SourceBounds } from "./bound-options.ts";
import { assertEstateDirectory } from "./estate-directory.ts";
import { type FirstOptions, readNamedFirst } from "./read-named-first.ts";
import { addReceiverOptions, type RawReceiverOptions, readReceivers } from "./receiver-options.ts";
import { addTraceOptions, parseTraceOptions, type RawTraceOptions, type TraceSettings } from "./trace-options.ts";
import { addWitnessOptions, type RawWitnessOptions, readWitnesses, witnessListenOf } from "./witness-options.ts";
import { addWorkerOption, type RawWorkerOptions, readWorkers } from "./worker-options.ts";

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
  /** PostgreSQL of the data-plane store; null: SQLite beside the gateway's state. */
  readonly dataStoreUrl: string | null;
  /** Redis in which gateways count together; null: none. */
  readonly limitsStoreUrl: string | null;
  readonly bounds: SourceBounds;
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
  /** Folder of the private keys of certificates that gateways show to providers; null: none. */
  readonly upstreamKeys: string | null;
  /** Where addresses are; null: nobody knows. */
  readonly geo: GeoSource | null;
  /** Threads of the gateway; 1: none of its own. */
  readonly workers: number;
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
  addWorkerOption(addReceiverOptions(addBoundOptions(addPlaceOptions(addWitnessOptions(serve)))))
    .addHelpText("after", examples)
    .action(async (raw: RawOptions, command: Command) => {
      // Before a credential is read or a directory made: a start with the wrong estate must leave nothing behind.
      if (raw.config !== undefined) assertEstateDirectory(raw.config);
      const { parseDuration } = await import("../duration.ts");
      const named = await readNamedFirst(raw);
      const { sinks, alerts } = await readReceivers(raw);
      const more = { ...named, sinks, alerts, witnesses: await readWitnesses(raw) };
      const options = { ...parseServeOptions(raw, parseDuration), ...more };
      assertNotDevData(options.dataDirectory);
      const json = command.optsWithGlobals<{ json?: boolean }>().json === true;
      outliveReader();
      const { beginThreads } = await import("../start/begin-threads.ts");
      beginThreads(options);
      const { runRole } = await import("../roles/run.ts");
      const { createServeReporter } = await import("../start/serve-reporter.ts");
      await runRole({ serve: options, reporter: createServeReporter({ json, quiet: raw.quiet }) });
    });
}

function addPlaceOptions(serve: Command): Command {
  return serve
    .option(
      "--data-store <variable>",
      "environment variable that holds the PostgreSQL URL of the data-plane store, which the gateways of an environment and region share (docs/idempotency.md); default: SQLite under --data",
    )
    .option(
      "--limits-store <variable>",
      "environment variable that holds the Redis URL where gateways count limits `across: gateways` together (docs/limits.md); default: none",
    )
    .option(
      "--identity-proxies <network...>",
      "proxies before the identity listener (addresses or CIDRs) whose word counts for where a request came from; default: none",
    )
    .option(
      "--upstream-keys <directory>",
      "folder of private keys (PEM, *.key or *.pem, readable by you alone) of certificates that systems declare under `tls.certificate`; read again when it changes",
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

type RawGroups = RawTraceOptions & RawWitnessOptions & RawReceiverOptions & RawBoundOptions & RawWorkerOptions;

interface RawOptions extends RawGroups, FirstOptions {
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
  readonly channelUrl?: string;
  readonly adminUrl?: string;
  readonly store?: string;
  readonly dataStore?: string;
  readonly limitsStore?: string;
  readonly checkpointCopy?: string;
  readonly grace: string;
  readonly statusListen: string;
  readonly group?: string;
  readonly snapshotLifetime: string;
  readonly serverTiming: boolean;
  readonly quiet: boolean;
}

type ParsedAtOnce = Omit<
  ServeOptions,
  "alerts" | "archiveStore" | "geo" | "identityProxies" | "sinks" | "upstreamKeys" | "witnesses"
>;

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
    storeUrl: raw.store === undefined ? null : readStoreUrl("--store", raw.store),
    dataStoreUrl: readDataStoreUrl(raw),
    limitsStoreUrl: readLimitsStoreUrl(raw),
    bounds: readBounds(raw),
    checkpointCopy: raw.checkpointCopy === undefined ? null : resolve(raw.checkpointCopy),
    shutdownGraceMs: parseDuration(raw.grace),
    status: parseAddress(raw.statusListen),
    witnessListen: witnessListenAddress(raw),
    group: raw.group ?? null,
    snapshotLifetimeMs: parseDuration(raw.snapshotLifetime),
    traces: parseTraceOptions(raw, (path) => readPrivateText(path)),
    serverTiming: raw.serverTiming,
    workers: readWorkers(raw),
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

function readDataStoreUrl({ role, dataStore }: RawOptions): string | null {
  if (dataStore === undefined) return null;
  if (role === "control")
    throw new CommandEnd(exitCode.badUse, "--data-store is for gateways", "give it to the gateways, or use --role all");
  return readStoreUrl("--data-store", dataStore);
}

function readLimitsStoreUrl({ role, limitsStore }: RawOptions): string | null {
  if (limitsStore === undefined) return null;
  if (role === "control")
    throw new CommandEnd(
      exitCode.badUse,
      "--limits-store is for gateways",
      "give it to the gateways, or use --role all",
    );
  return readStoreUrl("--limits-store", limitsStore);
}

/** The URL holds a password: a command line is visible to everybody on the machine, so only its variable is named there. */
function readStoreUrl(option: "--store" | "--data-store" | "--limits-store", variable: string): string {
  if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(variable))
    throw new CommandEnd(
      exitCode.badUse,
      `${option} takes the name of an environment variable, not a URL: a command line is no place for a password`,
      `put the URL into a variable and name it, for example ${option} SALLYPORT_STORE`,
    );
  const url = process.env[variable];
  if (url === undefined || url === "")
    throw new CommandEnd(
      exitCode.badUse,
      `the environment variable ${variable} is not set`,
      option === "--limits-store"
        ? "set it to rediss://user:password@host:6379"
        : "set it to postgres://user:password@host:5432/database",
    );
  return url;
}
