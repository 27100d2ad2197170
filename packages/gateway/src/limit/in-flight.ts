// Promises the number of crossings under way per counted thing, on one node, whatever snapshot they began under. Trusts its users to end what they
// begin; what stands at nought is forgotten, so there are never more things than crossings. Specified in docs/limits.md.

/** A place that is held until it is given back, once. */
export interface Place {
  giveBack(): void;
}

/** What limits of concurrency are asked of. */
export type UnderWay = Pick<InFlight, "take" | "countOf" | "size">;

export class InFlight {
  readonly #counts = new Map<string, number>();

  /** A place among at most `max` of `name`; null: all are taken. */
  take(name: string, max: number): Place | null {
    const count = this.#counts.get(name) ?? 0;
    if (count >= max) return null;
    this.#counts.set(name, count + 1);
    let isHeld = true;
    return {
      giveBack: () => {
        if (isHeld) this.#leave(name);
        isHeld = false;
      },
    };
  }

  /** Under way of `name`. */
  countOf(name: string): number {
    return this.#counts.get(name) ?? 0;
  }

  /** Things with something under way. */
  get size(): number {
    return this.#counts.size;
  }

  #leave(name: string): void {
    const left = (this.#counts.get(name) ?? 1) - 1;
    if (left > 0) this.#counts.set(name, left);
    else this.#counts.delete(name);
  }
}
