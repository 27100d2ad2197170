// Promises who has been idle for longest, at a cost that does not grow with how many there are. A Set would do the same, but its engine keeps what left it
// where it stood: one key that leaves and comes back at every request makes it look through thousands of those each time.
// Trusts each member to be in one list at a time.

/** What a member carries for its list. */
export interface Idling<T> {
  longer: T | null;
  shorter: T | null;
}

export class IdleList<T extends Idling<T>> {
  #longest: T | null = null;
  #shortest: T | null = null;

  /** Idle from now on. It must not be in the list. */
  add(member: T): void {
    member.longer = this.#shortest;
    member.shorter = null;
    if (this.#shortest === null) this.#longest = member;
    else this.#shortest.shorter = member;
    this.#shortest = member;
  }

  /** Idle no longer. It must be in the list. */
  remove(member: T): void {
    const { longer, shorter } = member;
    if (longer === null) this.#longest = shorter;
    else longer.shorter = shorter;
    if (shorter === null) this.#shortest = longer;
    else shorter.longer = longer;
    member.longer = null;
    member.shorter = null;
  }

  /** The longest idle first. None may be removed meanwhile. */
  *[Symbol.iterator](): Generator<T> {
    for (let member = this.#longest; member !== null; member = member.shorter) yield member;
  }
}
