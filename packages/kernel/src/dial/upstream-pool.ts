// Promises a bounded number of connections to one origin, the last one used first, and a bounded line for them; a request that was written is never
// written again, but for one without an effect, once (RFC 9112 §9.3.1). Trusts `dial` for every socket. Specified in docs/dial.md "Requests".
import type { Socket } from "node:net";
import type { Clock } from "../ports.ts";
import { DialFault, toDialFault } from "./dial-fault.ts";
import { Call } from "./upstream-call.ts";
import { type ConnectionOwner, UpstreamConnection } from "./upstream-connection.ts";
import type { UpstreamCounts, UpstreamHandler, UpstreamPool, UpstreamRequest } from "./upstream-port.ts";

/** Requests that may wait for a connection to one origin; each also has its caller's deadline. */
export const waitingMax = 4_096;
/** An idle connection is kept so long where the provider does not say how long it keeps it. */
export const idleMs = 4_000;
/** And at most so long, whatever the provider says. */
export const idleMsMax = 60_000;
/** How much earlier than the provider we let go, so that its end does not meet our request half-way. */
export const idleMarginMs = 1_000;
/** After so long, or so many requests, a connection is replaced: names move, and certificates are renewed. */
export const ageMsMax = 10 * 60_000;
export const requestsMax = 100_000;
/** Connections that became something else than HTTP; beside those of the pool, because each has one caller for as long as it lives. */
export const upgradedMax = 10_000;
const sweepMs = 1_000;

export interface UpstreamPoolOptions {
  /** `host` or `host:port`, for the Host field. */
  readonly host: string;
  readonly connectionsMax: number;
  readonly clock: Pick<Clock, "monotonic">;
  /** A new verified socket. What it reads goes to `received`, or comes as its `data`. Faults: DialFault. */
  dial(received: (bytes: Buffer) => void): Promise<Socket>;
}

export class ConnectionPool implements UpstreamPool, ConnectionOwner {
  readonly #options: UpstreamPoolOptions;
  /** The last one used is the last one here. */
  readonly #idle: UpstreamConnection[] = [];
  readonly #all = new Set<UpstreamConnection>();
  /** Asking for another protocol, or speaking it. */
  readonly #upgraded = new Set<UpstreamConnection>();
  #connecting = 0;
  readonly #waiting: Call[] = [];
  /** Sent once and unanswered: only a new connection will do. */
  readonly #again: Call[] = [];
  #sweep: NodeJS.Timeout | null = null;
  #closing: PromiseWithResolvers<void> | null = null;
  readonly #aborted = (call: Call): void => this.#abortedCall(call);

  constructor(options: UpstreamPoolOptions) {
    this.#options = options;
  }

  counts(): UpstreamCounts {
    return {
      open: this.#all.size + this.#connecting,
      idle: this.#idle.length,
      waiting: this.#waiting.length + this.#again.length,
    };
  }

