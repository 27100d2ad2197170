// Promises the whole marketplace on loopback: control, a production and a staging gateway as three processes with a data directory each,
// the services behind them, and an operator. Trusts the binary's command line (docs/cli.md) and what its `ready` events name.
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { getCACertificates, setDefaultCACertificates } from "node:tls";
import { freePorts } from "sallyport/port-lane.test-support.ts";
import { type SdkCaller, sdkCaller, type Target } from "./callers.ts";
import { type MarketplaceClient, type MarketplaceEnvironment, writeEstate } from "./estate.ts";
import { type Operator, openOperator } from "./operator.ts";
import { type Portal, startPortal } from "./portal.ts";
import type { Processes, Running } from "./processes.ts";
import { type Service, startBilling, startOrders, startPayments } from "./services.ts";
import { createWorkloads, type Workloads } from "./workloads.ts";

export const region = "eu";
export type NodeName = "control" | MarketplaceEnvironment;
const nodeNames = ["control", "production", "staging"] as const;
type PerEnvironment<T> = Readonly<Record<MarketplaceEnvironment, T>>;

export interface Services {
  readonly orders: Service;
  readonly billing: Service;
  readonly payments: Service;
}

interface Urls {
  readonly identity: string;
  readonly admin: string;
  readonly channel: string;
  readonly production: string;
  readonly staging: string;
  readonly status: Readonly<Record<NodeName, string>>;
}

export interface Marketplace {
  readonly root: string;
  readonly directories: Readonly<Record<NodeName, string>>;
  /** Copies of the log's checkpoints, outside of every data directory. */
  readonly checkpointCopies: Readonly<Record<NodeName, string>>;
  /** Where the records go for the security people, and the file that says where they are archived; both outside of every data directory. */
  readonly siem: string;
  readonly archiveFile: string;
  readonly urls: Urls;
  readonly processes: Processes;
  readonly running: Map<NodeName, Running>;
  readonly workloads: PerEnvironment<Workloads>;
  readonly services: PerEnvironment<Services>;
  /** The shop front of production, where customers sign in. */
  readonly portal: Portal;
  /** Roots that callers trust: of the gateway of each environment, and of control's listeners. */
  readonly roots: Readonly<Record<NodeName, { readonly file: string; readonly pem: string }>>;
  readonly operator: Operator;
  readonly operatorKeyFile: string;
  /** Spent once both gateways have joined. */
  readonly joinFiles: PerEnvironment<string>;
  /** Starts one of the three processes again, under the same ports and data. */
  start(name: NodeName): Promise<Running>;
  target(environment: MarketplaceEnvironment, system: string): Target;
  caller(environment: MarketplaceEnvironment, client: MarketplaceClient, system: string): SdkCaller;
  close(): Promise<void>;
}

/** Starts everything. On failure nothing is left running. */
export async function startMarketplace(processes: Processes): Promise<Marketplace> {
  const root = mkdtempSync(join(tmpdir(), "sallyport-marketplace-"));
  const opened: Opened[] = [];
  const close = async () => {
    await processes.stopAll();
    await Promise.all(opened.map((service) => service.close()));
    rmSync(root, { recursive: true, force: true });
  };
  try {
    return await assemble({ processes, root, opened, close });
  } catch (error) {
    await close();
    throw error;
  }
}

interface Parts {
  readonly processes: Processes;
  readonly root: string;
  readonly opened: Opened[];
  readonly close: () => Promise<void>;
}

type Opened = Pick<Service, "close">;

async function assemble({ processes, root, opened, close }: Parts): Promise<Marketplace> {
  const places = layOut(root);
  const urls = await chooseUrls();
  const keys = join(root, "workloads");
  mkdirSync(keys);
  const workloads = { production: createWorkloads("production", keys), staging: createWorkloads("staging", keys) };
  const target = (environment: MarketplaceEnvironment, system: string): Target => ({
    issuer: `${urls.identity}/main/${environment}`,
    gateway: urls[environment],
    system,
  });
  const caller = (environment: MarketplaceEnvironment, client: MarketplaceClient, system: string) =>
    sdkCaller(target(environment, system), { clientId: client, key: workloads[environment].clients[client] });
  const services = {
    production: await openServices("production", { caller, urls, workloads, opened }),
    staging: await openServices("staging", { caller, urls, workloads, opened }),
  };
  const portal = await openPortal(workloads.production, target("production", "portal"));
  opened.push(portal);
  const estate = join(root, "estate");
  writeEstate(estate, { ...estateValues(urls, workloads, services), portal: portal.origin });
  const running = new Map<NodeName, Running>();
  const start = async (name: NodeName) => {
    const started = await processes.serve(name, serveArguments(name, { ...places, urls, estate, root }));
    running.set(name, started);
    return started;
  };
  await start("control");
  const operatorKeyFile = join(places.directories.control, "operator.key.json");
  await Promise.all(
    (["production", "staging"] as const).map(async (environment) => {
      await makeJoinFile(processes, { environment, operatorKeyFile, out: joinFile(root, environment) });
      await start(environment);
    }),
  );
  const roots = readRoots(places.directories.control);
  // Services and callers in this process trust the marketplace's private roots besides the public ones.
  setDefaultCACertificates([...getCACertificates("default"), ...nodeNames.map((name) => roots[name].pem)]);
  const operator = openOperator(operatorKeyFile);
  return {
    root,
    ...places,
    urls,
    processes,
    running,
    workloads,
    services,
    portal,
    roots,
    operator,
    operatorKeyFile,
    joinFiles: { production: joinFile(root, "production"), staging: joinFile(root, "staging") },
    start,
    target,
    caller,
    close,
  };
}

