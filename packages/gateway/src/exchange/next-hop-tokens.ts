// Promises the token a provider is shown for this caller and this operation: asked for at control once at a time, within bounds, held no longer than it and the
// caller's own proof live, dropped with whatever it stood on, and never another in its place. Trusts control for what it holds.
// Specified in docs/identity/next-hop.md "At a gateway".
import { patience } from "@sallyport/kernel/dial/patience.ts";
import type { Clock } from "@sallyport/kernel/ports.ts";
import type { Revocation } from "@sallyport/protocol/channel/messages.ts";
import type { NextHopAnswer, NextHopRequest, NextHopToken } from "@sallyport/protocol/channel/next-hop.ts";
import { type Deny, deny } from "@sallyport/protocol/verdict.ts";
import { StreamIndex } from "../streams/stream-index.ts";

export const nextHopTokensMax = 8_192;
/** Questions on their way at once, and of them for one calling system. */
export const nextHopAsksMax = 256;
export const nextHopAsksPerCallerMax = 64;
/** A no of control is not asked for again for this long; so many are remembered. */
export const nextHopRefusedMs = 2_000;
export const nextHopRefusedMax = 4_096;
export const nextHopAnswerMs = 6_000;
/** A token is not used in its last seconds: it has to arrive. */
export const nextHopMarginMs = 5_000;
/** Behind this part of its use the next one is asked for, while it serves on. */
const refreshShare = 0.75;
const refreshAgainMs = 1_000;

export interface NextHopPorts {
  ask(request: NextHopRequest): Promise<NextHopAnswer>;
  readonly clock: Clock;
}

/** One crossing's wish. */
export interface NextHopWanted {
  /** Everything the token depends on (next-hop-key.ts). */
  readonly key: string;
  readonly request: NextHopRequest;
  readonly caller: string;
  /** `<kind>\n<value>` of every revocation that ends it. */
  readonly revocable: readonly string[];
  /** Milliseconds since the epoch at which the caller's own proof ends; Infinity: it does not depend on one. */
  readonly untilMs: number;
}

export interface NextHopCounts {
  hits: number;
  misses: number;
  refreshed: number;
  refused: number;
  failed: number;
  dropped: number;
}

/** Held, or on its way to be: whatever it stands on may be gone meanwhile. */
interface Standing {
  readonly key: string;
  over: "revoked" | "ended" | null;
}

interface Held extends Standing {
  readonly answer: NextHopToken;
  readonly madeAtMs: number;
  readonly madeMonotonicMs: number;
  readonly useMs: number;
  /** Since it was made; moved on when the next one could not be had. */
  refreshMs: number;
}

interface Flight extends Standing {
  readonly promise: Promise<NextHopToken | Deny>;
}

const unavailable = (why: string): Deny => deny("exchange", "next-hop-unavailable", { why, detail: mendedByWaiting });
const mendedByWaiting = "The provider is called with a token of its own, which cannot be got at this moment; try again";

export class NextHopTokens {
  readonly #ports: NextHopPorts;
  /** The one used longest ago first. */
  readonly #held = new Map<string, Held>();
  readonly #flights = new Map<string, Flight>();
  readonly #byCaller = new Map<string, number>();
  readonly #refused = new Map<string, { readonly verdict: Deny; readonly untilMs: number }>();
  readonly #index = new StreamIndex<Standing>();
  readonly counts: NextHopCounts = { hits: 0, misses: 0, refreshed: 0, refused: 0, failed: 0, dropped: 0 };

  constructor(ports: NextHopPorts) {
    this.#ports = ports;
  }

  get size(): number {
    return this.#held.size;
  }

