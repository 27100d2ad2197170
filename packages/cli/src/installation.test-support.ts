// Promises a whole installation for tests and soaks: a tiny estate, real processes on loopback with data directories of their own, an upstream
// that counts, callers and an operator; every wait is bounded and nothing is left running. Trusts the binary's JSON lines.
import { type ChildProcess, spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import { availableParallelism, tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { getCACertificates, setDefaultCACertificates } from "node:tls";
import { fileURLToPath } from "node:url";
import { generateClientKey } from "@sallyport/sdk/node-crypto.ts";
import { type SallyportFetch, sallyportFetch } from "@sallyport/sdk/sallyport-fetch.ts";
import { TokenClient } from "@sallyport/sdk/token-client.ts";
import type { AdminClient } from "./admin-client.ts";
import { openAdminClient } from "./admin-connection.ts";
import { freePorts } from "./port-lane.test-support.ts";
import { inheritedEnvironment } from "./program.test-support.ts";
import { runtimeEnvironment, runtimeOptions } from "./start/runtime-options.ts";

const main = fileURLToPath(new URL("main.ts", import.meta.url));
const waitMsMax = 60_000;
const outputCharactersMax = 4 * 1024 * 1024;
const shownCharactersMax = 2_000;

export type Fields = Readonly<Record<string, unknown>>;

export interface Ended {
  readonly exit: number | null;
  readonly output: string;
}

/** One `sallyport serve` in a process of its own. */
export interface Served {
  readonly pid: number;
  readonly ended: Promise<Ended>;
  /** The first JSON line (also an earlier one) that `matches`; rejects after 30 s or when the process has ended. */
  line(matches: (fields: Fields) => boolean): Promise<Fields>;
  /** Lines so far. */
  readonly lines: readonly Fields[];
  signal(signal: NodeJS.Signals): Promise<Ended>;
  /** Closes this end of its standard output: the next thing it prints finds no reader. */
  stopReading(): void;
}

export interface Caller {
  readonly fetch: SallyportFetch;
  /** The token in use now. */
  token(): Promise<string>;
}

export const isReady = (fields: Fields): boolean => fields["event"] === "ready";
export const tinyIntegration = "orders-to-billing";

/** The one integration; another `timeout` makes another snapshot. */
export function tinyGrant(timeout: string): string {
  return `integration: ${tinyIntegration}
from: orders
to: billing
purpose: Charge a customer when an order ships
limits:
  - { per: client, rate: 100000/s, burst: 100000 }
operations:
  invoice.read: { timeout: ${timeout} }
`;
}

/** What each process of this test file last printed, for a wait that was in vain. */
const lastWords: (() => string)[] = [];

/** Polls until `check` is true; rejects after a minute, saying what was waited for and what the processes last printed. */
export async function until(what: string, check: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = performance.now() + waitMsMax;
  while (!(await check())) {
    if (performance.now() > deadline)
      throw new Error([`waited ${waitMsMax / 1000} s for: ${what}`, ...lastWords.map((words) => words())].join("\n"));
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

export class Installation {
  readonly root = mkdtempSync(join(tmpdir(), "sallyport-e2e-"));
  readonly estate = join(this.root, "estate");
  readonly clientKey = generateClientKey();
  /** Requests that reached the upstream. */
  upstreamRequests = 0;
  /** The upstream answers after this many milliseconds. */
  upstreamDelayMs = 0;
  readonly #children = new Set<ChildProcess>();
  #upstream: Server | null = null;
  ports: Readonly<Record<"identity" | "channel" | "admin" | "gateway", number>> = {
    identity: 0,
    channel: 0,
    admin: 0,
    gateway: 0,
  };

  static async open(): Promise<Installation> {
    const installation = new Installation();
    await installation.#listen();
    installation.writeEstate();
    return installation;
  }

  async #listen(): Promise<void> {
    const server = createServer((request, response) => {
      this.upstreamRequests += 1;
      request.resume().once("end", () => {
        const answer = () => response.writeHead(200, { "content-type": "application/json" }).end('{"ok":true}');
        if (this.upstreamDelayMs === 0) answer();
        else setTimeout(answer, this.upstreamDelayMs);
      });
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    this.#upstream = server;
    const [identity = 0, channel = 0, admin = 0, gateway = 0] = await freePorts(4);
    this.ports = { identity, channel, admin, gateway };
  }

  /** The estate of DESIGN §6 with its addresses; `more` is laid over it. */
  files(more: Readonly<Record<string, string>> = {}): Readonly<Record<string, string>> {
    const address = this.#upstream?.address();
    const port = typeof address === "object" && address !== null ? address.port : 0;
    const { gateway } = this.ports;
    return {
      "sallyport.yaml": `estate: tiny\nlisteners:\n  public:\n    url: https://127.0.0.1:${gateway}\n`,
      "systems/billing.yaml": `system: billing\nurl: http://127.0.0.1:${port}\nallowPrivate: true\noperations:\n  invoice.create: POST /v1/invoices\n  invoice.read: GET /v1/invoices/{id}\n`,
      "systems/orders.yaml": "system: orders\nidentity: { client: orders, keys: [orders.jwks.json] }\n",
      "integrations/orders-to-billing.yaml": tinyGrant("10s"),
      "systems/orders.jwks.json": JSON.stringify({ keys: [this.clientKey.signer.jwk] }),
      ...more,
    };
  }

  writeEstate(more: Readonly<Record<string, string>> = {}): void {
    for (const [path, text] of Object.entries(this.files(more))) {
      mkdirSync(dirname(join(this.estate, path)), { recursive: true });
      writeFileSync(join(this.estate, path), text);
    }
  }

  data(name: string): string {
    return join(this.root, name);
  }

  get operatorKey(): string {
    return join(this.data("control"), "operator.key.json");
  }

  operator(keyFile = this.operatorKey): AdminClient {
    return openAdminClient(keyFile);
  }

  controlArguments(): string[] {
    const { identity, channel, admin } = this.ports;
    return [
      ...["--config", this.estate, "--identity-listen", `127.0.0.1:${identity}`],
      ...["--channel-listen", `127.0.0.1:${channel}`, "--admin-listen", `127.0.0.1:${admin}`],
    ];
  }

  /** Starts control and resolves when it is ready. */
  async startControl(): Promise<Served> {
    const control = this.serve("control", [...this.controlArguments(), "--data", this.data("control")]);
    await control.line(isReady);
    return control;
  }

  /** The record of what was issued under this grant id; the index follows the log. */
  async issuanceOf(grant: string): Promise<Readonly<Record<string, unknown>>> {
    let leaf: Readonly<Record<string, unknown>> | undefined;
    await until("the record of an issuance", async () => {
      const where = { grant: [grant] };
      const { hits } = await this.operator().call<{ hits: readonly { readonly leaf: string }[] }>(
        "POST",
        "/v1/audit/records",
        { where },
      );
      leaf = hits.map((one) => JSON.parse(one.leaf)).find(({ t }) => t === "issuance");
      return leaf !== undefined;
    });
    return leaf ?? {};
  }

  /** Joins on the first start, and resolves when it is ready. */
  async startGateway(): Promise<Served> {
    const joinFile = join(this.root, "join-token");
    const { token } = await this.operator()
      .call<{ token: string }>("POST", "/v1/groups/production-default/join-tokens", { lifetimeMs: 60_000 })
      // Away: a gateway that has joined needs none.
      .catch(() => ({ token: "" }));
    if (token !== "") writeFileSync(joinFile, token, { mode: 0o600 });
    const gateway = this.serveGateway(["--join-file", joinFile]);
    await gateway.line(isReady);
    return gateway;
  }

  /** Starts the gateway; waits for nothing. */
  serveGateway(more: readonly string[] = []): Served {
    const listen = `public=127.0.0.1:${this.ports.gateway}`;
    // A short grace: callers that never pause keep a draining gateway busy until it is over.
    return this.serve("gateway", ["--data", this.data("gateway"), "--listen", listen, "--grace", "2s", ...more]);
  }

  /** Starts a role; waits for nothing. */
  serve(
    role: "all" | "control" | "gateway",
    args: readonly string[],
    env: Readonly<Record<string, string>> = {},
  ): Served {
    const argv = [
      "--disable-warning=ExperimentalWarning",
      ...runtimeOptions(availableParallelism()),
      main,
      "--json",
      "serve",
      "--role",
      role,
      ...args,
    ];
    const child = spawn(process.execPath, [...argv, "--status-listen", "127.0.0.1:0"], {
      stdio: ["ignore", "pipe", "pipe"],
      env: { ...inheritedEnvironment(), ...runtimeEnvironment(availableParallelism()), ...env },
    });
    this.#children.add(child);
    child.once("close", () => this.#children.delete(child));
    return served(child);
  }

  /** Trusts the roots control has written, in this process and from now on. */
  trustRoots(directory = join(this.data("control"), "ca")): void {
    const roots = ["control", "production"].map((name) => readFileSync(join(directory, `${name}.pem`), "utf8"));
    setDefaultCACertificates([...getCACertificates("bundled"), ...roots]);
  }

  /** `answered` is told of each answer as it came, also of those the SDK does not hand on because it asks again. */
  caller(
    key = this.clientKey.signer,
    environment = "production",
    answered: (response: Response) => void = () => {},
  ): Caller {
    const issuer = `https://127.0.0.1:${this.ports.identity}/main/${environment}`;
    const resource = `${issuer}/systems/billing`;
    const client = new TokenClient({ issuer, clientId: "orders", key });
    return {
      fetch: sallyportFetch({
        client,
        gateway: `https://127.0.0.1:${this.ports.gateway}`,
        resource,
        fetch: async (url, init) => {
          const response = await fetch(url, init);
          answered(response);
          return response;
        },
      }),
      token: async () => (await client.token({ resource })).token,
    };
  }

  async close(): Promise<void> {
    await Promise.all(
      [...this.#children].map((child) => {
        const gone = new Promise((resolve) => child.once("close", resolve));
        child.kill("SIGKILL");
        return gone;
      }),
    );
    this.#upstream?.closeAllConnections();
    await new Promise((resolve) => this.#upstream?.close(resolve));
    rmSync(this.root, { recursive: true, force: true });
  }
}

/** Reads the JSON lines of a process. */
export function served(child: ChildProcess): Served {
  const lines: Fields[] = [];
  const watchers = new Set<() => void>();
  let output = "";
  let rest = "";
  const take = (chunk: string) => {
    if (output.length < outputCharactersMax) output += chunk;
  };
  child.stderr?.setEncoding("utf8").on("data", take);
  child.stdout?.setEncoding("utf8").on("data", (chunk: string) => {
    take(chunk);
    const whole = (rest + chunk).split("\n");
    rest = whole.pop() ?? "";
    for (const line of whole) {
      const fields = parseFields(line);
      if (fields !== null) lines.push(fields);
    }
    for (const watcher of watchers) watcher();
  });
  const ended = new Promise<Ended>((resolve) => child.once("close", (exit) => resolve({ exit, output })));
  lastWords.push(
    () => `--- ${child.spawnargs.slice(3).join(" ")}, exit ${child.exitCode}\n${output.slice(-shownCharactersMax)}`,
  );
  return {
    // A spawned child has one; -1 matches no process group of ours.
    pid: child.pid ?? -1,
    stopReading: () => void child.stdout?.destroy(),
    ended,
    lines,
    line: (matches) =>
      new Promise((resolve, reject) => {
        const end = () => {
          clearTimeout(timer);
          watchers.delete(look);
        };
        const look = () => {
          const found = lines.find(matches);
          if (found === undefined) return;
          end();
          resolve(found);
        };
        const timer = setTimeout(() => {
          end();
          reject(new Error(`no such line in ${waitMsMax / 1000} s:\n${output.slice(-shownCharactersMax)}`));
        }, waitMsMax);
        watchers.add(look);
        void ended.then(() => {
          end();
          reject(new Error(`the process ended:\n${output.slice(-shownCharactersMax)}`));
        });
        look();
      }),
    signal: (signal) => {
      child.kill(signal);
      return ended;
    },
  };
}

function parseFields(line: string): Fields | null {
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === "object" && value !== null ? Object.fromEntries(Object.entries(value)) : null;
  } catch {
    return null;
  }
}
