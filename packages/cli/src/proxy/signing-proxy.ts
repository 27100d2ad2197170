// Promises a plain HTTP listener on this machine that carries every request it may to the gateway, proven as one client, and nothing else.
// Trusts decide-inbound.ts for what may pass. Specified in docs/cli/proxy.md.
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { printable } from "../terminal.ts";
import { decideInbound, type InboundRules, type Refusal } from "./decide-inbound.ts";
import type { AskProvider } from "./find-provider.ts";
import type { Forwarder } from "./forward-proven.ts";

export type ProxyAddress = { readonly host: string; readonly port: number } | { readonly path: string };

export interface ProxyLine {
  readonly method: string;
  readonly path: string;
  readonly status: number;
  readonly ms: number;
  readonly crossing: string | null;
  /** Why this proxy itself said no, or what failed. */
  readonly why: string | null;
}

export interface SigningProxyOptions {
  readonly address: ProxyAddress;
  readonly allowedOrigins: ReadonlySet<string>;
  readonly secretHash: Uint8Array | null;
  readonly provider: AskProvider;
  readonly forwarder: Forwarder;
  readonly log: (line: ProxyLine) => void;
}

export interface SigningProxy {
  /** `http://127.0.0.1:9000`, or the path of the socket. */
  readonly url: string;
  /** Accepts nothing more, waits for what runs (at most `graceMs`), then cuts. */
  close(graceMs: number): Promise<void>;
}

const connectionsMax = 256;
const runningMax = 128;
const headersCountMax = 100;
const headerBytesMax = 32 * 1024;
const pathShownMax = 200;

export async function openSigningProxy(options: SigningProxyOptions): Promise<SigningProxy> {
  let rules: InboundRules = {
    hosts: new Set(),
    allowedOrigins: options.allowedOrigins,
    secretHash: options.secretHash,
  };
  let running = 0;
  const serve = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const started = performance.now();
    const told = (status: number, crossing: string | null, why: string | null): void =>
      options.log({
        method: request.method ?? "",
        path: printable((request.url ?? "").split("?", 1)[0] ?? "").slice(0, pathShownMax),
        status,
        ms: Math.round((performance.now() - started) * 100) / 100,
        crossing,
        why,
      });
    const refuse = (refusal: Refusal): void => {
      refuseWith(response, refusal);
      told(refusal.status, null, refusal.why);
    };
    if (running >= runningMax) return refuse(busy);
    running += 1;
    try {
      const target = request.url ?? "";
      const refusal = decideInbound({ method: request.method ?? "", target, headers: request.headers }, rules);
      if (refusal !== null) return refuse(refusal);
      const provider = await options.provider(target.split("?", 1)[0] ?? "");
      if (provider === null) return refuse(nobody);
      const { status, crossing } = await options.forwarder.forward(request, response, provider);
      told(status, crossing, null);
    } catch (error) {
      const why = error instanceof Error ? error.message : "unknown";
      if (response.headersSent || response.destroyed) response.destroy();
      else refuseWith(response, { status: 502, why, fix: "the log line of the proxy says more" });
      told(response.headersSent ? response.statusCode : 502, null, why);
    } finally {
      running -= 1;
    }
  };
  const server = createServer(
    { maxHeaderSize: headerBytesMax, headersTimeout: 15_000, requestTimeout: 600_000, keepAliveTimeout: 30_000 },
    (request, response) => void serve(request, response),
  );
  server.maxConnections = connectionsMax;
  server.maxHeadersCount = headersCountMax;
  // A tunnel or an upgraded connection would carry what nobody proves.
  server.on("connect", (_request, socket) => socket.destroy());
  server.on("upgrade", (_request, socket) => socket.destroy());
  const url = await listen(server, options.address);
  rules = { ...rules, hosts: "path" in options.address ? null : hostsOf(server.address()) };
  return { url, close: (graceMs) => close(server, graceMs) };
}

const busy: Refusal = { status: 503, why: `more than ${runningMax} requests are under way`, fix: "try again" };
const nobody: Refusal = {
  status: 404,
  why: "no system is published under this path, or --only leaves it out",
  fix: "sallyport show <system> says its public path; a system that was saved a moment ago is found a second later",
};

function refuseWith(response: ServerResponse, { status, why, fix }: Refusal): void {
  const body = JSON.stringify({ title: "The signing proxy did not carry this request", status, detail: why, fix });
  response
    .writeHead(status, {
      "content-type": "application/problem+json",
      "content-length": Buffer.byteLength(body),
      "sallyport-verdict": "deny; by=proxy",
      connection: "close",
    })
    .end(body);
}

async function listen(server: Server, address: ProxyAddress): Promise<string> {
  const former = process.umask(0o177);
  try {
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen("path" in address ? { path: address.path } : { host: address.host, port: address.port }, resolve);
    });
  } finally {
    process.umask(former);
  }
  const bound = server.address();
  return isInternet(bound) ? `http://${literal(bound)}:${bound.port}` : `unix:${String(bound)}`;
}

const isInternet = (bound: AddressInfo | string | null): bound is AddressInfo =>
  typeof bound === "object" && bound !== null;
const literal = ({ family, address }: AddressInfo): string => (family === "IPv6" ? `[${address}]` : address);

function hostsOf(bound: AddressInfo | string | null): ReadonlySet<string> {
  if (!isInternet(bound)) return new Set();
  return new Set([`${literal(bound)}:${bound.port}`, `localhost:${bound.port}`, `127.0.0.1:${bound.port}`]);
}

async function close(server: Server, graceMs: number): Promise<void> {
  const closed = new Promise((resolve) => server.close(resolve));
  server.closeIdleConnections();
  const timer = setTimeout(() => server.closeAllConnections(), graceMs);
  await closed;
  clearTimeout(timer);
}
