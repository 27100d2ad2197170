// Promises that an upstream's answer is either held whole (at most 64 KiB) or passed on as it comes with back-pressure, and that an answer cut
// short never looks complete. Trusts the kernel's parser for framing; judges every field itself. Specified in DESIGN §4 Records, RFC 9112 §8.

import type { ByteTunnel } from "@sallyport/kernel/dial/byte-tunnel.ts";
import type { DialFault } from "@sallyport/kernel/dial/dial-fault.ts";
import type { UpstreamCall, UpstreamHandler } from "@sallyport/kernel/dial/upstream-port.ts";
import { AnswerLines } from "@sallyport/kernel/http1/answer-text.ts";
import { HeldPieces } from "@sallyport/kernel/http1/held-pieces.ts";
import { type Deny, deny } from "@sallyport/protocol/verdict.ts";
import type { CallerAnswer } from "../listen/caller-answer.ts";
import { judgeSwitch } from "../websocket/handshake.ts";
import type { AnswerOptions, SwitchedAnswer } from "./answer-options.ts";
import { Deadlines, type Due } from "./deadlines.ts";
import { responseHeadersDownstream } from "./header-hygiene.ts";
import { classifyUpstreamError } from "./upstream-error.ts";

/** An answer up to this size is held and recorded as one leaf. */
export const heldBytesMax = 64 * 1024;
/** An answer that has begun but not ended within this time is passed on as it comes. */
export const holdMs = 100;

/** Bytes of answers held to be looked into, over all crossings of this process; beyond it they are refused. */
export const inspectedBytesInAllMax = 256 * 1024 * 1024;
let inspectedBytes = 0;

/** `denied`: it was let pass, and is not any more (streams/). */
export type AnswerEnd = "complete" | "truncated" | "caller-gone" | "timeout" | "denied";

/** What becomes of a long answer once its intent is durable. */
export interface Flow {
  readonly response: CallerAnswer;
  /** Called with each piece after it was handed to the caller's socket. */
  sent(piece: Buffer): void;
  ended(end: AnswerEnd): void;
}

type State = "switched" | "waiting" | "holding" | "whole" | "long" | "flowing" | "over";

const deadlines = new Deadlines();
const noLines = new AnswerLines([]);
const noFields: readonly string[] = [];

export class UpstreamAnswer implements UpstreamHandler, Due {
  readonly #options: AnswerOptions;
  #deadlineMs: number;
  /** When an answer that has begun is passed on as it comes. */
  #holdMs = Number.POSITIVE_INFINITY;
  dueAtMs: number;
  place = -1;
  #call: UpstreamCall | null = null;
  #state: State = "waiting";
  readonly #held = new HeldPieces();
  /** Of `inspectedBytes`. */
  #countedBytes = 0;
  #contentSent = 0;
  #flow: Flow | null = null;
  /** The upstream ended while the held part was still waiting for its record. */
  #endedEarly: AnswerEnd | null = null;
  #isTold = false;
  readonly #startedMs: number;
  status = 0;
  /** Fields as the provider sent them, names and values alternating. */
  fields: readonly string[] = noFields;
  /** Fields for the caller, as far as they are the provider's; names in lower case. */
  headers: readonly string[] = [];
  lines = noLines;
  /** Behind the content, as far as they are the provider's; names in lower case. */
  trailers: readonly string[] = [];
  contentLength: number | null = null;
  /** Events as plain text (`text/event-stream`), which may go on for ever. */
  isEventStream = false;
  /** Its content is coded (compressed). */
  isCoded = false;
  /** Where the provider switched to what was asked for. */
  #switched: SwitchedAnswer | null = null;
  /** A successful answer that says that the provider said no; set by whoever reads it (inspect/answer.ts). */
  saysNo = false;
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

  get isOver(): boolean {
    return this.#state === "over";
  }

  /** Answers to HEAD, and 204 and 304, have no content whatever their fields say (RFC 9112 §6.3). */
  get bodiless(): boolean {
    return this.#options.method === "HEAD" || this.status === 204 || this.status === 304;
  }

