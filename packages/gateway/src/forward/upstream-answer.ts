// Promises that an upstream's answer is either held whole (at most 64 KiB) or passed on as it comes with back-pressure, and that an answer cut
// short never looks complete. Trusts the kernel's parser for framing; judges every field itself. Specified in DESIGN §4 Records, RFC 9112 §8.
import type { DialFault } from "@sallyport/kernel/dial/dial-fault.ts";
import type { UpstreamCall, UpstreamHandler } from "@sallyport/kernel/dial/upstream-port.ts";
import { AnswerLines } from "@sallyport/kernel/http1/answer-text.ts";
import { type Deny, deny } from "@sallyport/protocol/verdict.ts";
import type { CallerAnswer } from "../listen/caller-answer.ts";
import { Deadlines, type Due } from "./deadlines.ts";
import { responseHeadersDownstream } from "./header-hygiene.ts";
import { classifyUpstreamError } from "./upstream-error.ts";

/** An answer up to this size is held and recorded as one leaf. */
export const heldBytesMax = 64 * 1024;
/** An answer that has begun but not ended within this time is passed on as it comes. */
export const holdMs = 100;

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
const noLines = new AnswerLines([]);

export class UpstreamAnswer implements UpstreamHandler, Due {
  readonly #options: AnswerOptions;
  #deadlineMs: number;
  /** When an answer that has begun is passed on as it comes. */
  #holdMs = Number.POSITIVE_INFINITY;
  dueAtMs: number;
  place = -1;
  #call: UpstreamCall | null = null;
  #state: State = "waiting";
  #held: Buffer[] = [];
  #heldBytes = 0;
  #contentSent = 0;
  #flow: Flow | null = null;
  /** The upstream ended while the held part was still waiting for its record. */
  #endedEarly: AnswerEnd | null = null;
  readonly #startedMs: number;
  status = 0;
  /** Fields for the caller, as far as they are the provider's. */
  lines = noLines;
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
      this.#call?.abort();
    } else if (this.#state === "long") {
      this.#endedEarly = "caller-gone";
      this.#call?.abort();
    } else this.#fail(verdict);
  }

  /** The request this answers is under way. */
  sent(call: UpstreamCall): void {
    this.#call = call;
  }

  onContentSent(bytes: number): void {
    this.#contentSent += bytes;
    if (this.#contentSent > this.#options.bodyBytesMax)
      this.#fail(deny("inspect", "body-too-large", { bound: `${this.#options.bodyBytesMax} bytes` }));
  }

  onHead(status: number, fields: readonly string[]): void {
    if (this.#state !== "waiting") return;
    const judged = responseHeadersDownstream(fields);
    if (!judged.ok) {
      this.#fail(deny("forward", "upstream-protocol", { why: judged.why }));
      return;
    }
    this.status = status;
    this.lines = judged.lines;
    this.contentLength = judged.contentLength;
    this.upstreamMs = this.#options.now() - this.#startedMs;
    this.#state = "holding";
    const isLong = judged.eventStream || (judged.contentLength ?? 0) > heldBytesMax;
    if (isLong && !this.bodiless) this.#becomeLong();
  }

  onContent(chunk: Buffer): void {
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

  onEnd(): void {
    if (this.#state === "holding") {
      this.#clearTimers();
      this.#state = "whole";
      this.#options.settled(null);
    } else if (this.#state === "flowing") this.#finish("complete");
    else if (this.#state === "long") this.#endedEarly = "complete";
  }

  onFault(fault: DialFault): void {
    if (this.#state === "flowing") this.#finish("truncated");
    else if (this.#state === "long") this.#endedEarly ??= "truncated";
    else if (this.#state === "waiting" || this.#state === "holding")
      this.#fail(classifyUpstreamError(fault, this.#state === "waiting"));
  }

  /** Passes on what is held and then everything as it comes. Only for a long answer whose intent is durable. */
  release(flow: Flow): void {
    this.#flow = flow;
    this.#state = "flowing";
    this.#refresh();
    for (const chunk of this.#held) this.#pass(chunk);
    this.#held = [];
    if (this.#endedEarly !== null) this.#finish(this.#endedEarly);
    else if (!flow.response.writableNeedDrain) this.#call?.resume();
  }

  #pass(chunk: Buffer): void {
    const flow = this.#flow;
    if (flow === null) return;
    this.#refresh();
    const flowing = flow.response.write(chunk);
    flow.sent(chunk.length);
    if (flowing) return;
    this.#call?.pause();
    flow.response.once("drain", () => {
      if (this.#state === "flowing") this.#call?.resume();
    });
  }

  #becomeLong(): void {
    if (this.#state !== "holding") return;
    this.#holdUntil(Number.POSITIVE_INFINITY);
    this.#state = "long";
    this.#call?.pause();
    this.#options.settled(null);
  }

  #timeOut(): void {
    if (this.#state === "flowing") {
      this.#finish("timeout");
      this.#call?.abort();
    } else if (this.#state === "waiting" || this.#state === "holding") {
      this.#fail(deny("forward", "upstream-timeout", { bound: `${this.#options.timeoutMs} ms` }));
    }
  }

  #fail(verdict: Deny): void {
    if (this.#state === "over" || this.#state === "whole") return;
    this.upstreamMs = this.#options.now() - this.#startedMs;
    this.#over();
    this.#call?.abort();
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
