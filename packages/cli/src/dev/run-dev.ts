// Promises role all with everything dev adds: the estate as it is on loopback, reloads that never take down what works, and who calls what.
// Trusts run.ts for the life of the process. Specified in docs/cli/dev.md.

import type { LoadedEstate } from "@sallyport/control/registry/config/estate.ts";
import { sortFindings } from "@sallyport/control/registry/config/finding.ts";
import { loadEstate } from "@sallyport/control/registry/config/load.ts";
import { clientWithoutKey } from "@sallyport/control/registry/config/warn-no-identity.ts";
import { checkPolicies } from "@sallyport/control/snapshot/compile-policies.ts";
import { createSliceCompiler } from "@sallyport/kernel/policy/compile-slice.ts";
import { assertEstateDirectory } from "../commands/estate-directory.ts";
import type { ServeOptions } from "../commands/serve.ts";
import { runRole } from "../roles/run.ts";
import { systemClock } from "../roles/system-ports.ts";
import { type TestIdentity, withTestIdentities } from "./client-identities.ts";
import { seenCrossing } from "./crossing-lines.ts";
import { createDevReporter, type DevFacts } from "./dev-reporter.ts";
import { freePorts } from "./free-ports.ts";
import { asLocal, listenersOf, servedEnvironment, strayListeners } from "./local-estate.ts";
import { UpstreamWatch } from "./upstream-watch.ts";

export interface DevOptions {
  readonly directory: string;
  readonly dataDirectory: string;
  readonly host: string;
  /** Of the first gateway listener; 0: any free ports for everything. */
  readonly port: number;
  readonly json: boolean;
}

const identityPort = 7440;
const planes = ["identity", "channel", "admin", "status"] as const;
const snapshotLifetimeMs = 86_400_000;

/** Runs until Ctrl-C. */
export async function runDev(options: DevOptions): Promise<void> {
  const { directory, dataDirectory, json } = options;
  const estate = new DevEstate(dataDirectory, loadEstate(directory, systemClock));
  const ports = await choosePorts(options, listenersOf(estate.loaded));
  estate.listenAt(ports.urls);
  const facts: DevFacts = {
    directory,
    moved: ports.moved,
    identities: () => estate.identities,
    example: () => exampleOf(estate.loaded),
    // When the process began, not this function: it is what whoever waits has waited.
    startedMs: performance.timeOrigin,
  };
  const reporter = createDevReporter(json, facts);
  const upstreams = new UpstreamWatch((upstream, report) => reporter.upstream(upstream, report));
  let isFirst = true;
  try {
    await runRole({
      serve: serveOptions(options, ports),
      reporter: {
        ...reporter,
        ready: (start) => {
          reporter.ready(start);
          upstreams.watch(estate.loaded);
        },
        applied: (report, loaded) => {
          reporter.applied(report, loaded);
          if (!isFirst) {
            upstreams.watch(estate.loaded);
            reporter.listeners(strayListeners(estate.loaded, ports.listeners.keys()));
          }
          isFirst = false;
        },
      },
      taking: {
        load: () => {
          if (isFirst) return estate.current();
          assertEstateDirectory(directory);
          const findings = estate.reload(loadEstate(directory, systemClock));
          if (findings === null) return estate.current();
          reporter.refused(findings);
          return null;
        },
        sentAs: (loaded) => estate.asServed(loaded).loaded,
      },
      observers: [{ crossing: (...seen) => reporter.crossing(seenCrossing(...seen)) }],
    });
  } finally {
    upstreams.stop();
  }
}

/** The estate on disk as dev last took it. */
class DevEstate {
  readonly #dataDirectory: string;
  #urls: ReadonlyMap<string, string> = new Map();
  loaded: LoadedEstate;
  identities: readonly TestIdentity[] = [];

  constructor(dataDirectory: string, loaded: LoadedEstate) {
    this.#dataDirectory = dataDirectory;
    this.loaded = loaded;
  }

  listenAt(urls: ReadonlyMap<string, string>): void {
    this.#urls = urls;
  }

