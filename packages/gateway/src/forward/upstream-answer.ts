// Promises that an upstream's answer is either held whole (at most 64 KiB) or passed on as it comes with back-pressure, and that an answer cut
// short never looks complete. Trusts undici's parser for framing; judges every field itself. Specified in DESIGN §4 Records, RFC 9112 §8.
import { type Deny, deny } from "@sallyport/protocol/verdict.ts";
import type { Dispatcher } from "undici";
import type { CallerAnswer } from "../listen/caller-answer.ts";
import { Deadlines, type Due } from "./deadlines.ts";
import { responseHeadersDownstream } from "./header-hygiene.ts";
import { classifyUpstreamError } from "./upstream-error.ts";

/** An answer up to this size is held and recorded as one leaf. */
export const heldBytesMax = 64 * 1024;
/** An answer that has begun but not ended within this time is passed on as it comes. */
export const holdMs = 100;
const informationalMax = 8;

export type AnswerEnd = "complete" | "truncated" | "caller-gone" | "timeout";

/** What becomes of a long answer once its intent is durable. */
export interface Flow {
  readonly response: CallerAnswer;
  /** Called with each piece's size after it was handed to the caller's socket. */
  sent(bytes: number): void;
  ended(end: AnswerEnd): void;
}

export interface AnswerOptions {
  readonly method: string;
  readonly timeoutMs: number;
  /** Bound of a streamed request body without a declared length. */
  readonly bodyBytesMax: number;
  /** Milliseconds, monotonic. */
  now(): number;
  /** The verdict of `forward`: null when there is an answer to pass on. */
  settled(verdict: Deny | null): void;
}

type State = "waiting" | "holding" | "whole" | "long" | "flowing" | "over";

const deadlines = new Deadlines();

export class UpstreamAnswer implements Dispatcher.DispatchHandler, Due {
  readonly #options: AnswerOptions;
  #deadlineMs: number;
  /** When an answer that has begun is passed on as it comes. */
  #holdMs = Number.POSITIVE_INFINITY;
  dueAtMs: number;
  place = -1;
  #controller: Dispatcher.DispatchController | null = null;
  #state: State = "waiting";
  #held: Buffer[] = [];
  #heldBytes = 0;
  #informational = 0;
  #bodySent = 0;
  #flow: Flow | null = null;
  #abortReason: Error | null = null;
  /** The upstream ended while the held part was still waiting for its record. */
  #endedEarly: AnswerEnd | null = null;
  readonly #startedMs: number;
  status = 0;
  headers: string[] = [];
  contentLength: number | null = null;
  /** Milliseconds until the response fields came (or the end). */
  upstreamMs = 0;

  constructor(options: AnswerOptions) {
    this.#options = options;
    this.#startedMs = options.now();
    this.#deadlineMs = performance.now() + options.timeoutMs;
    this.dueAtMs = this.#deadlineMs;
    deadlines.watch(this);
  }

  /** True when the whole answer is held. */
  get whole(): boolean {
    return this.#state === "whole";
  }

  /** Answers to HEAD, and 204 and 304, have no content whatever their fields say (RFC 9112 §6.3). */
  get bodiless(): boolean {
    return this.#options.method === "HEAD" || this.status === 204 || this.status === 304;
  }

  takeHeld(): Buffer {
    const [only] = this.#held;
    const body = this.#held.length === 1 && only !== undefined ? only : Buffer.concat(this.#held, this.#heldBytes);
    this.#held = [];
    return body;
  }

  /** Ends the upstream request, wherever it is; whoever waits for it is told. */
  cancel(verdict: Deny): void {
    if (this.#state === "flowing") {
      this.#finish("caller-gone");
      this.#abort(new Error(verdict.code));
    } else if (this.#state === "long") {
      this.#endedEarly = "caller-gone";
      this.#abort(new Error(verdict.code), "long");
    } else this.#fail(verdict);
  }

  #abort(reason: Error, state: State = "over"): void {
    if (state === "over") this.#over();
    this.#abortReason = reason;
    this.#controller?.abort(reason);
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller;
    // Aborted while it was waiting for a connection: nothing may be sent.
    if (this.#abortReason !== null) controller.abort(this.#abortReason);
  }

