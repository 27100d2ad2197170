// Promises that crossings which wait for room at a provider go on by their priority, then by who has least under way there, then in the order they came; and
// that a line which is full makes room for one that comes before another. Trusts whoever frees room to say so. Specified in docs/resilience.md "In flight".
import { type Claimant, type FairRoom, rankOf, type ShedRule } from "./fair-room.ts";

export interface Waiter {
  readonly claimant: Claimant;
  /** There is room; false: it could not use it. */
  go(): boolean;
  /** Its place went to another, by this rule. */
  shed(rule: ShedRule): void;
}

export class WaitingLine {
  readonly #waiting: Waiter[] = [];
  readonly #room: Pick<FairRoom, "underWayOf">;

  constructor(room: Pick<FairRoom, "underWayOf">) {
    this.#room = room;
  }

  get length(): number {
    return this.#waiting.length;
  }

  join(waiter: Waiter): void {
    this.#waiting.push(waiter);
  }

  leave(waiter: Waiter): void {
    const at = this.#waiting.indexOf(waiter);
    if (at >= 0) this.#waiting.splice(at, 1);
  }

  /** Lets the one that comes first go on, as long as there is room for it. */
  room(): void {
    let [first] = this.#waiting;
    for (const one of this.#waiting) if (first !== undefined && this.#isBefore(one, first)) first = one;
    if (first === undefined || !first.go()) return;
    this.leave(first);
  }

  /** In a full line: the place of the last of those that come after `newcomer` goes to it; false: there is none. */
  displace(newcomer: Claimant): boolean {
    const line = this.#waiting.toReversed();
    let [last] = line;
    for (const one of line) if (last !== undefined && this.#weigh(one.claimant, last.claimant) > 0) last = one;
    if (last === undefined) return false;
    const rank = rankOf[newcomer.priority] - rankOf[last.claimant.priority];
    // With one more each: who would have as many is not before the other.
    if (rank < 0 || (rank === 0 && this.#claimOf(newcomer.who) + 1 >= this.#claimOf(last.claimant.who))) return false;
    this.leave(last);
    last.shed(rank > 0 ? "priority" : "share");
    return true;
  }

  #isBefore(one: Waiter, other: Waiter): boolean {
    const rank = rankOf[one.claimant.priority] - rankOf[other.claimant.priority];
    if (rank !== 0) return rank > 0;
    return this.#room.underWayOf(one.claimant.who) < this.#room.underWayOf(other.claimant.who);
  }

  /** More than 0: `one` is to be shed before `other`. */
  #weigh(one: Claimant, other: Claimant): number {
    return rankOf[other.priority] - rankOf[one.priority] || this.#claimOf(one.who) - this.#claimOf(other.who);
  }

  /** Under way and in line. */
  #claimOf(who: string): number {
    let sum = this.#room.underWayOf(who);
    for (const { claimant } of this.#waiting) if (claimant.who === who) sum++;
    return sum;
  }
}