/** The one shop front, where customers sign in. */
function openPortal({ clients, portal: tls }: Workloads, { issuer, gateway }: Target): Promise<Portal> {
  return startPortal({ identity: { clientId: "portal", key: clients.portal }, tls, issuer, gateway });
}

async function makeJoinFile(
  processes: Processes,
  of: { readonly environment: MarketplaceEnvironment; readonly operatorKeyFile: string; readonly out: string },
): Promise<void> {
  const made = await processes.run("gateway token", [
    ...["--json", "--operator", of.operatorKeyFile],
    ...["gateway", "token", "--group", `${of.environment}-${region}`, "--out", of.out],
  ]);
  if (made.code !== 0) throw new Error(`sallyport gateway token ended with ${made.code}: ${made.stderr}`);
}

function layOut(root: string): Pick<Marketplace, "directories" | "checkpointCopies" | "siem" | "archiveFile"> {
  const named = (make: (name: NodeName) => string) => ({
    control: make("control"),
    production: make("production"),
    staging: make("staging"),
  });
  for (const folder of ["elsewhere", "exports", "siem", "archive"]) mkdirSync(join(root, folder), { mode: 0o700 });
  const siem = join(root, "siem", "records.ndjson");
  writeFileSync(join(exportsFolder(root), "siem.yaml"), `sink: siem\nto: file\npath: ${siem}\n`);
  const archiveFile = join(root, "archive.yaml");
  writeFileSync(archiveFile, "directory: archive\nevery: 10s\n", { mode: 0o600 });
  return {
    siem,
    archiveFile,
    directories: named((name) => join(root, name)),
    checkpointCopies: named((name) => join(root, "elsewhere", `${name}.checkpoints`)),
  };
}

async function chooseUrls(): Promise<Urls> {
  const ports = await freePorts(8);
  const https = (index: number) => `https://localhost:${ports[index]}`;
  const http = (index: number) => `http://127.0.0.1:${ports[index]}`;
  return {
    identity: https(0),
    admin: https(1),
    channel: https(2),
    production: https(3),
    staging: https(4),
    status: { control: http(5), production: http(6), staging: http(7) },
  };
}

const bindOf = (url: string) => `127.0.0.1:${new URL(url).port}`;
const exportsFolder = (root: string) => join(root, "exports");
const joinFile = (root: string, environment: MarketplaceEnvironment) => join(root, `${environment}.join-token`);

function serveArguments(
  name: NodeName,
  of: Pick<Marketplace, "directories" | "checkpointCopies" | "archiveFile" | "urls" | "root"> & {
    readonly estate: string;
  },
): readonly string[] {
  const { urls } = of;
  const everywhere = [
    ...["--data", of.directories[name], "--status-listen", bindOf(urls.status[name])],
    ...["--checkpoint-copy", of.checkpointCopies[name], "--grace", "2s"],
  ];
  if (name !== "control")
    return [
      ...["--role", "gateway", "--join-file", joinFile(of.root, name), "--listen", `${name}=${bindOf(urls[name])}`],
      ...everywhere,
    ];
  const listeners = (["identity", "channel", "admin"] as const).flatMap((listener) => [
    ...[`--${listener}-listen`, bindOf(urls[listener])],
    ...[`--${listener}-url`, urls[listener]],
  ]);
  const copies = ["--exports", exportsFolder(of.root), "--archive-store", of.archiveFile];
  return ["--role", "control", "--config", of.estate, ...listeners, ...copies, ...everywhere];
}

function estateValues(urls: Urls, workloads: PerEnvironment<Workloads>, services: PerEnvironment<Services>) {
  const upstreams = ({ orders, billing, payments }: Services) => ({
    orders: orders.origin,
    billing: billing.origin,
    payments: payments.origin,
  });
  return {
    listeners: {
      production: { url: urls.production },
      staging: { url: urls.staging },
    },
    upstreams: { production: upstreams(services.production), staging: upstreams(services.staging) },
    jwks: { production: workloads.production.jwks, staging: workloads.staging.jwks },
    courier: workloads.production.courier.jwks,
    roots: { production: workloads.production.root, staging: workloads.staging.root },
  };
}

/** Orders charges through billing, billing collects through payments: each of them by a crossing of its own. */
async function openServices(
  environment: MarketplaceEnvironment,
  of: Pick<Marketplace, "caller" | "urls" | "workloads"> & { readonly opened: Opened[] },
): Promise<Services> {
  const issuer = () => `${of.urls.identity}/main/${environment}`;
  const crossing = (client: MarketplaceClient, system: string) => {
    let caller: SdkCaller | null = null;
    return async (path: string, body: object) => {
      caller ??= of.caller(environment, client, system);
      const headers = { "content-type": "application/json" };
      const request = { method: "POST", body: JSON.stringify(body), headers };
      const reply = await caller.send(path, request);
      if (reply.code !== "not-active") return reply;
      // The integration was cut off since this token was issued; nothing was done, so it may be asked again with a new one.
      await caller.renew();
      return caller.send(path, request);
    };
  };
  const payments = await startPayments(of.workloads[environment].payments);
  const billing = await startBilling({ environment, issuer }, crossing("billing", "payments"));
  const orders = await startOrders({ environment, issuer }, crossing("orders", "billing"));
  of.opened.push(payments, billing, orders);
  return { payments, billing, orders };
}

function readRoots(controlDirectory: string): Marketplace["roots"] {
  const read = (name: NodeName) => {
    const file = join(controlDirectory, "ca", `${name}.pem`);
    return { file, pem: readFileSync(file, "utf8") };
  };
  return { control: read("control"), production: read("production"), staging: read("staging") };
}
