// Promises one request on one stream and its one answer: what the guard read of its head, its content within the length it declared, and an end that
// is told exactly once. Trusts the guard for the fields and the library for the order. Specified in RFC 9113 §8.1.
import { constants, type ServerHttp2Stream } from "node:http2";
import type { Socket } from "node:net";
import type { ReadBlock } from "@sallyport/kernel/http2/frame-guard.ts";
import { type Deny, deny } from "@sallyport/protocol/verdict.ts";
import type { Exchange } from "../exchange.ts";
import type { ListenBounds } from "../ports.ts";
import type { ListenerHandler } from "./connection.ts";
import { Http2Answer } from "./http2-answer.ts";
import { type ContentSource, Incoming } from "./incoming.ts";
import { timeoutRefusal } from "./parse-error.ts";

export interface StreamHost {
  readonly socket: Socket;
  readonly bounds: ListenBounds;
  readonly handler: ListenerHandler;
  on(): Parameters<ListenerHandler["begin"]>[2];
  windDown(): void;
}

const plainLength = /^(?:0|[1-9][0-9]{0,14})$/;

export class StreamCrossing implements ContentSource {
  readonly socket: Socket;
  readonly stream: ServerHttp2Stream;
  readonly #host: StreamHost;
  readonly #incoming: Incoming;
  readonly #answer: Http2Answer;
  readonly #exchange: Exchange;
  /** Octets of content still owed; null: nobody said how many. */
  #owed: number | null;
  #isLost = false;
  /** Monotonic milliseconds: the content, or the taking of the answer, must be over by then. */
  #dueAtMs = Number.POSITIVE_INFINITY;
  /** The caller gave it up itself. */
  isReset = false;

  constructor(stream: ServerHttp2Stream, block: ReadBlock, host: StreamHost) {
    this.socket = host.socket;
    this.stream = stream;
    this.#host = host;
    const { fields, endsStream: complete } = block;
    const method = fieldOf(fields, ":method") ?? "";
    const url = fieldOf(fields, ":path") ?? "";
    this.#incoming = new Incoming({ method, url, httpVersion: "2", rawHeaders: fields, complete }, this);
    const owner = {
      windDown: () => host.windDown(),
      answered: () => this.#answered(),
      giveUp: (code: number) => this.#giveUp(code),
    };
    this.#answer = new Http2Answer(stream, owner, { toHead: method === "HEAD" });
    const length = fieldOf(fields, "content-length");
    this.#owed = length !== undefined && plainLength.test(length) ? Number(length) : null;
    this.#exchange = host.handler.begin(this.#incoming, this.#answer, host.on());
    if (!complete) this.#dueAtMs = performance.now() + host.bounds.requestTimeoutMs;
    this.#listen(fieldOf(fields, "expect") !== undefined);
    if (block.isTooLarge) this.#refuse(deny("receive", "header-too-large", { parser: "header-list" }));
  }

  /** Runs the pipeline, or ends what turned out to be no request meanwhile. */
  serve(): void {
    if (this.#isLost) this.#host.handler.refuse(this.#exchange, this.#exchange.framingDeny ?? lost);
    else this.#host.handler.serve(this.#exchange);
  }

  pauseContent(): void {
    this.stream.pause();
  }

  resumeContent(): void {
    this.stream.resume();
  }

  /** What it waits for has lasted too long. */
  look(nowMs: number): void {
    if (nowMs < this.#dueAtMs) return;
    this.#dueAtMs = Number.POSITIVE_INFINITY;
    // Nobody takes the answer.
    if (this.#answer.writableEnded) this.#giveUp(constants.NGHTTP2_CANCEL);
    else this.loseContent(timeoutRefusal("content"));
  }

  /** The rest of the request is none: what is under way has its one answer. */
  loseContent(verdict: Deny): void {
    if (this.#isLost || this.#incoming.complete) return;
    this.#refuse(verdict);
    this.#exchange.onFramingError?.(verdict);
  }

  #giveUp(code: number): void {
    this.#isLost = true;
    if (this.stream.destroyed) return;
    this.stream.close(code);
    // The library ends a stream only once what it holds of it has been read.
    this.stream.resume();
  }

  #refuse(verdict: Deny): void {
    this.#isLost = true;
    this.#dueAtMs = Number.POSITIVE_INFINITY;
    this.#exchange.framingDeny = verdict;
  }

  #listen(expectsContinue: boolean): void {
    const { stream } = this;
    if (expectsContinue && !this.#incoming.complete)
      this.#exchange.continueWanted = () => {
        this.#exchange.continueWanted = null;
        this.#answer.writeContinue();
      };
    stream.on("data", (piece: Buffer) => this.#take(piece));
    stream.on("end", () => this.#ended());
    stream.on("close", () => this.#closed());
  }

  #take(piece: Buffer): void {
    if (this.#isLost) return;
    if (this.#owed !== null) {
      this.#owed -= piece.length;
      if (this.#owed < 0) {
        this.loseContent(contradiction);
        return;
      }
    }
    this.#incoming.push(piece);
  }

  #ended(): void {
    if (this.#incoming.complete || this.stream.aborted) return;
    if ((this.#owed ?? 0) > 0) this.loseContent(contradiction);
    if (this.#isLost) return;
    if (!this.#answer.writableEnded) this.#dueAtMs = Number.POSITIVE_INFINITY;
    this.#incoming.finish();
  }

  /** The answer is handed over: whoever does not take it does not hold us for ever. */
  #answered(): void {
    this.#dueAtMs = performance.now() + this.#host.bounds.requestTimeoutMs;
    // RFC 9113 §8.1: nobody wants the rest.
    if (!this.#incoming.complete) this.#answer.whenSent(() => this.#giveUp(constants.NGHTTP2_NO_ERROR));
  }

  #closed(): void {
    const answer = this.#answer;
    this.#dueAtMs = Number.POSITIVE_INFINITY;
    answer.writableFinished = answer.writableEnded && this.stream.rstCode === constants.NGHTTP2_NO_ERROR;
    answer.destroyed = true;
    this.#host.handler.closed(this.#exchange);
    this.#incoming.lose();
  }
}

const contradiction = deny("receive", "bad-framing", { parser: "content-length" });
const lost = deny("receive", "bad-framing", { parser: "stream" });

function fieldOf(fields: readonly string[], name: string): string | undefined {
  for (let i = 0; i + 1 < fields.length; i += 2) if (fields[i] === name) return fields[i + 1];
  return undefined;
}