  onBodySent(chunk: Buffer): void {
    this.#bodySent += chunk.length;
    if (this.#bodySent > this.#options.bodyBytesMax)
      this.#fail(deny("inspect", "body-too-large", { bound: `${this.#options.bodyBytesMax} bytes` }));
  }

  onResponseStart(controller: Dispatcher.DispatchController, status: number): void {
    if (this.#state !== "waiting") return;
    if (status < 200) {
      if (++this.#informational > informationalMax)
        this.#fail(deny("forward", "upstream-protocol", { why: "too many informational answers" }));
      return;
    }
    const judged = responseHeadersDownstream(rawText(controller.rawHeaders));
    if (!judged.ok) {
      this.#fail(deny("forward", "upstream-protocol", { why: judged.why }));
      return;
    }
    this.status = status;
    this.headers = judged.headers;
    this.contentLength = judged.contentLength;
    this.upstreamMs = this.#options.now() - this.#startedMs;
    this.#state = "holding";
    const isLong = judged.eventStream || (judged.contentLength ?? 0) > heldBytesMax;
    if (isLong && !this.bodiless) this.#becomeLong();
  }

  onResponseData(_controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (this.#state === "flowing") {
      this.#pass(chunk);
      return;
    }
    if (this.#state !== "holding" && this.#state !== "long") return;
    this.#held.push(chunk);
    this.#heldBytes += chunk.length;
    if (this.#state === "long") return;
    if (this.#heldBytes > heldBytesMax) this.#becomeLong();
    else if (this.#holdMs === Number.POSITIVE_INFINITY) this.#holdUntil(performance.now() + holdMs);
  }

  onResponseEnd(): void {
    if (this.#state === "holding") {
      this.#clearTimers();
      this.#state = "whole";
      this.#options.settled(null);
    } else if (this.#state === "flowing") this.#finish("complete");
    else if (this.#state === "long") this.#endedEarly = "complete";
  }

  onResponseError(_controller: Dispatcher.DispatchController, error: Error): void {
    if (this.#state === "flowing") this.#finish("truncated");
    else if (this.#state === "long") this.#endedEarly ??= "truncated";
    else if (this.#state === "waiting" || this.#state === "holding")
      this.#fail(classifyUpstreamError(error, this.#state === "waiting"));
  }

  /** Passes on what is held and then everything as it comes. Only for a long answer whose intent is durable. */
  release(flow: Flow): void {
    this.#flow = flow;
    this.#state = "flowing";
    this.#refresh();
    for (const chunk of this.#held) this.#pass(chunk);
    this.#held = [];
    if (this.#endedEarly !== null) this.#finish(this.#endedEarly);
    else if (!flow.response.writableNeedDrain) this.#controller?.resume();
  }

  #pass(chunk: Buffer): void {
    const flow = this.#flow;
    if (flow === null) return;
    this.#refresh();
    const flowing = flow.response.write(chunk);
    flow.sent(chunk.length);
    if (flowing) return;
    this.#controller?.pause();
    flow.response.once("drain", () => {
      if (this.#state === "flowing") this.#controller?.resume();
    });
  }

  #becomeLong(): void {
    if (this.#state !== "holding") return;
    this.#holdUntil(Number.POSITIVE_INFINITY);
    this.#state = "long";
    this.#controller?.pause();
    this.#options.settled(null);
  }

  #timeOut(): void {
    if (this.#state === "flowing") {
      this.#finish("timeout");
      this.#abort(new Error("the answer stopped flowing"));
    } else if (this.#state === "waiting" || this.#state === "holding") {
      this.#fail(deny("forward", "upstream-timeout", { bound: `${this.#options.timeoutMs} ms` }));
    }
  }

  #fail(verdict: Deny): void {
    if (this.#state === "over" || this.#state === "whole") return;
    this.upstreamMs = this.#options.now() - this.#startedMs;
    this.#abort(new Error(verdict.code));
    this.#options.settled(verdict);
  }

  #finish(end: AnswerEnd): void {
    const flow = this.#flow;
    this.#over();
    flow?.ended(end);
  }

  #over(): void {
    this.#state = "over";
    this.#held = [];
    this.#clearTimers();
  }

  #clearTimers(): void {
    deadlines.end(this);
  }

  #holdUntil(ms: number): void {
    this.#holdMs = ms;
    this.dueAtMs = Math.min(this.#deadlineMs, ms);
  }

  #refresh(): void {
    this.#deadlineMs = performance.now() + this.#options.timeoutMs;
    this.dueAtMs = Math.min(this.#deadlineMs, this.#holdMs);
  }

  overdue(nowMs: number): void {
    if (nowMs >= this.#holdMs) this.#becomeLong();
    if (nowMs < this.#deadlineMs) return;
    this.#deadlineMs = Number.POSITIVE_INFINITY;
    this.dueAtMs = this.#holdMs;
    this.#timeOut();
  }
}

/** undici hands raw fields as buffers; latin1 keeps every byte so that the judgement sees what was sent. */
function rawText(raw: Dispatcher.DispatchController["rawHeaders"]): string[] {
  if (!Array.isArray(raw)) return [];
  const text: string[] = [];
  for (const part of raw) text.push(typeof part === "string" ? part : part.toString("latin1"));
  return text;
}
