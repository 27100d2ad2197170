// Promises a line in which each is taken in the order it came, and nothing of what was taken is kept: under load such a line is hardly ever empty,
// and what it still held would grow old with all it refers to. Trusts nothing; holds no more than its owner lets in.

/** Places of those taken that are kept free before the others move up. */
const freePlacesMax = 16_384;

export class WaitingLine<T extends object> {
  #places: (T | undefined)[] = [];
  #taken = 0;

  /** How many wait. */
  get length(): number {
    return this.#places.length - this.#taken;
  }

  push(one: T): void {
    this.#places.push(one);
  }

  /** The one that has waited longest; undefined where nobody waits. */
  shift(): T | undefined {
    const one = this.#places[this.#taken];
    if (one === undefined) return undefined;
    this.#places[this.#taken++] = undefined;
    if (this.#taken === this.#places.length) this.#places = [];
    else if (this.#taken > freePlacesMax) this.#places = this.#places.slice(this.#taken);
    else return one;
    this.#taken = 0;
    return one;
  }
}
