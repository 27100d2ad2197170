// Promises liveness, readiness with detail (over gRPC without), and metrics on an address of the node's own, away from every caller.
// Trusts whoever can reach that address with nothing but reading. Specified in docs/cli/serve.md "Status listener".

import { statfs } from "node:fs/promises";
import type { ServerHttp2Session } from "node:http2";
import type { AddressInfo, Socket } from "node:net";
import { createServer, type Server } from "@sallyport/kernel/http-server.ts";
import type { Registry } from "prom-client";
import type { Address } from "../commands/serve.ts";
import { version } from "../version.ts";
import { grpcHealthServer } from "./grpc-health.ts";

export interface StatusSource {
  /** Where state lives, for the free space there. */
  readonly dataDirectory: string;
  readiness(): { readonly ready: boolean } | Promise<{ readonly ready: boolean }>;
  metricsText(): Promise<string>;
}

export interface StatusListener {
  readonly port: number;
  close(): Promise<void>;
}

/** Serves `/livez`, `/readyz` (200 or 503 with the same JSON), `/metrics` (Prometheus text), and gRPC health. Rejects when the port is taken. */
export async function openStatusListener(address: Address, source: StatusSource): Promise<StatusListener> {
  const ofProcess = processMetrics(source.dataDirectory);
  const metrics = async (): Promise<string> =>
    (await source.metricsText()) + (await (await ofProcess.registry()).metrics());
  const server = createServer({ maxHeaderSize: 8192, requestTimeout: 5_000 }, (request, response) => {
    const answer = (status: number, type: string, body: string) =>
      response.writeHead(status, { "content-type": type, "cache-control": "no-store" }).end(body);
    const serve = async () => {
      if (request.method !== "GET") return answer(405, "text/plain", "only GET\n");
      if (!isMeant(request.headers.host, address.host))
        return answer(403, "text/plain", "this address answers to loopback names only\n");
      if (request.url === "/livez") return answer(200, "application/json", '{"live":true}\n');
      if (request.url === "/metrics") return answer(200, "text/plain; version=0.0.4", await metrics());
      if (request.url !== "/readyz") return answer(404, "text/plain", "/livez, /readyz, /metrics\n");
      const readiness = await source.readiness();
      return answer(readiness.ready ? 200 : 503, "application/json", `${JSON.stringify(readiness)}\n`);
    };
    serve().catch(() => answer(500, "text/plain", "the status could not be read\n"));
  });
  server.maxConnections = 64;
  const closeHealth = serveHealth(server, address.host, source);
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(address.port, address.host, resolve);
  });
  return {
    // A listening TCP server's address is never a string.
    port: (server.address() as AddressInfo).port,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
        closeHealth();
        ofProcess.close();
      }),
  };
}

const firstBytesMs = 5_000;

/** Connections that begin as HTTP/2 does are for gRPC: a prober of gRPC brings neither TLS nor another port. Gives back what closes them. */
function serveHealth(server: Server, host: string, source: Pick<StatusSource, "readiness">): () => void {
  const health = grpcHealthServer({
    isReady: async () => (await source.readiness()).ready,
    isMeant: (authority) => isMeant(authority, host),
  });
  const open = new Set<ServerHttp2Session | Socket>();
  health.on("session", (session) => {
    open.add(session);
    session.once("close", () => open.delete(session));
  });
  const plain = server.listeners("connection");
  server.removeAllListeners("connection");
  server.on("connection", (socket: Socket) => {
    open.add(socket);
    const silent = setTimeout(() => socket.destroy(), firstBytesMs);
    socket.once("close", () => {
      clearTimeout(silent);
      open.delete(socket);
    });
    socket.on("error", () => socket.destroy());
    socket.once("data", (first: Buffer) => {
      clearTimeout(silent);
      open.delete(socket);
      socket.pause();
      socket.unshift(first);
      if (first.subarray(0, 3).toString("latin1") === "PRI") {
        health.emit("connection", socket);
        return;
      }
      for (const serve of plain) serve.call(server, socket);
      socket.resume();
    });
  });
  return () => {
    for (const one of open) one.destroy();
  };
}

const loopbackName = /^(?:localhost|127(?:\.\d{1,3}){3}|\[::1\])(?::\d{1,5})?$/i;

/**
 * A page in a browser of this machine can have its own name resolve to 127.0.0.1 and read what answers there (DNS rebinding): a listener on
 * loopback answers to loopback's names alone. One that was opened to a network is asked under names we cannot know.
 */
export function isMeant(host: string | undefined, bound: string): boolean {
  const isLoopback = bound === "localhost" || bound === "::1" || bound.startsWith("127.");
  return !isLoopback || (host !== undefined && loopbackName.test(host));
}

/** Pauses of the collector are counted from here on. */
const firstLookMs = 5_000;

/** The package is loaded when somebody asks, or a few seconds after the start: it takes as long as a tenth of it, and nobody waits for what it counts. */
function processMetrics(dataDirectory: string): { registry(): Promise<Registry>; close(): void } {
  let made: Promise<Registry> | undefined;
  const registry = (): Promise<Registry> => {
    made ??= makeProcessMetrics(dataDirectory);
    return made;
  };
  // A fault is for whoever asks.
  const later = setTimeout(() => registry().catch(() => {}), firstLookMs).unref();
  return { registry, close: () => clearTimeout(later) };
}

/** Memory, event loop, version, and the disk a node needs to record anything. */
async function makeProcessMetrics(dataDirectory: string): Promise<Registry> {
  const { collectDefaultMetrics, Gauge, Registry } = await import("prom-client");
  const registry = new Registry();
  const registers = [registry];
  collectDefaultMetrics({ register: registry });
  new Gauge({
    name: "sallyport_build_info",
    help: "Always 1; the version is its label",
    labelNames: ["version"],
    registers,
  }).set({ version }, 1);
  new Gauge({
    name: "sallyport_data_free_bytes",
    help: "Free space of the disk under --data; without space nothing is recorded, and nothing passes",
    registers,
    async collect() {
      const { bavail, bsize } = await statfs(dataDirectory);
      this.set(bavail * bsize);
    },
  });
  return registry;
}
