// Promises one request after another on one connection, each begun only when the one before it has been answered and its answer taken: nothing is
// answered out of order or twice. Every wait has its bound. Trusts kernel/http1 for where messages begin and end.
// Specified in RFC 9112 §9 and docs/gateway.md (listen).
import type { Socket } from "node:net";
import { SocketTunnel } from "@sallyport/kernel/dial/byte-tunnel.ts";
import { ContentReader } from "@sallyport/kernel/http1/content-reader.ts";
import { copyOf } from "@sallyport/kernel/http1/held-pieces.ts";
import { type RequestHead, RequestReader } from "@sallyport/kernel/http1/request-reader.ts";
import type { Deny } from "@sallyport/protocol/verdict.ts";
import type { DoorKeeping } from "../admit/door.ts";
import { type Source, sourceOf } from "../admit/source-prefix.ts";
import type { BoundListener, Exchange } from "../exchange.ts";
import { Presented } from "../identify/presented.ts";
import type { ListenBounds } from "../ports.ts";
import { RepeatedSection } from "../receive/repeated-section.ts";
import { type AnswerOwner, type CallerAnswer, Http1Answer } from "./caller-answer.ts";
import { type ContentSource, Incoming } from "./incoming.ts";
import { keepAliveGraceMs, lingerBytesMax, lingerMs, pipelinedBytesMax, unwantedBytesMax } from "./input-bounds.ts";
import type { InputBuffers } from "./input-buffers.ts";
import type { ListedConnection } from "./listed-connection.ts";
import { contentRefusal, headRefusal, timeoutRefusal } from "./parse-error.ts";
import type { RefusedConnection } from "./refused-connection.ts";
import { readInto } from "./shared-reads.ts";
import { UnreadInput } from "./unread-input.ts";

/** What the gateway does with what arrives. */
export interface ListenerHandler {
  /** Where connections are counted; absent: only all of a listener are. */
  readonly door?: DoorKeeping;
  begin(incoming: Incoming, answer: CallerAnswer, on: ConnectionFacts & { readonly listener: BoundListener }): Exchange;
  /** Runs the pipeline. */
  serve(exchange: Exchange): void;
  /** Ends an exchange that never became a request. */
  refuse(exchange: Exchange, verdict: Deny): void;
  /** Its answer has left, or never will: exactly once for each that began. */
  closed(exchange: Exchange): void;
  connectionRefused(reason: RefusedConnection): void;
  /** What had begun like a request ended before it was one, and without an answer. */
  unread(): void;
}

export interface ConnectionFacts {
  readonly source: Source;
  readonly presented: Presented;
  readonly section: RepeatedSection;
}

/** What the connections of one listener have in common. */
export interface ConnectionHost {
  readonly bounds: ListenBounds;
  readonly handler: ListenerHandler;
  readonly keepAliveLines: string;
  /** Of all their reads (shared-reads.ts). */
  readonly reads: Buffer;
  /** Of what they have received and not read yet. */
  readonly inputs: InputBuffers;
  bound(): BoundListener;
  ended(connection: ListedConnection): void;
}

/** `fresh`: nothing has come yet; `serving`: a request is under way, or the rest of its content is thrown away; `lingering`: answered for the last time. */
type State = "fresh" | "idle" | "head" | "serving" | "lingering" | "closed";

export class Connection implements AnswerOwner, ContentSource, ListedConnection {
  readonly socket: Socket;
  readonly keepAliveLines: string;
  readonly whenFlushed: (error?: Error | null) => void;
  /** Of the list of its listener. */
  before: ListedConnection | null = null;
  behind: ListedConnection | null = null;
  /** Monotonic milliseconds at which the wait under way is over. */
  dueAtMs: number;
  readonly #host: ConnectionHost;
  readonly #facts: ConnectionFacts;
  readonly #input: UnreadInput;
  readonly #heads: RequestReader;
  #contents: ContentReader | null = null;
  #state: State = "fresh";
  #headSinceMs = 0;
  #requests = 0;
  #incoming: Incoming | null = null;
  #answer: Http1Answer | null = null;
  #exchange: Exchange | null = null;
  /** What comes now was sent before the last answer left. */
  #isPipelined = false;
  /** Where the next request begins is not known any more. */
  #isLost = false;
  #isPaused = false;
  #isReading = false;
  /** What is read will be overwritten by the next read, of whichever connection. */
  readonly #isShared: boolean;
  /** Thrown away since the last answer. */
  #unwantedBytes = 0;
  #tunnel: SocketTunnel | null = null;

