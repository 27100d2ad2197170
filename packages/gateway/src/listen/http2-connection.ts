// Promises the requests of one HTTP/2 connection, each on a stream of its own and each with its one answer, and an end without a lost request: whoever
// is told to go elsewhere knows what was begun. Every wait and every flood has its bound. Trusts the guard (kernel/http2) for what was sent, and
// node:http2 for flow control, the states of streams and what is written. Specified in RFC 9113, docs/http2.md, docs/decisions/0027-http2-library.md.
import { performServerHandshake, type ServerHttp2Session, type ServerHttp2Stream } from "node:http2";
import type { TLSSocket } from "node:tls";
import { type FrameFault, FrameGuard, type ReadBlock } from "@sallyport/kernel/http2/frame-guard.ts";
import { frame, frameType } from "@sallyport/kernel/http2/frames.ts";
import { GuardedSocket } from "@sallyport/kernel/http2/guarded-socket.ts";
import { judgeTrailers } from "@sallyport/protocol/canonical/http2-fields.ts";
import { deny } from "@sallyport/protocol/verdict.ts";
import { sourceOf } from "../admit/source-prefix.ts";
import { Presented } from "../identify/presented.ts";
import { RepeatedSection } from "../receive/repeated-section.ts";
import type { ConnectionFacts, ConnectionHost } from "./connection.ts";
import { lastWordBytesMax, lastWordMs, sessionOptions, windDownMs } from "./http2-bounds.ts";
import { StreamCrossing, type StreamHost } from "./http2-stream.ts";
import type { ListedConnection } from "./listed-connection.ts";

/** Of RFC 9113 §6.8: names no stream yet, so that what is on its way is still served. */
const anyStream = 2 ** 31 - 1;

export class Http2Connection implements ListedConnection, StreamHost {
  readonly socket: TLSSocket;
  before: ListedConnection | null = null;
  behind: ListedConnection | null = null;
  /** Looked at whenever the listener looks. */
  readonly dueAtMs = 0;
  readonly bounds: ConnectionHost["bounds"];
  readonly handler: ConnectionHost["handler"];
  readonly #host: ConnectionHost;
  readonly #facts: ConnectionFacts;
  readonly #guard: FrameGuard;
  readonly #wire: GuardedSocket;
  readonly #session: ServerHttp2Session;
  /** Heads the guard has read, until the library shows their streams: both in the order of the streams. */
  readonly #heads = new Map<number, ReadBlock>();
  readonly #crossings = new Map<number, StreamCrossing>();
  #requests = 0;
  /** Since when a header block, or the beginning of the connection, has been waited for. */
  #midwaySinceMs: number | null;
  readonly #sinceMs = performance.now();
  #idleSinceMs = this.#sinceMs;
  /** When the last word is said, once the first one is. */
  #lastWordAtMs: number | null = null;
  /** Nothing is read any more; cut by then. */
  #cutAtMs: number | null = null;
  #unwantedBytes = 0;

