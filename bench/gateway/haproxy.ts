// Promises HAProxy as an opponent: one thread, plain HTTP on both sides, the ES256 signature of each token verified with `jwt_verify`, and nothing
// else done. Trusts the installed `haproxy` (2.5 or newer). What it is compared with is specified in RESULTS.md.
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { createPublicKey } from "node:crypto";
import { mkdirSync, writeFileSync } from "node:fs";
import { type AddressInfo, connect, createServer } from "node:net";
import { join } from "node:path";
import { threadTimes } from "../threads.ts";
import type { RunningProcess } from "./process.ts";
import type { Usage } from "./roles.ts";

const openMs = 10_000;
const endMs = 3_000;

/** The version that is installed; null without one. */
export function haproxyVersion(): string | null {
  const { status, stdout } = spawnSync("haproxy", ["-v"], { encoding: "utf8" });
  return status === 0 ? (/version (\S+)/.exec(stdout)?.[1] ?? "unknown") : null;
}

interface HaproxyOptions {
  readonly directory: string;
  readonly core: number | null;
  readonly upstream: number;
  readonly jwk: Readonly<Record<string, string>>;
}

/** `tune.ssl` and TLS are not in play; `http-reuse always` lets it use its upstream connections as freely as we do. */
function configuration(on: { readonly port: number; readonly upstream: number; readonly key: string }): string {
  return `global
  nbthread 1
  maxconn 4096
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
frontend front
  bind 127.0.0.1:${on.port}
  http-request set-var(txn.bearer) http_auth_bearer
  http-request deny deny_status 401 unless { var(txn.bearer),jwt_header_query('$.alg') -m str ES256 }
  http-request deny deny_status 401 unless { var(txn.bearer),jwt_verify("ES256","${on.key}") -m int 1 }
  default_backend back
backend back
  http-reuse always
  server upstream 127.0.0.1:${on.upstream}
`;
}

/** Starts it in `directory`; `ask` knows \`usage\`. */
export async function startHaproxy(options: HaproxyOptions): Promise<{ process: RunningProcess; port: number }> {
  mkdirSync(options.directory, { recursive: true });
  const key = join(options.directory, "issuer.pem");
  const file = join(options.directory, "haproxy.cfg");
  const publicKey = createPublicKey({ key: options.jwk, format: "jwk" });
  writeFileSync(key, publicKey.export({ type: "spki", format: "pem" }));
  const port = await freePort();
  writeFileSync(file, configuration({ port, upstream: options.upstream, key }));
  const haproxy = ["haproxy", "-db", "-f", file];
  const [command = "", ...args] = options.core === null ? haproxy : ["taskset", "-c", String(options.core), ...haproxy];
  const child = spawn(command, args, { stdio: ["ignore", "ignore", "pipe"] });
  let said = "";
  child.stderr.on("data", (chunk: Buffer) => {
    said = (said + chunk.toString()).slice(-2_000);
  });
  await untilOpen(port, child, () => said);
  const process: RunningProcess = {
    pid: child.pid ?? -1,
    // The one question the bench asks it.
    ask: async <T>() => usageOf(child.pid ?? 0) as T,
    stop: () => end(child),
  };
  return { process, port };
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo; // listening on TCP
  await new Promise((resolve) => server.close(resolve));
  return port;
}

async function untilOpen(port: number, child: ChildProcess, said: () => string): Promise<void> {
  const until = performance.now() + openMs;
  while (performance.now() < until && child.exitCode === null) {
    const isOpen = await new Promise<boolean>((resolve) => {
      const socket = connect(port, "127.0.0.1", () => resolve(true)).on("error", () => resolve(false));
      socket.once("connect", () => socket.destroy());
    });
    if (isOpen) return;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  await end(child);
  throw new Error(`haproxy does not listen: ${said()}`);
}

/** Processor time of all its threads. `taskset` has become haproxy by then: it is the same process. */
function usageOf(pid: number): Usage {
  let user = 0;
  let system = 0;
  for (const { userMs, systemMs } of threadTimes(pid).values()) {
    user += userMs;
    system += systemMs;
  }
  return { cpuMs: user + system, systemMs: system, residentBytes: 0, leaves: 0 };
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = new Promise((resolve) => child.once("exit", resolve));
  child.kill("SIGTERM");
  const killer = setTimeout(() => child.kill("SIGKILL"), endMs);
  await ended;
  clearTimeout(killer);
}