  constructor(socket: Socket, host: ConnectionHost, source = sourceOf(socket.remoteAddress)) {
    this.socket = socket;
    this.keepAliveLines = host.keepAliveLines;
    this.#host = host;
    this.#input = new UnreadInput(host.inputs);
    this.#facts = { source, presented: new Presented(), section: new RepeatedSection() };
    this.#heads = new RequestReader({ headBytesMax: host.bounds.headerBytesMax, fieldsMax: host.bounds.headersMax });
    this.dueAtMs = performance.now() + host.bounds.headersTimeoutMs;
    this.whenFlushed = (error) => this.#flushed(error ?? null);
    const shared = host.reads;
    const isShared = readInto(socket, shared, (count) => {
      this.#read(shared.subarray(0, count));
      const moved = this.#input.keep();
      if (moved !== 0 && this.#state === "head") this.#heads.moved(moved);
    });
    this.#isShared = isShared;
    if (!isShared) socket.on("data", (octets: Buffer) => this.#read(octets));
    socket.on("drain", () => this.#answer?.drained());
    socket.on("end", () => this.#ended());
    socket.on("error", () => socket.destroy());
    socket.on("close", () => this.#closed());
  }

  cut(): void {
    this.socket.destroy();
  }

  switchProtocols(head: string): SocketTunnel | null {
    if (this.#state !== "serving" || this.#input.size > 0 || this.#isLost) return null;
    this.socket.write(head, "latin1");
    const tunnel = new SocketTunnel(this);
    this.#tunnel = tunnel;
    return tunnel;
  }

  endTunnel(): void {
    this.#linger();
  }

  cutSoon(): void {
    this.dueAtMs = performance.now() + lingerMs;
    this.socket.destroySoon();
  }

  pauseContent(): void {
    this.#pause();
  }

  resumeContent(): void {
    this.#resume();
  }
  /** An answer that nobody takes does not hold its connection for ever. */
  waitsForFlush(): void {
    this.dueAtMs = Math.min(this.dueAtMs, performance.now() + this.#host.bounds.requestTimeoutMs);
  }

  /** The wait under way has lasted too long. */
  overdue(): void {
    this.dueAtMs = Number.POSITIVE_INFINITY;
    if (this.#state === "head" && this.#heads.hasBegun) this.#refuse(timeoutRefusal("head"));
    // A request whose content does not end is answered; an answer that nobody takes, and any other wait, just ends.
    else if (this.#exchange !== null && this.#answer?.writableEnded === false)
      this.#loseContent(timeoutRefusal("content"));
    else this.cut();
  }

  #read(octets: Buffer): void {
    if (this.#state === "lingering" || this.#isLost) {
      this.#unwantedBytes += octets.length;
      if (this.#unwantedBytes > lingerBytesMax) this.cut();
      return;
    }
    if (this.#tunnel !== null) {
      this.#tunnel.push(this.#isShared ? Buffer.from(octets) : octets);
      return;
    }
    const moved = this.#input.add(octets);
    if (moved !== 0 && this.#state === "head") this.#heads.moved(moved);
    this.#goOn();
  }

  /** Reads as far as it may: what an answer within this call makes possible is read by the loop that is running already. */
  #goOn(): void {
    if (this.#isReading) return;
    this.#isReading = true;
    while (this.#step()) {
      // Each step has read a head or the end of a message.
    }
    this.#isReading = false;
    if (this.#state === "serving" && this.#input.size > pipelinedBytesMax) this.#pause();
  }

  #step(): boolean {
    switch (this.#state) {
      case "fresh":
      case "idle":
        if (this.#input.size === 0) return false;
        this.#headSinceMs = performance.now();
        this.dueAtMs = this.#headSinceMs + this.#host.bounds.headersTimeoutMs;
        this.#heads.begin(this.#input.from);
        this.#state = "head";
        return this.#readHead();
      case "head":
        return this.#readHead();
      case "serving":
        return this.#incoming?.complete === false && !this.#isLost && this.#readContent();
      default:
        return false;
    }
  }

  #readHead(): boolean {
    const head = this.#heads.read(this.#input.octets, this.#input.end);
    if (head === null) return false;
    if (typeof head === "string") {
      this.#refuse(headRefusal(head));
      return false;
    }
    this.#input.readTo(this.#heads.at);
    this.#begin(head);
    return true;
  }

  #begin(head: RequestHead): void {
    const { handler, bounds } = this.#host;
    const { framing } = head;
    const complete = framing.contentLength === 0;
    const { method, target: url, rawHeaders } = head;
    const incoming = new Incoming({ method, url, httpVersion: `1.${head.minorVersion}`, rawHeaders, complete }, this);
    const answer = new Http1Answer(this, { toHead: method === "HEAD" });
    answer.shouldKeepAlive = ++this.#requests < bounds.requestsPerSocketMax && !framing.closes;
    const exchange = this.#start(incoming, answer);
    if (framing.expectsContinue)
      exchange.continueWanted = () => {
        exchange.continueWanted = null;
        answer.writeContinue();
      };
    if (!complete) {
      this.dueAtMs = this.#headSinceMs + bounds.requestTimeoutMs;
      this.#contents ??= new ContentReader();
      this.#contents.begin(framing.contentLength);
      // What came with the head: a request that is broken already is none.
      this.#readContent();
    }
    if (exchange.framingDeny === null) handler.serve(exchange);
    else handler.refuse(exchange, exchange.framingDeny);
  }

  #start(incoming: Incoming, answer: Http1Answer): Exchange {
    this.#state = "serving";
    this.dueAtMs = Number.POSITIVE_INFINITY;
    this.#incoming = incoming;
    this.#answer = answer;
    const { source, presented, section } = this.#facts;
    const listener = this.#host.bound();
    const exchange = this.#host.handler.begin(incoming, answer, { listener, source, presented, section });
    this.#exchange = exchange;
    return exchange;
  }

  /** True at the end of the request. */
  #readContent(): boolean {
    const input = this.#input;
    const contents = this.#contents;
    const incoming = this.#incoming;
    if (contents === null || incoming === null || input.size === 0) return false;
    const read = contents.read(input.octets, input.from, input.end);
    const piece = contents.take(input.octets);
    // Others will write where it lies.
    const passing = this.#isShared || input.isOwn ? input.octets.buffer : null;
    input.readTo(contents.at);
    if (piece !== null) this.#give(incoming, piece, passing);
    if (read === "more") return false;
    if (read !== "over") {
      this.#loseContent(contentRefusal(read));
      return false;
    }
    if (this.#exchange === null) this.#becomeIdle();
    else if (this.#answer?.writableEnded === false) this.dueAtMs = Number.POSITIVE_INFINITY;
    incoming.finish();
    return true;
  }

  #give(incoming: Incoming, piece: Buffer, passing: ArrayBufferLike | null): void {
    if (this.#exchange !== null) {
      incoming.push(piece.buffer === passing ? copyOf(piece, this.#contents?.isOver === true) : piece);
      return;
    }
    this.#unwantedBytes += piece.length;
    if (this.#unwantedBytes > unwantedBytesMax) this.#linger();
  }

  /** The rest of the request is not HTTP, or does not come: what is under way has its one answer, and then the connection ends. */
  #loseContent(verdict: Deny): void {
    this.#isLost = true;
    this.#input.clear();
    this.dueAtMs = Number.POSITIVE_INFINITY;
    const exchange = this.#exchange;
    if (exchange === null || this.#answer === null) {
      this.#linger();
      return;
    }
    this.#answer.shouldKeepAlive = false;
    exchange.framingDeny = verdict;
    exchange.onFramingError?.(verdict);
  }

  /** Answers what never became a request. Behind a good one that was sent with it nothing is answered: the connection just ends. */
  #refuse(verdict: Deny): void {
    if (this.#isPipelined && verdict.code !== "request-timeout") {
      this.#host.handler.unread();
      this.#linger();
      return;
    }
    this.#isLost = true;
    this.#input.clear();
    const incoming = new Incoming({ method: "", url: "", httpVersion: "", rawHeaders: [], complete: true }, this);
    const answer = new Http1Answer(this, { toHead: false });
    answer.shouldKeepAlive = false;
    this.#host.handler.refuse(this.#start(incoming, answer), verdict);
  }

  /** The last octet of the answer was taken by the system, or will not be. */
  #flushed(error: Error | null): void {
    const answer = this.#answer;
    const incoming = this.#incoming;
    if (error !== null || answer === null || incoming === null || this.#state !== "serving") return;
    answer.writableFinished = true;
    this.#endExchange();
    if (!answer.shouldKeepAlive) {
      if (this.#requests >= this.#host.bounds.requestsPerSocketMax && this.#input.size > 0)
        this.#host.handler.connectionRefused("requests-per-socket");
      this.#linger();
      return;
    }
    if (incoming.complete) this.#becomeIdle();
    else {
      // Whoever still takes it (a provider that answered early) must not wait for the rest.
      this.#unwantedBytes = 0;
      incoming.lose();
    }
    this.#resume();
    this.#goOn();
  }

  #endExchange(): void {
    const exchange = this.#exchange;
    this.#exchange = null;
    if (exchange !== null) this.#host.handler.closed(exchange);
  }

  #becomeIdle(): void {
    this.#incoming = null;
    this.#answer = null;
    this.#isPipelined = this.#input.size > 0;
    this.#state = "idle";
    this.dueAtMs = performance.now() + this.#host.bounds.keepAliveTimeoutMs + keepAliveGraceMs;
  }

  /** RFC 9112 §9.6: our side ends, and the other is read a little longer. */
  #linger(): void {
    this.#state = "lingering";
    this.#input.clear();
    this.#unwantedBytes = 0;
    this.dueAtMs = performance.now() + lingerMs;
    this.socket.end();
    this.#resume();
  }

  #pause(): void {
    if (this.#isPaused) return;
    this.#isPaused = true;
    this.socket.pause();
  }

  #resume(): void {
    if (!this.#isPaused) return;
    this.#isPaused = false;
    this.socket.resume();
  }

  /** The caller has ended its side: with a request under way that is a caller that went away. */
  #ended(): void {
    this.#tunnel?.lost();
    if (this.#exchange === null) return;
    if (this.#answer?.writableEnded === true) this.#answer.shouldKeepAlive = false;
    else this.cut();
  }

  #closed(): void {
    if (this.#state === "closed") return;
    if (this.#state === "head" && this.#heads.hasBegun) this.#host.handler.unread();
    this.#state = "closed";
    this.#tunnel?.lost();
    this.#input.clear();
    this.#host.ended(this);
    if (this.#answer !== null) this.#answer.destroyed = true;
    this.#endExchange();
    this.#incoming?.lose();
    this.#incoming = null;
    this.#answer = null;
  }
}
