// Promises one connection to a provider that carries one request at a time: what comes when nothing was asked ends it, and an answer only ever
// reaches the request it was sent for. Trusts its pool for the socket. RFC 9112 §9; docs/decisions/0021-own-upstream-client.md.
import type { Socket } from "node:net";
import { ResponseParser, type ResponseSink } from "../http1/response-parser.ts";
import { SocketTunnel } from "./byte-tunnel.ts";
import { DialFault } from "./dial-fault.ts";
import { hangUpHint, lateAlertFault } from "./tls-alert.ts";
import { type Call, isStreamed } from "./upstream-call.ts";
import { SentContent } from "./upstream-content.ts";

/** Content up to this size leaves in one write with its head. */
const joinedBytesMax = 16 * 1024;

/** How long a tunnel that was ended waits for its last octets to leave. */
const tunnelLingerMs = 1_000;

/** Who owns it. */
export interface ConnectionOwner {
  /** The answer is over and another request may follow. */
  idle(connection: UpstreamConnection): void;
  /** The connection is closed, or about to be. `unanswered`: its request, if not one byte of an answer came. */
  gone(connection: UpstreamConnection, unanswered: { readonly call: Call; readonly fault: DialFault } | null): void;
}

export class UpstreamConnection implements ResponseSink {
  readonly #owner: ConnectionOwner;
  readonly #parser = new ResponseParser(this);
  #socket: Socket | null = null;
  #call: Call | null = null;
  #sending: SentContent | null = null;
  #isGone = false;
  /** Once it is HTTP no more. */
  #tunnel: SocketTunnel | null = null;
  /** Requests sent on it. */
  requests = 0;
  /** Milliseconds, monotonic; set by the pool. */
  madeMs = 0;
  idleUntilMs = 0;
  /** Seconds for which the provider said it leaves an idle connection open; null: it did not say. */
  keepAliveS: number | null = null;

  constructor(owner: ConnectionOwner) {
    this.#owner = owner;
  }

  get isGone(): boolean {
    return this.#isGone;
  }