  /** Value of the provider's field of that lower-case name; undefined where there is none, or more than one. */
  field(name: string): string | undefined {
    const values: string[] = [];
    for (let i = 0; i + 1 < this.fields.length; i += 2)
      if (this.fields[i]?.toLowerCase() === name) values.push(this.fields[i + 1] ?? "");
    return values.length === 1 ? values[0] : undefined;
  }

  takeHeld(): Buffer {
    const body = this.#held.whole();
    this.#held.clear();
    this.#uncount();
    return body;
  }

  /** Of a whole answer, which stays held. */
  peekHeld(): Buffer {
    return this.#held.whole();
  }

  /** Of a whole answer: what is released in place of what came. */
  replaceHeld(body: Buffer): void {
    this.#held.clear();
    this.#held.push(body);
  }

  /** `headers`: names in lower case and values, alternating. */
  setHeaders(headers: readonly string[]): void {
    this.headers = headers;
    this.lines = new AnswerLines(headers);
  }

  /** Of a whole answer: it is not released. */
  discard(): void {
    this.#held.clear();
    this.#uncount();
  }

  /** Ends the upstream request, wherever it is; whoever waits for it is told. */
  cancel(verdict: Deny): void {
    if (this.#state === "flowing") {
      this.#finish("caller-gone");
      this.#call?.abort();
    } else if (this.#state === "long") {
      this.#endedEarly = "caller-gone";
      // Nobody may ever release it.
      this.#clearTimers();
      this.#call?.abort();
      this.#tellOver();
    } else this.#fail(verdict);
  }