  send(request: UpstreamRequest, handler: UpstreamHandler): Call {
    const call = new Call(request, { host: this.#options.host, handler, aborted: this.#aborted });
    if (this.#closing !== null) failLater(call, closedFault());
    else if (call.asksUpgrade) this.#sendUpgrade(call);
    else if (this.#waiting.length >= waitingMax)
      failLater(
        call,
        new DialFault("queue-full", `${waitingMax} requests to this provider wait for a connection already`),
      );
    else {
      const connection = this.#waiting.length === 0 ? this.#takeIdle() : null;
      if (connection !== null) connection.send(call);
      else {
        this.#waiting.push(call);
        this.#dialMore();
      }
    }
    return call;
  }

  close(): Promise<void> {
    this.#closing ??= Promise.withResolvers();
    for (const connection of this.#idle.splice(0)) connection.destroy();
    this.#settle();
    return this.#closing.promise;
  }

  destroy(): Promise<void> {
    const closed = this.close();
    for (const call of [...this.#waiting.splice(0), ...this.#again.splice(0)]) call.fail(closedFault());
    for (const connection of [...this.#all, ...this.#upgraded]) connection.giveUp(closedFault());
    this.#settle();
    return closed;
  }

  idle(connection: UpstreamConnection): void {
    const nowMs = this.#options.clock.monotonic();
    const keptMs = this.#closing === null || this.#waiting.length > 0 ? keptFor(connection, nowMs) : 0;
    if (keptMs <= 0) {
      connection.destroy();
      return;
    }
    const next = this.#waiting.shift();
    if (next !== undefined) connection.send(next);
    else this.#keep(connection, nowMs + keptMs);
  }

  gone(connection: UpstreamConnection, unanswered: { readonly call: Call; readonly fault: DialFault } | null): void {
    this.#all.delete(connection);
    const at = this.#idle.indexOf(connection);
    if (at >= 0) this.#idle.splice(at, 1);
    if (unanswered !== null) {
      const { call, fault } = unanswered;
      // The first request of a connection cannot have met the end of an idle one. What is sent again is the first of its connection: so it is once.
      if (connection.requests > 1 && call.maySendAgain) {
        call.connection = null;
        this.#again.push(call);
      } else call.fail(fault);
    }
    this.#dialMore();
    this.#settle();
  }

  #keep(connection: UpstreamConnection, untilMs: number): void {
    connection.idleUntilMs = untilMs;
    this.#idle.push(connection);
    this.#sweep ??= setInterval(() => this.#closeExpired(), sweepMs).unref();
  }

  #takeIdle(): UpstreamConnection | null {
    if (this.#idle.length === 0) return null;
    const nowMs = this.#options.clock.monotonic();
    for (let connection = this.#idle.pop(); connection !== undefined; connection = this.#idle.pop()) {
      if (nowMs < connection.idleUntilMs) return connection;
      connection.destroy();
    }
    return null;
  }

  #closeExpired(): void {
    const nowMs = this.#options.clock.monotonic();
    for (const connection of [...this.#idle]) if (nowMs >= connection.idleUntilMs) connection.destroy();
    if (this.#idle.length > 0 || this.#sweep === null) return;
    clearInterval(this.#sweep);
    this.#sweep = null;
  }

  /** One connection under way for each request that waits, as far as the bound goes. */
  #dialMore(): void {
    const { connectionsMax } = this.#options;
    while (
      this.#connecting < this.#waiting.length + this.#again.length &&
      this.#all.size + this.#connecting < connectionsMax
    )
      this.#dial();
  }

  #dial(): void {
    this.#connecting++;
    const connection = new UpstreamConnection(this);
    this.#options
      .dial((bytes) => connection.received(bytes, false))
      .then(
        (socket) => this.#connected(connection, socket),
        (error: unknown) => this.#notConnected(toDialFault(error)),
      );
  }

  #sendUpgrade(call: Call): void {
    if (this.#upgraded.size >= upgradedMax) {
      failLater(call, new DialFault("queue-full", `${upgradedMax} connections to this provider were upgraded already`));
      return;
    }
    const forget = (connection: UpstreamConnection): void => {
      this.#upgraded.delete(connection);
      this.#settle();
    };
    const connection: UpstreamConnection = new UpstreamConnection({
      idle: (one) => one.destroy(),
      gone: (one, unanswered) => {
        forget(one);
        unanswered?.call.fail(unanswered.fault);
      },
    });
    this.#upgraded.add(connection);
    const failed = (fault: DialFault): void => {
      forget(connection);
      call.fail(fault);
    };
    this.#options
      .dial((bytes) => connection.received(bytes, false))
      .then(
        (socket) => {
          const fault = connection.attach(socket);
          if (fault !== null) failed(fault);
          else if (call.isOver) connection.destroy();
          else connection.send(call);
        },
        (error: unknown) => failed(toDialFault(error)),
      );
  }

  #connected(connection: UpstreamConnection, socket: Socket): void {
    const fault = connection.attach(socket);
    if (fault !== null) {
      this.#notConnected(fault);
      return;
    }
    this.#connecting--;
    this.#all.add(connection);
    const nowMs = this.#options.clock.monotonic();
    connection.madeMs = nowMs;
    const next = this.#again.shift() ?? this.#waiting.shift();
    if (next !== undefined) connection.send(next);
    else if (this.#closing === null) this.#keep(connection, nowMs + idleMs);
    else connection.destroy();
  }

  #notConnected(fault: DialFault): void {
    this.#connecting--;
    (this.#again.shift() ?? this.#waiting.shift())?.fail(fault);
    this.#dialMore();
    this.#settle();
  }

  #abortedCall(call: Call): void {
    // HTTP/1.1 has no other way to give up an answer.
    if (call.connection !== null) call.connection.destroy();
    else for (const line of [this.#waiting, this.#again]) if (line.includes(call)) line.splice(line.indexOf(call), 1);
    this.#settle();
  }

  #settle(): void {
    const running = this.#all.size + this.#upgraded.size + this.#connecting;
    if (this.#closing === null || running + this.#waiting.length + this.#again.length > 0) return;
    if (this.#sweep !== null) clearInterval(this.#sweep);
    this.#sweep = null;
    this.#closing.resolve();
  }
}

/** For how many milliseconds a connection may be used from now on; 0: it is not used again. */
export function keptFor({ requests, madeMs, keepAliveS }: UpstreamConnection, nowMs: number): number {
  if (requests >= requestsMax || nowMs - madeMs >= ageMsMax) return 0;
  if (keepAliveS === null) return idleMs;
  const saidMs = keepAliveS * 1_000;
  return Math.min(idleMsMax, Math.max(saidMs / 2, saidMs - idleMarginMs));
}

function closedFault(): DialFault {
  return new DialFault("aborted", "the connections to this provider are closed");
}

/** Nothing is told before `send` has returned. */
function failLater(call: Call, fault: DialFault): void {
  queueMicrotask(() => call.fail(fault));
}