  current(): LoadedEstate {
    const { loaded, identities } = this.asServed(this.loaded);
    this.identities = identities;
    return loaded;
  }

  /** An estate as dev serves it, so that `plan` finds no change where nothing was changed. */
  asServed(loaded: LoadedEstate): ReturnType<typeof withTestIdentities> {
    return withTestIdentities(asLocal(loaded, this.#urls), this.#dataDirectory);
  }

  /** Takes what was saved; what is wrong with it, when it has errors and is not taken. */
  reload(loaded: LoadedEstate): LoadedEstate["findings"] | null {
    const findings = sortFindings([...loaded.findings, ...checkPolicies(loaded.estate, createSliceCompiler())]);
    if (findings.some(({ severity }) => severity === "error"))
      return findings.filter(({ message }) => message !== clientWithoutKey);
    this.loaded = loaded;
    return null;
  }
}

interface ChosenPorts {
  readonly planes: readonly number[];
  readonly listeners: ReadonlyMap<string, number>;
  readonly urls: ReadonlyMap<string, string>;
  /** What had to go elsewhere, in words. */
  readonly moved: readonly string[];
}

async function choosePorts({ host, port }: DevOptions, names: readonly string[]): Promise<ChosenPorts> {
  const wanted = port === 0 ? 0 : identityPort;
  const chosen = await freePorts(host, wanted, planes.length);
  const gateway = await freePorts(host, port, names.length);
  const moved: string[] = [];
  if (wanted !== 0 && chosen[0] !== wanted)
    moved.push(
      `ports ${wanted} to ${wanted + planes.length - 1} are in use, so identity, channel, admin and status are at ${chosen.join(", ")}`,
    );
  if (port !== 0 && gateway[0] !== port)
    moved.push(`port ${port} is in use, so the gateway is at ${gateway.join(", ")}`);
  const listeners = new Map(names.map((name, i) => [name, gateway[i] ?? 0]));
  const literal = host.includes(":") ? `[${host}]` : host;
  return {
    planes: chosen,
    listeners,
    urls: new Map([...listeners].map(([name, at]) => [name, `https://${literal}:${at}`])),
    moved,
  };
}

function serveOptions({ directory, dataDirectory, host }: DevOptions, ports: ChosenPorts): ServeOptions {
  const [identity = 0, channel = 0, admin = 0, status = 0] = ports.planes;
  return {
    role: "all",
    dataDirectory,
    configDirectory: directory,
    watch: true,
    joinToken: null,
    listen: new Map([...ports.listeners].map(([name, port]) => [name, { host, port }])),
    tls: null,
    ...{ sinks: [], alerts: [] },
    identity: { host, port: identity },
    identityProxies: null,
    channel: { host, port: channel },
    admin: { host, port: admin },
    status: { host, port: status },
    identityUrl: null,
    channelUrl: null,
    adminUrl: null,
    storeUrl: null,
    dataStoreUrl: null,
    limitsStoreUrl: null,
    bounds: {},
    checkpointCopy: null,
    archiveStore: null,
    witnesses: [],
    witnessListen: null,
    // Whoever pressed Ctrl-C waits.
    shutdownGraceMs: 0,
    group: null,
    snapshotLifetimeMs,
    traces: null,
    serverTiming: true,
    workers: 1,
    geo: null,
    upstreamKeys: null,
  };
}

/** The first operation a client may call. */
function exampleOf(loaded: LoadedEstate): ReturnType<DevFacts["example"]> {
  const environment = servedEnvironment(loaded);
  for (const { from, to, operations } of environment?.integrations ?? []) {
    const client = environment?.systems.find(({ id }) => id === from)?.clients[0]?.id;
    const name = operations[0]?.name;
    const path = environment?.systems.find(({ id }) => id === to)?.operations.find((one) => one.name === name)?.path;
    if (client === undefined || name === undefined || path === undefined) continue;
    const parameters = [...path.matchAll(/\{(\w+)\}/g)].flatMap(([, parameter]) => parameter ?? []);
    return { operation: `${to}:${name}`, parameters, client };
  }
  return null;
}