  /** Never rejects, and never gives anything but a token for exactly this key. */
  find(wanted: NextHopWanted): NextHopToken | Deny | Promise<NextHopToken | Deny> {
    const held = this.#use(wanted.key);
    if (held !== null) {
      this.counts.hits++;
      this.#refresh(held, wanted);
      return held.answer;
    }
    const refused = this.#refused.get(wanted.key);
    if (refused !== undefined && refused.untilMs > this.#ports.clock.monotonic()) return refused.verdict;
    const flight = this.#flights.get(wanted.key);
    if (flight !== undefined) return flight.promise;
    this.counts.misses++;
    return this.#fly(wanted);
  }

  /** The provider did not take this one. Another may be there already, and stays. */
  drop(key: string, id: string): void {
    const held = this.#held.get(key);
    if (held?.answer.id === id) this.#end(held);
  }

  /** These were revoked: what stands on one of them is over, and so is what is on its way. */
  revoked(entries: readonly Pick<Revocation, "kind" | "value">[]): void {
    for (const { kind, value } of entries)
      for (const one of this.#index.of(`${kind}\n${value}`)) {
        this.counts.dropped++;
        this.#end(one, "revoked");
      }
  }

  /** Another snapshot: who may have what is decided anew. */
  changed(): void {
    for (const one of [...this.#held.values(), ...this.#flights.values()]) this.#end(one);
    this.#refused.clear();
  }

  #use(key: string): Held | null {
    const held = this.#held.get(key);
    if (held === undefined) return null;
    if (this.#ageMs(held) >= held.useMs) {
      this.#end(held);
      return null;
    }
    this.#held.delete(key);
    this.#held.set(key, held);
    return held;
  }

  /** By the clock that went further: one may be set, the other may stand still while the machine sleeps. Set back, it says nothing. */
  #ageMs({ madeAtMs, madeMonotonicMs }: Held): number {
    const { clock } = this.#ports;
    const ageMs = clock.now() - madeAtMs;
    return ageMs < 0 ? Number.POSITIVE_INFINITY : Math.max(ageMs, clock.monotonic() - madeMonotonicMs);
  }

  #refresh(held: Held, wanted: NextHopWanted): void {
    const ageMs = this.#ageMs(held);
    if (ageMs < held.refreshMs || this.#flights.has(held.key)) return;
    // Where the caller's own proof ends with it, the next one would live no longer.
    if (wanted.untilMs - held.answer.expiresAt < nextHopMarginMs) return;
    held.refreshMs = ageMs + refreshAgainMs;
    this.counts.refreshed++;
    void this.#fly(wanted);
  }

  #fly(wanted: NextHopWanted): Promise<NextHopToken | Deny> | Deny {
    const { key, caller, revocable } = wanted;
    const ofCaller = this.#byCaller.get(caller) ?? 0;
    if (this.#flights.size >= nextHopAsksMax || ofCaller >= nextHopAsksPerCallerMax) {
      this.counts.failed++;
      return unavailable("too many questions about tokens for providers are on their way");
    }
    this.#byCaller.set(caller, ofCaller + 1);
    const { promise, resolve } = Promise.withResolvers<NextHopToken | Deny>();
    const flight: Flight = { key, over: null, promise };
    this.#flights.set(key, flight);
    this.#index.put(flight, revocable);
    void this.#ask(wanted).then((answer) => {
      const left = (this.#byCaller.get(caller) ?? 1) - 1;
      if (left > 0) this.#byCaller.set(caller, left);
      else this.#byCaller.delete(caller);
      const { over } = flight;
      this.#end(flight);
      resolve(over === "revoked" ? unavailable("what it stands on was revoked") : this.#land(wanted, answer, over));
    });
    return promise;
  }

  async #ask({ request }: NextHopWanted): Promise<NextHopAnswer | Deny> {
    const { promise: late, resolve } = Promise.withResolvers<"late">();
    const patient = patience(nextHopAnswerMs, () => resolve("late"));
    try {
      const answer = await Promise.race([this.#ports.ask(request), late]);
      return answer === "late" ? unavailable("control did not answer in time") : answer;
    } catch {
      return unavailable("control could not be asked");
    } finally {
      patient.end();
    }
  }

  /** `over`: asked for under what does not hold any more; for those who asked then, and nobody after them. */
  #land(wanted: NextHopWanted, answer: NextHopAnswer | Deny, over: Standing["over"]): NextHopToken | Deny {
    if (answer.kind === "deny" || answer.kind === "unavailable") {
      this.counts.failed++;
      return answer.kind === "deny" ? answer : unavailable(answer.code);
    }
    if (answer.kind === "refused") return this.#refuse(wanted.key, answer.code, over);
    const leftMs = Math.min(answer.expiresAt, wanted.untilMs) - this.#ports.clock.now();
    if (leftMs <= 0) this.counts.failed++;
    else if (over === null) this.#hold(wanted, answer, leftMs);
    return leftMs > 0 ? answer : unavailable("the token, or the caller's own, has ended");
  }

  #refuse(key: string, code: string, over: Standing["over"]): Deny {
    this.counts.refused++;
    const held = this.#held.get(key);
    if (held !== undefined) this.#end(held);
    const verdict = deny("exchange", "next-hop-refused", {
      why: code,
      detail: `The provider is called with a token of its own, and none is given for this caller (${code})`,
    });
    if (over !== null) return verdict;
    if (this.#refused.size >= nextHopRefusedMax) this.#refused.clear();
    this.#refused.set(key, { verdict, untilMs: this.#ports.clock.monotonic() + nextHopRefusedMs });
    return verdict;
  }

  #hold({ key, revocable }: NextHopWanted, answer: NextHopToken, leftMs: number): void {
    const { clock } = this.#ports;
    const before = this.#held.get(key);
    if (before !== undefined) this.#end(before);
    for (const oldest of this.#held.values()) {
      if (this.#held.size < nextHopTokensMax) break;
      this.#end(oldest);
    }
    const useMs = leftMs - Math.min(nextHopMarginMs, leftMs / 4);
    const held: Held = {
      key,
      answer,
      over: null,
      madeAtMs: clock.now(),
      madeMonotonicMs: clock.monotonic(),
      useMs,
      refreshMs: useMs * refreshShare,
    };
    this.#held.set(key, held);
    this.#index.put(held, revocable);
  }

  #end(one: Standing, over: NonNullable<Standing["over"]> = "ended"): void {
    one.over ??= over;
    this.#index.remove(one);
    if (this.#held.get(one.key) === one) this.#held.delete(one.key);
    if (this.#flights.get(one.key) === one) this.#flights.delete(one.key);
  }
}
