// Promises that every socket of every pool was resolved, judged, dialled and verified by us. Trusts undici for HTTP/1.1 only.
// Specified in docs/dial.md.
import { type buildConnector, type Dispatcher, Pool } from "undici";
import type { Clock } from "../ports.ts";
import { type Origin, parseOrigin } from "./decide-dial.ts";
import { DialFault } from "./dial-fault.ts";
import { dialOrigin, type OpenSocket, openSocket } from "./guarded-connector.ts";
import type { Dialer, DialTls } from "./port.ts";
import { createResolver, type Resolver, readHostsFile } from "./resolver.ts";

export const connectionsMaxMax = 1024;
const answerHeaderBytesMax = 32 * 1024;

export interface DialerOptions {
  /** Absent: c-ares with the system's name servers and hosts file. */
  readonly resolver?: Resolver;
  readonly clock?: Pick<Clock, "monotonic">;
  /** For tests that must not dial. */
  readonly openSocket?: OpenSocket;
}

type PoolOptions = Parameters<Dialer["pool"]>[1];

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

function assertBounds(options: PoolOptions): void {
  const { connectionsMax, connectTimeoutMs } = options;
  if (!Number.isInteger(connectionsMax) || connectionsMax < 1 || connectionsMax > connectionsMaxMax) {
    throw new TypeError(`connectionsMax is an integer from 1 to ${connectionsMaxMax}`);
  }
  if (!(connectTimeoutMs > 0 && connectTimeoutMs <= 60_000))
    throw new TypeError("connectTimeoutMs is above 0 and at most 60000");
}

const socketBound = (options: PoolOptions) => ({
  connections: options.connectionsMax,
  pipelining: 1,
  allowH2: false,
  maxHeaderSize: answerHeaderBytesMax,
});

/** A pool that refuses every request: one object that may not be dialled must not stop the others of its snapshot from being served. */
function refusingPool(fault: DialFault, options: PoolOptions): Dispatcher {
  return new Pool("http://refused.invalid", {
    ...socketBound(options),
    connect: (_ignored, callback) => callback(fault, null),
  });
}

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
  return {
    pool(text, poolOptions): Dispatcher {
      assertTls(poolOptions.tls);
      assertBounds(poolOptions);
      const { rules, tls = {}, connectTimeoutMs } = poolOptions;
      const origin = parseOrigin(text);
      const refused = refusal(text, origin, poolOptions.tls);
      if (refused !== null || typeof origin === "string")
        return refusingPool(refused ?? new DialFault("address-refused", "no origin"), poolOptions);
      // What undici passes (hostname, servername from a Host header, socketPath) is ignored: the origin alone says where to go.
      const connect: buildConnector.connector = (_ignored, callback) => {
        dialOrigin({ origin, rules, tls, connectTimeoutMs, resolver, clock, openSocket: open }).then(
          (socket) => callback(null, socket),
          (fault: Error) => callback(fault, null),
        );
      };
      const literal = origin.host.includes(":") ? `[${origin.host}]` : origin.host;
      const url = `${origin.secure ? "https" : "http"}://${literal}:${origin.port}`;
      return new Pool(url, { ...socketBound(poolOptions), connect });
    },
  };
}