  /** Null, or why this socket is of no use. */
  attach(socket: Socket): DialFault | null {
    socket.on("error", (error: Error & { code?: string }) => this.#lost(error.code ?? "error"));
    socket.on("end", () => this.#ended());
    socket.on("close", () => this.#lost("closed"));
    // What a provider says before it is asked would be the answer to the first request (and, behind TLS, lies in the socket's own buffer).
    if (this.#isGone || socket.readableLength > 0 || socket.destroyed) {
      this.#isGone = true;
      socket.destroy();
      return new DialFault("protocol", "the provider sent bytes before any request, or closed at once");
    }
    this.#socket = socket;
    socket.on("data", (bytes: Buffer) => this.received(bytes, true));
    return null;
  }

  /** Bytes of the socket. `isOurs`: nobody writes into them again. */
  received(bytes: Buffer, isOurs: boolean): void {
    if (this.#tunnel !== null) this.#tunnel.push(isOurs ? bytes : Buffer.from(bytes));
    else if (this.#call !== null) this.#parser.feed(bytes, isOurs);
    // Nothing was asked: whatever this is, it must not meet the next request. Before `attach` its owner does not have it yet.
    else if (this.#socket === null) this.#isGone = true;
    else this.destroy();
  }

  /** Only while it is idle. */
  send(call: Call): void {
    const socket = this.#socket;
    if (socket === null) return;
    this.#call = call;
    call.connection = this;
    call.wasSent = true;
    this.requests++;
    this.#parser.begin(call.method, call.asksUpgrade);
    const { head, content } = call;
    if (content === null) socket.write(head, "latin1");
    else if (isStreamed(content)) {
      socket.write(head, "latin1");
      this.#sending = new SentContent(content, {
        socket,
        about: (bytes) => {
          call.handler.onContentSent(bytes);
          return !call.isOver;
        },
        wrong: (why) => {
          call.fail(new DialFault("aborted", why));
          this.destroy();
        },
      });
    } else if (content.length <= joinedBytesMax) {
      const joined = Buffer.allocUnsafe(head.length + content.length);
      joined.write(head, 0, "latin1");
      joined.set(content, head.length);
      socket.write(joined);
    } else {
      socket.cork();
      socket.write(head, "latin1");
      socket.write(content);
      socket.uncork();
    }
  }

  pause(): void {
    this.#socket?.pause();
  }

  resume(): void {
    this.#socket?.resume();
  }

  destroy(): void {
    if (!this.#isGone) this.#leave(null);
  }

  /** Ends it and what runs on it. */
  giveUp(fault: DialFault): void {
    const call = this.#call;
    this.destroy();
    call?.fail(fault);
  }

  onHead(): void {
    const { head } = this.#parser;
    this.keepAliveS = head.keepAliveS;
    // RFC 9112 §9.5: who refuses is not sent the rest; then nothing else can follow on this connection.
    if (head.status >= 400) this.#sending?.stop();
    this.#call?.handler.onHead(head.status, head.fields);
  }

  onContent(content: Buffer): void {
    this.#call?.handler.onContent(content);
  }

  onEnd(isReusable: boolean): void {
    const call = this.#call;
    this.#call = null;
    if (call === null) return;
    const isSent = this.#sending === null || this.#sending.isDone;
    this.#sending?.stop();
    this.#sending = null;
    // The answer is over, whatever becomes of the connection; let go first, so that the handler's next request may have it.
    call.end();
    call.connection = null;
    if (call.isPaused) this.#socket?.resume();
    if (isReusable && isSent && this.#socket?.writable === true) this.#owner.idle(this);
    else this.destroy();
    call.handler.onEnd();
  }

  onUpgrade(rest: Buffer): void {
    const call = this.#call;
    const socket = this.#socket;
    if (call === null || socket === null) return;
    this.#call = null;
    this.#tunnel = new SocketTunnel({
      socket,
      pauseContent: () => void socket.pause(),
      resumeContent: () => void socket.resume(),
      endTunnel: () => {
        socket.end();
        // What it still says is thrown away; a connection with unread octets would be reset, and with it our last word.
        socket.resume();
        setTimeout(() => this.destroy(), tunnelLingerMs).unref();
      },
      cut: () => this.destroy(),
    });
    if (rest.length > 0) this.#tunnel.push(rest);
    call.end();
    call.connection = null;
    if (call.handler.onUpgrade === undefined) this.destroy();
    else call.handler.onUpgrade(this.#parser.head.fields, this.#tunnel);
  }

  onMalformed(why: string): void {
    const call = this.#call;
    this.#call = null;
    this.destroy();
    call?.fail(new DialFault("protocol", why));
  }

  #ended(): void {
    if (this.#tunnel !== null) this.#tunnel.lost();
    else if (this.#call === null || !this.#parser.hasBegun) this.#lost("closed");
    else this.#parser.eof();
  }

  /** Broken or closed by the other side. */
  #lost(code: string): void {
    if (this.#isGone) return;
    this.#tunnel?.lost();
    const call = this.#call;
    this.#call = null;
    if (call === null || call.isOver) {
      this.#leave(null);
      return;
    }
    if (this.#parser.hasBegun) {
      this.#leave(null);
      call.fail(new DialFault("protocol", `the connection broke in the middle of the answer (${code})`));
      return;
    }
    const reused =
      this.requests > 1 ? ", on a connection that had been idle: the provider may have been closing it" : "";
    const hint = hangUpHint(this.#socket);
    this.#leave({
      call,
      fault:
        lateAlertFault(code, this.#socket) ??
        new DialFault("connect-failed", `the connection ended without a byte of an answer (${code})${reused || hint}`),
    });
  }

  #leave(unanswered: { readonly call: Call; readonly fault: DialFault } | null): void {
    this.#isGone = true;
    this.#call = null;
    this.#sending?.stop();
    this.#sending = null;
    this.#parser.stop();
    this.#socket?.destroy();
    this.#owner.gone(this, unanswered);
  }
}
