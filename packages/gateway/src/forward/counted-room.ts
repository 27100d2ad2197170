// Promises that where a provider is given less than its node has worker threads, all of them together have exactly that under way, and none is without a chance:
// what is too little to divide is counted in common. Trusts the count of the node. Specified in docs/resilience.md "In flight" and docs/workers.md.
import type { ResilienceObject } from "@sallyport/protocol/snapshot/objects.ts";
import type { Place, UnderWay } from "../limit/in-flight.ts";
import { isUndivided, type RoomShare } from "./room-share.ts";
import type { WaitingLine } from "./waiting-line.ts";

/** Milliseconds between looks of those that wait: nobody tells a thread of room that another made. */
const lookMs = 5;
const freely: Place = { giveBack: () => {} };

export interface RoomOf {
  readonly system: string;
  /** As declared. */
  readonly rules: ResilienceObject;
  /** Of the node. */
  readonly underWay: UnderWay;
  readonly share: RoomShare | undefined;
}

export class CountedRoom {
  readonly #of: RoomOf;
  readonly #total: number | undefined;
  readonly #each: number | undefined;
  #timer: NodeJS.Timeout | null = null;

  constructor(of: RoomOf) {
    const { total, each } = of.rules.inFlight ?? {};
    this.#of = of;
    this.#total = isUndivided(total, of.share) ? total : undefined;
    this.#each = isUndivided(each, of.share) ? each : undefined;
  }

  /** Is anything of it counted in common? */
  get isCommon(): boolean {
    return this.#total !== undefined || this.#each !== undefined;
  }

  /** A place for one attempt, until it is given back; null: other threads have all there is. */
  take(origin: string): Place | null {
    const { system, underWay } = this.#of;
    const inAll = this.#total === undefined ? freely : underWay.take(`room of ${system}`, this.#total);
    if (inAll === null || this.#each === undefined) return inAll;
    const there = underWay.take(`room of ${system} at ${origin}`, this.#each);
    if (there === null) {
      inAll.giveBack();
      return null;
    }
    return {
      giveBack: () => {
        there.giveBack();
        inAll.giveBack();
      },
    };
  }

  /** Lets those that wait look for themselves, as long as there are any. */
  watch(line: Pick<WaitingLine, "length" | "room">): void {
    if (!this.isCommon || this.#timer !== null) return;
    this.#timer = setTimeout(() => {
      this.#timer = null;
      line.room();
      if (line.length > 0) this.watch(line);
    }, lookMs);
  }
}