  /** Ends an answer that is being passed on: what let it pass does not hold any more. */
  stop(): void {
    if (this.#state !== "flowing") return;
    this.#finish("denied");
    this.#call?.abort();
  }

  /** May a byte of the request have left? */
  get wasSent(): boolean {
    return this.#call?.wasSent ?? false;
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
    // CVE-2024-23326's class: an answer that is none to an upgrade is not the start of a tunnel; and 2xx to a handshake means nothing at all.
    if (this.#options.webSocket !== undefined && status < 300) {
      this.#fail(deny("forward", "upstream-protocol", { why: `status ${status} to a handshake` }));
      return;
    }
    const judged = responseHeadersDownstream(fields, this.#options);
    if (!judged.ok) {
      this.#fail(deny("forward", "upstream-protocol", { why: judged.why }));
      return;
    }
    this.status = status;
    this.fields = fields;
    this.lines = judged.lines;
    this.headers = judged.headers;
    this.contentLength = judged.contentLength;
    this.isEventStream = judged.eventStream;
    this.isCoded = judged.isCoded;
    this.upstreamMs = this.#options.now() - this.#startedMs;
    this.#state = "holding";
    if (this.#options.isCall === true) this.#becomeLong();
    if (this.bodiless || this.#options.isCall === true) return;
    const { inspectedBytesMax } = this.#options;
    if (judged.eventStream || (judged.contentLength ?? 0) > (inspectedBytesMax ?? heldBytesMax)) this.#outgrown();
  }

  /** Longer than may be held. */
  #outgrown(): void {
    const { inspectedBytesMax } = this.#options;
    if (inspectedBytesMax === null || this.#options.passesLong === true) this.#becomeLong();
    else
      this.#fail(
        deny("forward", "response-too-large", {
          bound: `${inspectedBytesMax} bytes`,
          detail: `The provider answered with status ${this.status}, and with more than the ${inspectedBytesMax} bytes that are held to be looked into, or with an event stream`,
        }),
      );
  }

  /** Counts bytes that are held to be looked into. */
  #count(bytes: number): boolean {
    if (this.#options.inspectedBytesMax === null) return true;
    if (inspectedBytes + bytes > inspectedBytesInAllMax) return false;
    inspectedBytes += bytes;
    this.#countedBytes += bytes;
    return true;
  }

  #uncount(): void {
    inspectedBytes -= this.#countedBytes;
    this.#countedBytes = 0;
  }

  onUpgrade(fields: readonly string[], tunnel: ByteTunnel): void {
    const { webSocket } = this.#options;
    if (this.#state !== "waiting" || webSocket === undefined) {
      tunnel.destroy();
      return;
    }
    const switched = judgeSwitch(fields, webSocket);
    const judged = switched.ok ? responseHeadersDownstream(switched.fields) : switched;
    if (!judged.ok || !switched.ok) {
      tunnel.destroy();
      this.#fail(deny("forward", "upstream-protocol", { why: judged.ok ? "" : judged.why }));
      return;
    }
    this.status = 101;
    this.fields = switched.fields;
    this.setHeaders(judged.headers);
    this.upstreamMs = this.#options.now() - this.#startedMs;
    this.#switched = { tunnel, protocol: switched.protocol };
    this.#state = "switched";
    this.#clearTimers();
    this.#options.settled(null);
  }

  get isSwitched(): boolean {
    return this.#state === "switched";
  }

  /** The provider's end of the WebSocket, for who passes frames on from now on; null: there is none. */
  takeSwitched(): SwitchedAnswer | null {
    const switched = this.#state === "switched" ? this.#switched : null;
    if (switched !== null) this.#over();
    return switched;
  }

  onContent(chunk: Buffer): void {
    if (this.#state === "flowing") {
      this.#pass(chunk);
      return;
    }
    if (this.#state !== "holding" && this.#state !== "long") return;
    this.#held.push(chunk);
    if (this.#state === "long") return;
    const { inspectedBytesMax } = this.#options;
    if (this.#held.bytes > (inspectedBytesMax ?? heldBytesMax)) this.#outgrown();
    else if (!this.#count(chunk.length)) this.#fail(deny("forward", "overloaded", { why: "answers held in all" }));
    else if (inspectedBytesMax === null && this.#holdMs === Number.POSITIVE_INFINITY)
      this.#holdUntil(performance.now() + holdMs);
  }

  onEnd(): void {
    if (this.#state === "holding") {
      this.#clearTimers();
      this.#state = "whole";
      this.#tellOver();
      this.#options.settled(null);
    } else if (this.#state === "flowing") this.#finish("complete");
    else if (this.#state === "long") {
      this.#endedEarly = "complete";
      this.#tellOver();
    }
  }

  onFault(fault: DialFault): void {
    if (this.#state === "flowing") this.#finish("truncated");
    else if (this.#state === "long") {
      this.#endedEarly ??= "truncated";
      this.#tellOver();
    } else if (this.#state === "waiting" || this.#state === "holding")
      this.#fail(classifyUpstreamError(fault, this.#state === "waiting"));
  }

  /** Passes on what is held and then everything as it comes. Only for a long answer whose intent is durable. */
  release(flow: Flow): void {
    this.#flow = flow;
    this.#state = "flowing";
    this.#refresh();
    for (const chunk of this.#held.takeAll()) this.#pass(chunk);
    if (this.#endedEarly !== null) this.#finish(this.#endedEarly);
    else if (!flow.response.writableNeedDrain) this.#call?.resume();
  }

  #pass(chunk: Buffer): void {
    const flow = this.#flow;
    if (flow === null) return;
    this.#refresh();
    const flowing = flow.response.write(chunk);
    flow.sent(chunk);
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
    const wasSwitched = this.#state === "switched";
    if (!wasSwitched) this.upstreamMs = this.#options.now() - this.#startedMs;
    this.#over();
    this.#call?.abort();
    if (wasSwitched) this.#switched?.tunnel.destroy();
    else this.#options.settled(verdict);
  }

  #finish(end: AnswerEnd): void {
    const flow = this.#flow;
    this.#over();
    flow?.ended(end);
  }

  #over(): void {
    this.#state = "over";
    this.discard();
    this.#clearTimers();
    this.#tellOver();
  }

  #tellOver(): void {
    if (this.#isTold) return;
    this.#isTold = true;
    this.#options.over();
  }

  #clearTimers(): void {
    deadlines.end(this);
  }

  #holdUntil(ms: number): void {
    this.#holdMs = ms;
    this.dueAtMs = Math.min(this.#deadlineMs, ms);
  }

  #refresh(): void {
    if (this.#options.isCall === true) return;
    this.#deadlineMs = performance.now() + this.#options.idleMs;
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