  constructor(socket: TLSSocket, host: ConnectionHost, source = sourceOf(socket.remoteAddress)) {
    this.socket = socket;
    this.bounds = host.bounds;
    this.handler = host.handler;
    this.#host = host;
    this.#midwaySinceMs = this.#sinceMs;
    this.#facts = { source, presented: new Presented(), section: new RepeatedSection() };
    const { headerBytesMax, headersMax } = host.bounds;
    // Four more for the pseudo-header fields, which stand for the request line.
    const bounds = { listBytesMax: headerBytesMax, fieldsMax: headersMax + 4, blockBytesMax: headerBytesMax };
    this.#guard = new FrameGuard(
      { peer: "client", bounds, now: () => performance.now() },
      {
        pass: (octets) => this.#wire.pass(octets),
        head: (stream, block) => this.#heads.set(stream, block),
        trailers: (stream, block) => this.#trailers(stream, block),
        reset: (stream) => this.#reset(stream),
      },
    );
    this.#wire = new GuardedSocket(socket, (bytes) => this.#guard.budget.sent(bytes));
    this.#session = performServerHandshake(this.#wire, sessionOptions(host.bounds));
    this.#listen();
  }

  on(): ReturnType<StreamHost["on"]> {
    const { source, presented, section } = this.#facts;
    return { listener: this.#host.bound(), source, presented, section };
  }

  cut(): void {
    this.socket.destroy();
  }

  /** In two words (RFC 9113 §6.8): what is on its way when the first one is heard is still served. */
  windDown(): void {
    if (this.#lastWordAtMs !== null || this.#session.destroyed) return;
    this.#lastWordAtMs = performance.now() + windDownMs;
    this.#session.goaway(0, anyStream);
  }

  overdue(): void {
    const nowMs = performance.now();
    if (this.#cutAtMs !== null) {
      if (nowMs >= this.#cutAtMs) this.cut();
      return;
    }
    for (const crossing of this.#crossings.values()) crossing.look(nowMs);
    const { headersTimeoutMs, keepAliveTimeoutMs } = this.bounds;
    const isSlow = this.#midwaySinceMs !== null && nowMs - this.#midwaySinceMs >= headersTimeoutMs;
    if (isSlow || (this.#guard.owesAck && nowMs - this.#sinceMs >= headersTimeoutMs)) {
      if (isSlow && this.#guard.isMidway) this.handler.unread();
      this.cut();
      return;
    }
    if (this.#crossings.size === 0 && nowMs - this.#idleSinceMs >= keepAliveTimeoutMs) this.windDown();
    if (this.#lastWordAtMs === null || nowMs < this.#lastWordAtMs) return;
    this.#lastWordAtMs = Number.POSITIVE_INFINITY;
    // Says which stream was the last, and ends when it does.
    this.#session.close();
    if (this.#crossings.size === 0) this.#cutAtMs = nowMs + lastWordMs;
  }

  #listen(): void {
    const { socket } = this;
    socket.on("data", (octets: Buffer) => this.#read(octets));
    socket.on("end", () => this.#ended());
    socket.on("error", () => socket.destroy());
    socket.on("close", () => this.#closed());
    this.#wire.on("error", () => {
      // The connection has its own.
    });
    this.#session.on("error", () => {
      // What the library refuses ends with its streams, and their ends are told.
    });
    this.#session.on("stream", (stream) => this.#begin(stream));
  }

  #read(octets: Buffer): void {
    if (this.#cutAtMs !== null) {
      this.#unwantedBytes += octets.length;
      if (this.#unwantedBytes > lastWordBytesMax) this.cut();
      return;
    }
    const fault = this.#guard.read(octets);
    if (fault !== null) this.#refuse(fault);
    else if (!this.#guard.isMidway) this.#midwaySinceMs = null;
    else this.#midwaySinceMs ??= performance.now();
  }

  /** Nothing behind a fault can be believed: the connection says why, and ends with everything on it. */
  #refuse({ code }: FrameFault): void {
    if (this.#cutAtMs !== null) return;
    this.#cutAtMs = performance.now() + lastWordMs;
    this.handler.connectionRefused("http2");
    const said = Buffer.alloc(8);
    said.writeUInt32BE(Math.max(0, ...this.#crossings.keys()), 0);
    said.writeUInt32BE(code, 4);
    this.#wire.leave();
    this.#session.destroy();
    this.socket.end(frame({ type: frameType.goAway, flags: 0, stream: 0 }, said));
    this.socket.resume();
  }

  #begin(stream: ServerHttp2Stream): void {
    stream.on("error", () => {
      // Its code is what its end looks at; without anybody who listens it would end the process, also for a stream that is over already.
    });
    const id = stream.id ?? 0;
    const block = this.#heads.get(id);
    this.#heads.delete(id);
    this.#dropBefore(id);
    if (block === undefined || stream.destroyed) {
      this.handler.unread();
      if (!stream.destroyed) stream.destroy();
      this.#guard.closed(id);
      return;
    }
    if (++this.#requests >= this.bounds.requestsPerSocketMax) this.windDown();
    const crossing = new StreamCrossing(stream, block, this);
    this.#crossings.set(id, crossing);
    stream.once("close", () => this.#streamClosed(id, crossing));
    const refused = this.#refusedTrailers.get(id);
    if (refused !== undefined) crossing.loseContent(refused);
    this.#refusedTrailers.delete(id);
    crossing.serve();
  }

  /** Streams the library refused (over its bounds, or behind the last word): it shows the others in their order. */
  #dropBefore(id: number): void {
    for (const earlier of this.#heads.keys()) {
      if (earlier >= id) break;
      this.#heads.delete(earlier);
      this.#guard.closed(earlier);
      this.handler.unread();
    }
  }

  /** Of requests that have not been shown yet. */
  readonly #refusedTrailers = new Map<number, ReturnType<typeof deny>>();

  #trailers(id: number, { fields, isTooLarge }: ReadBlock): void {
    const why = isTooLarge ? "the trailers are too large" : judgeTrailers(fields);
    if (why === null) return;
    const verdict = deny("receive", "bad-header", { why });
    const crossing = this.#crossings.get(id);
    if (crossing !== undefined) crossing.loseContent(verdict);
    else if (this.#heads.has(id)) this.#refusedTrailers.set(id, verdict);
  }

  #reset(id: number): void {
    const crossing = this.#crossings.get(id);
    if (crossing !== undefined) crossing.isReset = true;
  }

  #streamClosed(id: number, { isReset, stream }: StreamCrossing): void {
    this.#crossings.delete(id);
    this.#guard.closed(id);
    this.#idleSinceMs = performance.now();
    // Streams that a caller makes us reset cost what its own resets cost (CVE-2025-8671).
    const isOurs = stream.rstCode !== 0 && !isReset && this.#cutAtMs === null;
    if (isOurs && !this.#guard.budget.take("reset")) this.#refuse({ name: "reset-flood", code: calmDown });
    if (this.#lastWordAtMs === Number.POSITIVE_INFINITY && this.#crossings.size === 0)
      this.#cutAtMs ??= performance.now() + lastWordMs;
  }

  /** The caller has ended its side: with requests under way it went away. */
  #ended(): void {
    if (this.#crossings.size > 0 || this.#cutAtMs !== null) this.cut();
    else {
      this.#session.close();
      this.#cutAtMs = performance.now() + lastWordMs;
    }
  }

  #closed(): void {
    this.#host.ended(this);
    this.#session.destroy();
    for (const _ of this.#heads.keys()) this.handler.unread();
    this.#heads.clear();
  }
}

/** ENHANCE_YOUR_CALM (RFC 9113 §7). */
const calmDown = 11;
