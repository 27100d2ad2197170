// Promises at most `entriesMax` remembered answers, the least recently used leaving first. Trusts keys to be injective.
// Specified in docs/policy.md.

/** Keys longer than this are not worth their memory. */
export const memoKeyLengthMax = 2048;

export class Memo<Answer> {
  readonly #answers = new Map<string, Answer>();
  readonly #entriesMax: number;
  /** Used last: it need not move. Moving costs a table every few times, and tables that grow old keep younger ones alive. */
  #latest: string | undefined;

  /** @param entriesMax 0 switches remembering off. */
  constructor(entriesMax: number) {
    this.#entriesMax = entriesMax;
  }

  get size(): number {
    return this.#answers.size;
  }

  get(key: string): Answer | undefined {
    const answer = this.#answers.get(key);
    if (answer === undefined || key === this.#latest) return answer;
    this.#answers.delete(key);
    this.#answers.set(key, answer);
    this.#latest = key;
    return answer;
  }

  set(key: string, answer: Answer): void {
    if (this.#entriesMax === 0 || key.length > memoKeyLengthMax) return;
    this.#answers.delete(key);
    if (this.#answers.size >= this.#entriesMax) {
      const oldest = this.#answers.keys().next();
      if (!oldest.done) this.#answers.delete(oldest.value);
    }
    this.#answers.set(key, answer);
    this.#latest = key;
  }
}
