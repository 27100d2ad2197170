// Promises that no source network and no crowd can make the gateway do costly work without a bound: requests in flight, requests per
// second and bad credentials are capped per source prefix and over all, before any signature is checked. Trusts the peer address of the
// socket. Specified in docs/gateway.md (admit).
import type { Clock } from "@sallyport/kernel/ports.ts";
import { type Deny, deny } from "@sallyport/protocol/verdict.ts";

export interface AdmissionLimits {
  readonly inFlightMax: number;
  readonly inFlightPerPrefixMax: number;
  /** Requests one prefix may begin per window. */
  readonly requestsPerPrefixMax: number;
  /** Failed identifications one prefix may have per window before it is turned away unheard. */
  readonly badCredentialsPerPrefixMax: number;
  readonly windowMs: number;
  /** Prefixes remembered at once. The one that has been idle longest makes room; when all are busy the newcomer is refused. */
  readonly prefixesMax: number;
}

export const defaultAdmissionLimits: AdmissionLimits = {
  inFlightMax: 10_000,
  inFlightPerPrefixMax: 4_000,
  requestsPerPrefixMax: 500_000,
  badCredentialsPerPrefixMax: 600,
  windowMs: 10_000,
  prefixesMax: 16_384,
};

interface PrefixState {
  windowStartMs: number;
  requests: number;
  badCredentials: number;
  inFlight: number;
}

export class Admission {
  readonly #limits: AdmissionLimits;
  readonly #clock: Clock;
  readonly #prefixes = new Map<string, PrefixState>();
  /** Prefixes with nothing in flight, the longest idle first. */
  readonly #idle = new Set<string>();
  #inFlight = 0;

  constructor(limits: AdmissionLimits, clock: Clock) {
    this.#limits = limits;
    this.#clock = clock;
  }

  get inFlight(): number {
    return this.#inFlight;
  }

  /** Counts one request in; null when it may go on. Every null must be followed by exactly one `leave`. */
  enter(prefix: string): Deny | null {
    const limits = this.#limits;
    if (this.#inFlight >= limits.inFlightMax) return deny("admit", "overloaded", { bound: "in flight over all" });
    const state = this.#stateOf(prefix);
    if (state === null) return deny("admit", "overloaded", { bound: "source prefixes remembered" });
    const refusal = decideAdmission(state, limits);
    if (refusal !== null) return refusal;
    state.requests++;
    if (state.inFlight++ === 0) this.#idle.delete(prefix);
    this.#inFlight++;
    return null;
  }

  leave(prefix: string): void {
    this.#inFlight--;
    const state = this.#prefixes.get(prefix);
    if (state !== undefined && --state.inFlight === 0) this.#idle.add(prefix);
  }

  /** One failed identification from this prefix. */
  countBadCredential(prefix: string): void {
    const state = this.#stateOf(prefix);
    if (state !== null) state.badCredentials++;
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
    const fresh: PrefixState = { windowStartMs: now, requests: 0, badCredentials: 0, inFlight: 0 };
    this.#prefixes.set(prefix, fresh);
    this.#idle.add(prefix);
    return fresh;
  }

  /** Makes room for one: otherwise a crowd of networks that each came once would lock everybody new out for a window. */
  #forgetIdle(): boolean {
    for (const oldest of this.#idle) {
      this.#idle.delete(oldest);
      return this.#prefixes.delete(oldest);
    }
    return false;
  }
}

/** May one more request of this prefix begin? Pure. */
export function decideAdmission(state: Readonly<PrefixState>, limits: AdmissionLimits): Deny | null {
  if (state.badCredentials >= limits.badCredentialsPerPrefixMax)
    return deny("admit", "too-many-from-source", { bound: "bad credentials" });
  if (state.requests >= limits.requestsPerPrefixMax)
    return deny("admit", "too-many-from-source", { bound: "requests" });
  if (state.inFlight >= limits.inFlightPerPrefixMax)
    return deny("admit", "too-many-from-source", { bound: "in flight" });
  return null;
}
