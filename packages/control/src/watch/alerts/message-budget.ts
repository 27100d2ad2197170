// Promises at most so many messages in any minute: the first findings are told one by one, what is more is told in one message. Pure but for what it
// remembers of the last minute. Trusts the clock. Specified in docs/alerts.md "A flood".

const windowMs = 60_000;

export class MessageBudget {
  readonly #perMinute: number;
  #sentAtMs: readonly number[] = [];

  constructor(perMinute: number) {
    this.#perMinute = perMinute;
  }

  /** How many of `due` findings go into each message now, in order; the last message takes all that are left. None: nothing may be sent now. */
  parts(due: number, nowMs: number): readonly number[] {
    const left = this.#perMinute - this.#recent(nowMs).length;
    if (due === 0 || left <= 0) return [];
    if (due <= left) return Array.from({ length: due }, () => 1);
    return [...Array.from({ length: left - 1 }, () => 1), due - (left - 1)];
  }

  sent(nowMs: number): void {
    this.#sentAtMs = [...this.#recent(nowMs), nowMs];
  }

  /** A clock that was set back forgets nothing for longer than a minute. */
  #recent(nowMs: number): readonly number[] {
    return this.#sentAtMs.filter((at) => at > nowMs - windowMs && at <= nowMs + windowMs);
  }
}
