// Promises that no source network and no crowd can make the gateway do costly work without a bound: requests in flight, requests per
// second and bad credentials are capped per source prefix and over all, before any signature is checked. Trusts the peer address of the
// socket. Specified in docs/gateway.md (admit).
import type { Clock } from "@sallyport/kernel/ports.ts";
import { type Deny, deny } from "@sallyport/protocol/verdict.ts";
import { InFlight, type Place, type UnderWay } from "../limit/in-flight.ts";
import { IdleList, type Idling } from "./idle-list.ts";
import { type Source, type SourceLengths, sourceKey } from "./source-prefix.ts";

export interface AdmissionLimits {
  readonly inFlightMax: number;
  readonly inFlightPerPrefixMax: number;
  /** Requests one prefix may begin per window. */
  readonly requestsPerPrefixMax: number;
  /** Failed identifications one prefix may have per window before it is turned away unheard. */
  readonly badCredentialsPerPrefixMax: number;
  /** How long it is turned away then. */
  readonly badCredentialsPauseMs: number;
  readonly windowMs: number;
  /** Prefixes remembered at once. The one that has been idle longest makes room; when all are busy the newcomer is refused. */
  readonly prefixesMax: number;
  readonly prefixLengths: SourceLengths;
}

export const defaultAdmissionLimits: AdmissionLimits = {
  inFlightMax: 10_000,
  inFlightPerPrefixMax: 4_000,
  requestsPerPrefixMax: 500_000,
  badCredentialsPerPrefixMax: 600,
  badCredentialsPauseMs: 30_000,
  windowMs: 10_000,
  prefixesMax: 16_384,
  prefixLengths: null,
};

/** What a crossing has taken here. */
export interface Admitted {
  readonly admitted: boolean;
  readonly source: Source;
  readonly places: readonly Place[];
}

interface PrefixCounts {
  windowStartMs: number;
  requests: number;
  badCredentials: number;
  inFlight: number;
  /** Turned away until then; 0: it is not. */
  refusedUntilMs: number;
}

interface PrefixState extends PrefixCounts, Idling<PrefixState> {
  readonly prefix: string;
}

/** Looked at for one that may be forgotten, before the longest idle is whatever it did. */
const forgettableLooksMax = 32;

/** What stages ask; counted in this thread alone, or over all of a node (workers/shared-admission.ts). */
export interface Admitting
  extends Pick<Admission, "inFlight" | "keyOf" | "enter" | "leave" | "end" | "countBadCredential"> {
  /** What limits of concurrency count, after the caller is known. */
  readonly inFlightOf: UnderWay;
}

export class Admission implements Admitting {
  readonly #limits: AdmissionLimits;
  readonly #clock: Clock;
  readonly #prefixes = new Map<string, PrefixState>();
  /** Prefixes with nothing in flight, the longest idle first. */
  readonly #idle = new IdleList<PrefixState>();
  #inFlight = 0;
  readonly inFlightOf = new InFlight();

  constructor(limits: AdmissionLimits, clock: Clock) {
    this.#limits = limits;
    this.#clock = clock;
  }

  get inFlight(): number {
    return this.#inFlight;
  }

  /** What a source is counted as here. */
  keyOf(source: Source): string {
    return this.#limits.prefixLengths === null ? source.prefix : sourceKey(source, this.#limits.prefixLengths);
  }

  /** Counts one request in; null when it may go on. Every null must be followed by exactly one `leave`. */
  enter(prefix: string): Deny | null {
    const limits = this.#limits;
    if (this.#inFlight >= limits.inFlightMax) return deny("admit", "overloaded", { bound: "in flight over all" });
    const state = this.#stateOf(prefix);
    if (state === null) return deny("admit", "overloaded", { bound: "source prefixes remembered" });
    const refusal = decideAdmission(state, { limits, nowMs: this.#clock.monotonic() });
    if (refusal !== null) return refusal;
    state.requests++;
    if (state.inFlight++ === 0) this.#idle.remove(state);
    this.#inFlight++;
    return null;
  }

  leave(prefix: string): void {
    this.#inFlight--;
    const state = this.#prefixes.get(prefix);
    if (state !== undefined && --state.inFlight === 0) this.#idle.add(state);
  }

  /** The crossing is over: what was counted while it was under way is counted no more. */
  end({ admitted, source, places }: Admitted): void {
    if (admitted) this.leave(this.keyOf(source));
    for (const place of places) place.giveBack();
  }

  /** One failed identification from this prefix, or what is worth as many. */
  countBadCredential(prefix: string, worth = 1): void {
    const state = this.#stateOf(prefix);
    if (state === null) return;
    state.badCredentials += worth;
    if (state.badCredentials < this.#limits.badCredentialsPerPrefixMax) return;
    state.refusedUntilMs = this.#clock.monotonic() + this.#limits.badCredentialsPauseMs;
  }

  #stateOf(prefix: string): PrefixState | null {
    const now = this.#clock.monotonic();
    const known = this.#prefixes.get(prefix);
    if (known !== undefined) {
      if (now - known.windowStartMs >= this.#limits.windowMs) {
        known.windowStartMs = now;
        known.requests = 0;
        known.badCredentials = 0;
      }
      return known;
    }
    if (this.#prefixes.size >= this.#limits.prefixesMax && !this.#forgetIdle()) return null;
    const counts = { windowStartMs: now, requests: 0, badCredentials: 0, inFlight: 0, refusedUntilMs: 0 };
    const fresh: PrefixState = { prefix, longer: null, shorter: null, ...counts };
    this.#prefixes.set(prefix, fresh);
    this.#idle.add(fresh);
    return fresh;
  }

  /** Makes room for one: otherwise a crowd of networks that each came once would lock everybody new out for a window. */
  #forgetIdle(): boolean {
    const nowMs = this.#clock.monotonic();
    let chosen: PrefixState | null = null;
    let looks = 0;
    for (const idle of this.#idle) {
      const isRefused = idle.refusedUntilMs > nowMs;
      if (chosen === null || !isRefused) chosen = idle;
      if (!isRefused || ++looks === forgettableLooksMax) break;
    }
    if (chosen === null) return false;
    this.#idle.remove(chosen);
    return this.#prefixes.delete(chosen.prefix);
  }
}

/** May one more request of this prefix begin? Pure. */
export function decideAdmission(
  state: Readonly<PrefixCounts>,
  { limits, nowMs }: { readonly limits: AdmissionLimits; readonly nowMs: number },
): Deny | null {
  const refuse = (bound: string, untilMs: number): Deny =>
    deny("admit", "too-many-from-source", {
      bound,
      retryAfterS: String(Math.max(1, Math.ceil((untilMs - nowMs) / 1_000))),
    });
  if (nowMs < state.refusedUntilMs) return refuse("bad credentials", state.refusedUntilMs);
  if (state.requests >= limits.requestsPerPrefixMax) return refuse("requests", state.windowStartMs + limits.windowMs);
  if (state.inFlight >= limits.inFlightPerPrefixMax) return refuse("in flight", nowMs);
  return null;
}
