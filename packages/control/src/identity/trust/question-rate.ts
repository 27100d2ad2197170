// Promises that an issuer is asked no more often than the estate says, and that tokens nobody knows leave room for those that were good before. Pure but for
// its own count; trusts the clock it is given. Specified in docs/identity/outside-introspection.md "Bounds".

export class QuestionRate {
  readonly #perSecond: number;
  #level: number;
  #atMs: number;

  /** `nowMs`: milliseconds, never back. */
  constructor(perSecond: number, nowMs: number) {
    this.#perSecond = perSecond;
    this.#level = perSecond;
    this.#atMs = nowMs;
  }

  /** True: ask. One whose token is not known is refused while less than half a second's questions are left. */
  take(isKnown: boolean, nowMs: number): boolean {
    this.#level = Math.min(this.#perSecond, this.#level + ((nowMs - this.#atMs) / 1_000) * this.#perSecond);
    this.#atMs = nowMs;
    if (this.#level < (isKnown ? 1 : 1 + this.#perSecond / 2)) return false;
    this.#level -= 1;
    return true;
  }
}
