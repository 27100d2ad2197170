// Promises a provider made of raw sockets and one awaited answer from a pool, for tests. Trusts nothing of either.
import { type AddressInfo, createServer, type Socket } from "node:net";
import { DialFault } from "../dial-fault.ts";
import { createDialer } from "../dialer.ts";
import type { DialOptions } from "../port.ts";
import type { UpstreamCall, UpstreamHandler, UpstreamPool, UpstreamRequest } from "../upstream-port.ts";

export interface RawProvider {
  readonly origin: string;
  /** Every connection made to it, in order. */
  readonly connections: readonly RawConnection[];
  close(): Promise<void>;
}

export interface RawConnection {
  readonly socket: Socket;
  /** All it was sent, latin1. */
  received: string;
  /** Heads of requests that have come whole, in order. */
  readonly requests: string[];
  readonly closed: Promise<void>;
}

/** `act` is called for each whole request head, with what the connection has become; it answers in bytes of its own. */
export async function startRawProvider(
  act: (connection: RawConnection, nth: { readonly request: number; readonly connection: number }) => void,
  begun: (socket: Socket) => void = () => undefined,
): Promise<RawProvider> {
  const connections: RawConnection[] = [];
  const server = createServer({ noDelay: true, allowHalfOpen: true }, (socket) => {
    const at = connections.length;
    const connection: RawConnection = {
      socket,
      received: "",
      requests: [],
      closed: new Promise((resolve) => socket.once("close", () => resolve())),
    };
    connections.push(connection);
    socket.on("error", () => undefined);
    socket.on("end", () => socket.end());
    socket.on("data", (bytes: Buffer) => {
      connection.received += bytes.toString("latin1");
      const heads = connection.received.match(/^[A-Z]+ [^\r\n]+ HTTP\/1\.1\r\n(?:[^\r\n]+\r\n)+\r\n/gm) ?? [];
      for (const head of heads.slice(connection.requests.length)) {
        connection.requests.push(head);
        act(connection, { request: connection.requests.length, connection: at + 1 });
      }
    });
    begun(socket);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo; // a TCP listener always has one
  return {
    origin: `http://127.0.0.1:${port}`,
    connections,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        for (const { socket } of connections) socket.destroy();
      }),
  };
}

/** A pool to a provider on loopback; its clock can be moved. */
export function openPool(
  origin: string,
  on: {
    readonly connectionsMax?: number;
    readonly options?: Partial<DialOptions>;
    readonly clock?: { nowMs: number };
  } = {},
): UpstreamPool {
  const clock = on.clock === undefined ? {} : { clock: { monotonic: () => on.clock?.nowMs ?? 0 } };
  return createDialer(clock).upstream(origin, {
    rules: { allowPrivateHosts: new Set(["127.0.0.1"]), ownAddresses: new Set() },
    connectionsMax: on.connectionsMax ?? 4,
    connectTimeoutMs: 20_000,
    ...on.options,
  });
}

export interface Asked {
  readonly status: number;
  readonly fields: readonly string[];
  /** latin1 */
  readonly content: string;
  /** The fault's code and text where there is no whole answer. */
  readonly fault: string | null;
}

export const get: UpstreamRequest = { method: "GET", path: "/", headers: [], content: null };
export const post = (content: UpstreamRequest["content"] = Buffer.from("{}")): UpstreamRequest => ({
  method: "POST",
  path: "/",
  headers: ["content-type", "application/json"],
  content,
});

/** Sends one request and waits for its end. `seen` may act on the call at any step. */
export function ask(
  pool: UpstreamPool,
  request: UpstreamRequest = get,
  seen: (step: keyof UpstreamHandler, call: UpstreamCall, bytes: number) => void = () => undefined,
): Promise<Asked> {
  return new Promise((resolve) => {
    let status = 0;
    let fields: readonly string[] = [];
    let content = "";
    let isOver = false;
    const over = (fault: string | null): void => {
      if (isOver) throw new Error("told of a second end");
      isOver = true;
      resolve({ status, fields, content, fault });
    };
    const call = pool.send(request, {
      onContentSent: (bytes) => seen("onContentSent", call, bytes),
      onHead(answered, raw) {
        status = answered;
        fields = raw;
        seen("onHead", call, 0);
      },
      onContent(bytes) {
        if (isOver) throw new Error("content after the end");
        content += bytes.toString("latin1");
        seen("onContent", call, bytes.length);
      },
      onEnd() {
        over(null);
        seen("onEnd", call, 0);
      },
      onFault(fault) {
        if (!(fault instanceof DialFault)) throw new TypeError("a fault is a DialFault");
        over(`${fault.code}: ${fault.message}`);
        seen("onFault", call, 0);
      },
    });
  });
}
