// Promises that a crossing that goes on is asked about again when its token, its grant, a policy or the word of control has changed, and ended when the
// answer is no; and that ten thousand of them hold up nobody: they are found by what was revoked, and asked in slices.
// Trusts `ask` for the verdict (ask-again.ts) and each stream to end itself. Specified in docs/streams.md.
import type { Clock } from "@sallyport/kernel/ports.ts";
import type { Revocation } from "@sallyport/protocol/channel/messages.ts";
import { type Deny, deny } from "@sallyport/protocol/verdict.ts";
import type { Exchange } from "../exchange.ts";
import { StreamIndex } from "./stream-index.ts";
import { nextAskMs, revocableKeys, staleAfterMs, ungrantedKey } from "./stream-times.ts";

/** Milliseconds between looks at what time alone ends. */
export const lookMs = 250;
/** Longest turn of asking; then whatever else waits has its own. */
export const sliceMs = 4;

const goingAway = deny("forward", "not-ready", { why: "this gateway is going away: connect again" });

/** A crossing that was let pass and goes on. */
export interface LiveStream {
  readonly exchange: Exchange;
  /** Ends it, with the word its protocol has for that. Called at most once. */
  end(verdict: Deny): void;
}

export interface LiveStreamsPorts {
  readonly clock: Clock;
  stalenessMs(): number;
  /** Would this crossing be let pass now? Moves it over to the snapshot in force where it would. */
  ask(exchange: Exchange): Deny | null;
}

/** One stream in the registry. */
export interface Registered {
  readonly stream: LiveStream;
  /** Milliseconds since the epoch: asked at the latest then. */
  askAtMs: number;
  /** Milliseconds without a word from control that it bears. */
  staleAfterMs: number;
  isWaiting: boolean;
  isOver: boolean;
}

export class LiveStreams {
  readonly #ports: LiveStreamsPorts;
  readonly #byId = new Map<string, Registered>();
  readonly #index = new StreamIndex<Registered>();
  /** Asked in this order; those before `#at` have been. */
  #waiting: Registered[] = [];
  #at = 0;
  #isTurnSet = false;
  #looks: NodeJS.Timeout | null = null;
  /** Monotonic milliseconds: what was let pass before it must be asked again when it comes in. */
  #changedMs = Number.NEGATIVE_INFINITY;

  constructor(ports: LiveStreamsPorts) {
    this.#ports = ports;
  }

  get size(): number {
    return this.#byId.size;
  }

  /** From now on it is asked about. The result takes it out again: its own end owes that. */
  add(stream: LiveStream): () => void {
    const { exchange } = stream;
    const one: Registered = { stream, askAtMs: 0, staleAfterMs: 0, isWaiting: false, isOver: false };
    this.#byId.set(exchange.id, one);
    this.#place(one);
    this.#looks ??= setInterval(() => this.#look(), lookMs).unref();
    // What was revoked between its verdict and now was not found: it was not here yet.
    if (exchange.startedMonotonicMs <= this.#changedMs) this.#wait(one);
    return () => this.#remove(one);
  }

  find(id: string): LiveStream | null {
    return this.#byId.get(id)?.stream ?? null;
  }

  /** Its proof is another one now. */
  renewed(id: string): void {
    const one = this.#byId.get(id);
    if (one !== undefined) this.#place(one);
  }

  /** These were revoked: every stream that stands on one of them is asked about. */
  revoked(entries: readonly Pick<Revocation, "kind" | "value">[]): void {
    this.#changedMs = this.#ports.clock.monotonic();
    for (const { kind, value } of entries) {
      for (const one of this.#index.of(`${kind}\n${value}`)) this.#wait(one);
      // What passes without a grant may be cut off by the name of one.
      if (kind === "integration") for (const one of this.#index.of(ungrantedKey)) this.#wait(one);
    }
  }

  /** Another snapshot, or other keys: everything is asked about. */
  changed(): void {
    this.#changedMs = this.#ports.clock.monotonic();
    for (const one of this.#byId.values()) this.#wait(one);
  }

  /** Ends what has no end of its own, so that its callers go to another gateway; a long answer may still end whole. */
  goAway(): void {
    for (const one of [...this.#byId.values()]) {
      const { request, upstream } = one.stream.exchange;
      if (request?.upgrade || upstream?.isEventStream === true) this.#end(one, goingAway);
    }
  }

  close(): void {
    if (this.#looks !== null) clearInterval(this.#looks);
    this.#looks = null;
  }

  #remove(one: Registered): void {
    one.isOver = true;
    if (this.#byId.get(one.stream.exchange.id) === one) this.#byId.delete(one.stream.exchange.id);
    this.#index.remove(one);
    if (this.#byId.size === 0) this.close();
  }

  #place(one: Registered): void {
    const { exchange } = one.stream;
    this.#index.put(one, revocableKeys(exchange));
    one.askAtMs = nextAskMs(exchange, this.#ports.clock.now());
    one.staleAfterMs = staleAfterMs(exchange);
  }

  #look(): void {
    const nowMs = this.#ports.clock.now();
    const stalenessMs = this.#ports.stalenessMs();
    for (const one of this.#byId.values()) if (nowMs >= one.askAtMs || stalenessMs > one.staleAfterMs) this.#wait(one);
  }

  #wait(one: Registered): void {
    if (one.isWaiting || one.isOver) return;
    one.isWaiting = true;
    this.#waiting.push(one);
    this.#setTurn();
  }

  #setTurn(): void {
    if (this.#isTurnSet) return;
    this.#isTurnSet = true;
    setImmediate(() => this.#turn());
  }

  #turn(): void {
    this.#isTurnSet = false;
    const untilMs = performance.now() + sliceMs;
    do {
      const one = this.#waiting[this.#at++];
      if (one === undefined) break;
      one.isWaiting = false;
      if (!one.isOver) this.#ask(one);
    } while (performance.now() < untilMs);
    if (this.#at < this.#waiting.length) {
      this.#setTurn();
      return;
    }
    this.#waiting = [];
    this.#at = 0;
  }

  #ask(one: Registered): void {
    const verdict = this.#ports.ask(one.stream.exchange);
    if (verdict === null) this.#place(one);
    else this.#end(one, verdict);
  }

  #end(one: Registered, verdict: Deny): void {
    if (one.isOver) return;
    this.#remove(one);
    one.stream.end(verdict);
  }
}
