// Promises that every socket of every pool was resolved, judged, dialled and verified by us. Trusts undici for the HTTP/1.1 of `pool` only.
// Specified in docs/dial.md.
import type { buildConnector, Dispatcher } from "undici";
import type { Clock } from "../ports.ts";
import { type Origin, parseOrigin } from "./decide-dial.ts";
import { DialFault } from "./dial-fault.ts";
import { dialOrigin, type OpenSocket, openSocket, type SocketRequest } from "./guarded-connector.ts";
import { Http2Upstream } from "./http2-upstream.ts";
import type { Dialer, DialOptions, DialTls } from "./port.ts";
import { createResolver, type Resolver, readHostsFile } from "./resolver.ts";
import { Pool } from "./undici-parts.ts";
import { ConnectionPool } from "./upstream-pool.ts";
import type { UpstreamPool } from "./upstream-port.ts";

export const connectionsMaxMax = 1024;
const answerHeaderBytesMax = 32 * 1024;

export interface DialerOptions {
  /** Absent: c-ares with the system's name servers and hosts file. */
  readonly resolver?: Resolver;
  readonly clock?: Pick<Clock, "monotonic">;
  /** For tests that must not dial. */
  readonly openSocket?: OpenSocket;
}

function assertTls(tls: DialTls | undefined): void {
  if (tls === undefined) return;
  if ((tls.cert === undefined) !== (tls.key === undefined)) {
    throw new TypeError("a client certificate and its key come together or not at all");
  }
  if (tls.pins?.some((pin) => Buffer.from(pin, "base64").length !== 32)) {
    throw new TypeError("a pin is the base64 of a SHA-256");
  }
  // An empty list of pins would be no pin at all.
  if (tls.pins?.length === 0 || (tls.pinOnly === true && tls.pins === undefined)) {
    throw new TypeError("pins are at least one; pinOnly without a pin would trust anybody");
  }
}

function assertBounds(options: DialOptions): void {
  const { connectionsMax, connectTimeoutMs } = options;
  if (!Number.isInteger(connectionsMax) || connectionsMax < 1 || connectionsMax > connectionsMaxMax) {
    throw new TypeError(`connectionsMax is an integer from 1 to ${connectionsMaxMax}`);
  }
  if (!(connectTimeoutMs > 0 && connectTimeoutMs <= 60_000))
    throw new TypeError("connectTimeoutMs is above 0 and at most 60000");
}

const socketBound = (options: DialOptions) => ({
  connections: options.connectionsMax,
  pipelining: 1,
  allowH2: false,
  maxHeaderSize: answerHeaderBytesMax,
});

/** A pool that refuses every request: one object that may not be dialled must not stop the others of its snapshot from being served. */
function refusingPool(fault: DialFault, options: DialOptions): Dispatcher {
  return new Pool("http://refused.invalid", {
    ...socketBound(options),
    connect: (_ignored, callback) => callback(fault, null),
  });
}

const refusingCalls = (fault: DialFault, clock: Pick<Clock, "monotonic">): UpstreamPool =>
  new Http2Upstream({ host: "refused.invalid", secure: true, clock, dial: () => Promise.reject(fault) });

/** What is wrong with dialling this origin with these options, as a fault for its requests. */
function refusal(text: string, origin: Origin | string, tls: DialTls | undefined): DialFault | null {
  if (typeof origin === "string") {
    return new DialFault(
      "address-refused",
      `this origin is not dialled: ${origin}. Write http(s)://host or http(s)://host:port`,
    );
  }
  if (tls === undefined || origin.secure) return null;
  return new DialFault("address-refused", `${text} is plain http, but TLS is asked of it. Write https`);
}

/**
 * The only way out of the process. Pools are bound to their origin: redirects, proxies and Unix sockets do not exist for them.
 * An origin that may not be dialled gives a pool whose requests fail with a DialFault; bad bounds or TLS options throw TypeError (a bug).
 */
export function createDialer(options: DialerOptions = {}): Dialer {
  const clock = options.clock ?? { monotonic: () => performance.now() };
  const resolver = options.resolver ?? createResolver({ clock, hosts: readHostsFile() });
  const open = options.openSocket ?? openSocket;
  /** Dials one origin as these options say; or the fault of every request to it. */
  const dialing = (text: string, { rules, tls, connectTimeoutMs }: DialOptions, alpn?: readonly string[]) => {
    const origin = parseOrigin(text);
    const refused = refusal(text, origin, tls);
    if (refused !== null || typeof origin === "string")
      return { refused: refused ?? new DialFault("address-refused", "no origin") };
    const dial = (received?: SocketRequest["received"]) =>
      dialOrigin({
        ...{ origin, rules, tls: tls ?? {}, connectTimeoutMs, resolver, clock },
        ...(alpn === undefined ? {} : { alpn }),
        openSocket: received === undefined ? open : (request) => open({ ...request, received }),
      });
    return { origin, dial };
  };
  return {
    pool(text, poolOptions): Dispatcher {
      assertTls(poolOptions.tls);
      assertBounds(poolOptions);
      const to = dialing(text, poolOptions);
      if (to.refused !== undefined) return refusingPool(to.refused, poolOptions);
      // What undici passes (hostname, servername from a Host header, socketPath) is ignored: the origin alone says where to go.
      const connect: buildConnector.connector = (_ignored, callback) => {
        to.dial().then(
          (socket) => callback(null, socket),
          (fault: Error) => callback(fault, null),
        );
      };
      const url = `${to.origin.secure ? "https" : "http"}://${literalOf(to.origin)}:${to.origin.port}`;
      return new Pool(url, { ...socketBound(poolOptions), connect });
    },
    upstream(text, poolOptions): UpstreamPool {
      assertTls(poolOptions.tls);
      assertBounds(poolOptions);
      const to = dialing(text, poolOptions);
      const { connectionsMax } = poolOptions;
      if (to.refused !== undefined)
        return new ConnectionPool({
          host: "refused.invalid",
          connectionsMax,
          clock,
          dial: () => Promise.reject(to.refused),
        });
      return new ConnectionPool({ host: hostOf(to.origin), connectionsMax, clock, dial: to.dial });
    },
    upstreamHttp2(text, poolOptions): UpstreamPool {
      assertTls(poolOptions.tls);
      assertBounds(poolOptions);
      const to = dialing(text, poolOptions, ["h2"]);
      if (to.refused !== undefined) return refusingCalls(to.refused, clock);
      return new Http2Upstream({ host: hostOf(to.origin), secure: to.origin.secure, clock, dial: () => to.dial() });
    },
  };
}

function literalOf({ host }: Origin): string {
  return host.includes(":") ? `[${host}]` : host;
}

/** The Host field: the port only where the scheme does not say it (RFC 9110 §7.2, §4.2.3). */
function hostOf(origin: Origin): string {
  const isDefault = origin.port === (origin.secure ? 443 : 80);
  return isDefault ? literalOf(origin) : `${literalOf(origin)}:${origin.port}`;
}
