// Promises that no source takes all connections, and that handshakes, which cost us more than their callers, are few at once and in a window, of each source
// and in all; what it remembers is bounded, whoever comes. Trusts the source it is told. Specified in docs/gateway.md (listen).
import { IdleList, type Idling } from "./idle-list.ts";
import { type Source, type SourceLengths, sourceKey } from "./source-prefix.ts";

export interface DoorLimits {
  /** Open at once. */
  readonly connectionsPerPrefixMax: number;
  /** Handshakes of TLS under way. */
  readonly handshakesMax: number;
  readonly handshakesPerPrefixMax: number;
  /** Handshakes that one source may begin in a window. */
  readonly handshakesPerPrefixWindowMax: number;
  readonly windowMs: number;
  /** Sources remembered at once. One with nothing open makes room; when all have something the newcomer is refused. */
  readonly prefixesMax: number;
  readonly prefixLengths: SourceLengths;
}

export type DoorRefusal = "source-connections" | "source-share" | "handshakes" | "sources";

export interface Entered {
  /** Its handshake is over. */
  secured(): void;
  /** It is closed. */
  left(): void;
}

interface PrefixCounts {
  open: number;
  handshakes: number;
  windowStartMs: number;
  begun: number;
}

interface PrefixState extends PrefixCounts, Idling<PrefixState> {
  readonly key: string;
}

/** What listeners ask; counted in this thread alone, or over all of a node (workers/shared-door.ts). */
export type DoorKeeping = Pick<Door, "enter">;

export class Door {
  readonly #limits: DoorLimits;
  readonly #monotonic: () => number;
  readonly #prefixes = new Map<string, PrefixState>();
  /** Those with nothing open, the longest idle first. */
  readonly #idle = new IdleList<PrefixState>();
  #handshakes = 0;

  constructor(limits: DoorLimits, monotonic: () => number) {
    this.#limits = limits;
    this.#monotonic = monotonic;
  }

  /** Lets a connection in, or says which bound it is beyond. */
  enter(source: Source, isTls: boolean): Entered | DoorRefusal {
    const key = sourceKey(source, this.#limits.prefixLengths);
    const state = this.#stateOf(key);
    if (state === null) return "sources";
    const refusal = decideEntry(state, { handshakes: this.#handshakes, isTls, limits: this.#limits });
    if (refusal !== null) return refusal;
    if (state.open++ === 0) this.#idle.remove(state);
    if (!isTls) return this.#entered(state, false);
    state.begun++;
    state.handshakes++;
    this.#handshakes++;
    return this.#entered(state, true);
  }

  /** Sources it remembers. */
  get size(): number {
    return this.#prefixes.size;
  }

  #entered(state: PrefixState, isTls: boolean): Entered {
    let isShaking = isTls;
    let isOpen = true;
    const secured = (): void => {
      if (!isShaking) return;
      isShaking = false;
      state.handshakes--;
      this.#handshakes--;
    };
    return {
      secured,
      left: () => {
        secured();
        if (!isOpen) return;
        isOpen = false;
        if (--state.open === 0) this.#idle.add(state);
      },
    };
  }

  #stateOf(key: string): PrefixState | null {
    const now = this.#monotonic();
    const known = this.#prefixes.get(key);
    if (known !== undefined) {
      if (now - known.windowStartMs >= this.#limits.windowMs) {
        known.windowStartMs = now;
        known.begun = 0;
      }
      return known;
    }
    if (this.#prefixes.size >= this.#limits.prefixesMax && !this.#forgetIdle()) return null;
    const counts = { open: 0, handshakes: 0, windowStartMs: now, begun: 0 };
    const fresh: PrefixState = { key, longer: null, shorter: null, ...counts };
    this.#prefixes.set(key, fresh);
    this.#idle.add(fresh);
    return fresh;
  }

  #forgetIdle(): boolean {
    for (const longest of this.#idle) {
      this.#idle.remove(longest);
      return this.#prefixes.delete(longest.key);
    }
    return false;
  }
}

interface EntryFacts {
  /** Under way in all. */
  readonly handshakes: number;
  readonly isTls: boolean;
  readonly limits: DoorLimits;
}

/** May one more connection of this source begin? Pure. */
export function decideEntry(
  state: Readonly<PrefixCounts>,
  { handshakes, isTls, limits }: EntryFacts,
): DoorRefusal | null {
  if (state.open >= limits.connectionsPerPrefixMax) return "source-connections";
  if (!isTls) return null;
  const isFull = handshakes >= limits.handshakesMax || state.handshakes >= limits.handshakesPerPrefixMax;
  return isFull || state.begun >= limits.handshakesPerPrefixWindowMax ? "handshakes" : null;
}
