// Promises to find everything that stands on a key at the cost of what is found, and to take one out of all its keys at the cost of its own.
// Trusts its caller to take out what it put in. Pure.

interface Membership<T> {
  readonly one: T;
  readonly key: string;
  /** Its place among those of its key. */
  at: number;
}

export class StreamIndex<T extends object> {
  /** Lists, not sets: one under which things come and go keeps its former tables (forward/deadlines.ts). */
  readonly #byKey = new Map<string, Membership<T>[]>();
  readonly #keysOf = new Map<T, readonly Membership<T>[]>();

  /** Under these keys from now on, and under no other. */
  put(one: T, keys: readonly string[]): void {
    const known = this.#keysOf.get(one);
    if (known !== undefined && known.length === keys.length && known.every(({ key }, i) => key === keys[i])) return;
    this.remove(one);
    const memberships = keys.map((key): Membership<T> => ({ one, key, at: -1 }));
    for (const membership of memberships) {
      const list = this.#byKey.get(membership.key);
      if (list === undefined) this.#byKey.set(membership.key, [membership]);
      else list.push(membership);
      membership.at = (list?.length ?? 1) - 1;
    }
    this.#keysOf.set(one, memberships);
  }

  remove(one: T): void {
    for (const membership of this.#keysOf.get(one) ?? []) {
      const list = this.#byKey.get(membership.key);
      const last = list?.pop();
      if (list === undefined || last === undefined) continue;
      if (last !== membership) {
        // The last one takes the place that is free.
        list[membership.at] = last;
        last.at = membership.at;
      }
      if (list.length === 0) this.#byKey.delete(membership.key);
    }
    this.#keysOf.delete(one);
  }

  /** A copy: what is found may be taken out while it is walked. */
  of(key: string): readonly T[] {
    return (this.#byKey.get(key) ?? []).map(({ one }) => one);
  }

  get keys(): number {
    return this.#byKey.size;
  }
}
