// Promises calls to one origin over HTTP/2, many on one connection, on sockets that were resolved, judged, dialled and verified as every other; a call
// is sent again only where its provider says that it never began. Trusts `dial` for every socket, the guard for what a provider said, and node:http2 for windows and states.
// Specified in RFC 9113, docs/dial.md "Requests", docs/decisions/0027-http2-library.md.
import type { Socket } from "node:net";
import { TLSSocket } from "node:tls";
import type { Clock } from "../ports.ts";
import { DialFault, toDialFault } from "./dial-fault.ts";
import { Http2Call } from "./http2-call.ts";
import { Http2Session } from "./http2-session.ts";
import type { UpstreamCounts, UpstreamHandler, UpstreamPool, UpstreamRequest } from "./upstream-port.ts";

/** Calls to one origin at once, with those that wait for a connection; each also has its caller's deadline. */
export const callsMax = 4_096;
/** After so long a connection takes no new call: names move, and certificates are renewed. */
const ageMsMax = 10 * 60_000;

export interface Http2UpstreamOptions {
  /** `host` or `host:port`. */
  readonly host: string;
  readonly secure: boolean;
  readonly clock: Pick<Clock, "monotonic">;
  /** A new verified socket. Faults: DialFault. */
  dial(): Promise<Socket>;
}

export class Http2Upstream implements UpstreamPool {
  readonly #options: Http2UpstreamOptions;
  readonly #calls = new Set<Http2Call>();
  readonly #sessions = new Set<Http2Session>();
  #current: Http2Session | null = null;
  #connecting: Promise<Http2Session> | null = null;
  #closing: PromiseWithResolvers<void> | null = null;

  constructor(options: Http2UpstreamOptions) {
    this.#options = options;
  }

  counts(): UpstreamCounts {
    const waiting = [...this.#calls].filter(({ hasBegun }) => !hasBegun).length;
    return { open: this.#sessions.size, idle: [...this.#sessions].filter(({ calls }) => calls === 0).length, waiting };
  }

  send(request: UpstreamRequest, handler: UpstreamHandler): Http2Call {
    const { host, secure } = this.#options;
    const call = new Http2Call(request, {
      host,
      scheme: secure ? "https" : "http",
      handler,
      ended: () => this.#ended(call),
      again: () => void this.#begin(call),
    });
    if (this.#closing !== null)
      failLater(call, new DialFault("aborted", "the connections to this provider are closed"));
    else if (this.#calls.size >= callsMax)
      failLater(call, new DialFault("queue-full", `${callsMax} calls to this provider are under way already`));
    else {
      this.#calls.add(call);
      void this.#begin(call);
    }
    return call;
  }

  close(): Promise<void> {
    this.#closing ??= Promise.withResolvers();
    this.#settle();
    return this.#closing.promise;
  }

  destroy(): Promise<void> {
    const closed = this.close();
    for (const call of [...this.#calls])
      call.fail(new DialFault("aborted", "the connections to this provider are closed"));
    for (const session of [...this.#sessions]) session.destroy();
    this.#settle();
    return closed;
  }

  async #begin(call: Http2Call): Promise<void> {
    try {
      const session = this.#usable() ?? (await this.#connect());
      if (!call.isOver) session.begin(call);
    } catch (error) {
      call.fail(toDialFault(error));
    }
  }

  #usable(): Http2Session | null {
    const session = this.#current;
    if (session?.isUsable === true && this.#options.clock.monotonic() - session.madeMs < ageMsMax) return session;
    session?.retire();
    this.#current = null;
    return null;
  }

  #connect(): Promise<Http2Session> {
    this.#connecting ??= this.#open().finally(() => {
      this.#connecting = null;
    });
    return this.#connecting;
  }

  async #open(): Promise<Http2Session> {
    const { dial, host, secure, clock } = this.#options;
    const socket = await dial();
    if (secure && !(socket instanceof TLSSocket && socket.alpnProtocol === "h2")) {
      socket.destroy();
      throw new DialFault("protocol", `${host} did not agree on HTTP/2 in the handshake. Let it offer h2 (ALPN)`);
    }
    const session = new Http2Session(socket, {
      host,
      secure,
      madeMs: clock.monotonic(),
      gone: () => this.#gone(session),
    });
    this.#sessions.add(session);
    this.#current = session;
    return session;
  }

  #gone(session: Http2Session): void {
    this.#sessions.delete(session);
    if (this.#current === session) this.#current = null;
    this.#settle();
  }

  #ended(call: Http2Call): void {
    this.#calls.delete(call);
    this.#settle();
  }

  #settle(): void {
    if (this.#closing === null || this.#calls.size > 0) return;
    for (const session of this.#sessions) session.retire();
    if (this.#sessions.size === 0 && this.#connecting === null) this.#closing.resolve();
    else if (this.#connecting !== null)
      void this.#connecting.then(
        () => this.#settle(),
        () => this.#settle(),
      );
  }
}

/** Nothing is told before `send` has returned. */
function failLater(call: Http2Call, fault: DialFault): void {
  queueMicrotask(() => call.fail(fault));
}
