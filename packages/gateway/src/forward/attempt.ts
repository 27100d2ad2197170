// Promises one attempt of a crossing at one endpoint, and that its end is told once. Trusts its owner to judge it. Specified in docs/resilience.md.
import type { WebSocketAsk } from "@sallyport/kernel/http1/request-head.ts";
import type { Deny } from "@sallyport/protocol/verdict.ts";
import type { Place } from "../limit/in-flight.ts";
import type { AnswerOptions } from "./answer-options.ts";
import type { Endpoint } from "./endpoint.ts";
import { UpstreamAnswer } from "./upstream-answer.ts";

export interface AttemptOwner {
  /** Milliseconds, monotonic. */
  now(): number;
  /** Null: there is an answer to pass on. */
  settled(attempt: Attempt, verdict: Deny | null): void;
  /** Nothing of it is under way any more. */
  over(attempt: Attempt): void;
  /** Does what the provider says to pages of browsers go back? */
  tellsPages(): boolean;
}

export interface AttemptBounds {
  /** Up to its answer. */
  readonly timeoutMs: number;
  /** Between pieces of an answer that is passed on. */
  readonly idleMs: number;
  readonly bodyBytesMax: number;
  readonly inspectedBytesMax: number | null;
  readonly passesLong: boolean;
  readonly webSocket: WebSocketAsk | undefined;
  /** The caller, or what was left of the crossing, gave it less time than the provider was promised. */
  readonly isShortened: boolean;
}

export class Attempt implements AnswerOptions {
  readonly #owner: AttemptOwner;
  readonly endpoint: Endpoint;
  readonly method: string;
  /** Given back when nothing of it is under way any more. */
  readonly place: Place;
  readonly timeoutMs: number;
  readonly idleMs: number;
  readonly bodyBytesMax: number;
  readonly inspectedBytesMax: number | null;
  readonly passesLong: boolean;
  readonly webSocket: WebSocketAsk | undefined;
  readonly isShortened: boolean;
  readonly startedMs: number;
  /** What the breaker said when it began. */
  readonly began: number;
  readonly answer: UpstreamAnswer;
  /** Sent beside another that was slow. */
  isHedge = false;
  /** Another was answered: how it ends says nothing. */
  isOvertaken = false;

  constructor(
    owner: AttemptOwner,
    at: { readonly endpoint: Endpoint; readonly method: string; readonly place: Place },
    bounds: AttemptBounds,
  ) {
    this.#owner = owner;
    this.endpoint = at.endpoint;
    this.method = at.method;
    this.place = at.place;
    this.timeoutMs = bounds.timeoutMs;
    this.idleMs = bounds.idleMs;
    this.bodyBytesMax = bounds.bodyBytesMax;
    this.inspectedBytesMax = bounds.inspectedBytesMax;
    this.passesLong = bounds.passesLong;
    this.webSocket = bounds.webSocket;
    this.isShortened = bounds.isShortened;
    this.startedMs = owner.now();
    this.began = at.endpoint.breaker.began();
    this.answer = new UpstreamAnswer(this);
  }

  now(): number {
    return this.#owner.now();
  }

  tellsPages(): boolean {
    return this.#owner.tellsPages();
  }

  settled(verdict: Deny | null): void {
    this.#owner.settled(this, verdict);
  }

  over(): void {
    this.#owner.over(this);
  }
}
