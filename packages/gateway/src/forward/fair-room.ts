// Promises who may have room at a provider that has all it is given: more urgent crossings before others, and of equally urgent ones whoever has least under
// way, so that nobody holds it all while somebody else wants some. Where there is room for all it decides nothing. Trusts its users to end what they begin.
// Specified in docs/resilience.md "Who comes first".
import type { Priority } from "@sallyport/protocol/snapshot/limit-objects.ts";

/** Why room, or a place in line, goes to another. */
export type ShedRule = "priority" | "share";

export interface Claimant {
  /** Whose crossings are counted together: a client. */
  readonly who: string;
  readonly priority: Priority;
}

/** Who was refused, or waits, counts as wanting room for so long. */
export const wantMs = 2_000;
/** Wanting at once; beyond it the longest waiting are forgotten, and with them only their share. */
const wantingMax = 1_024;

export const rankOf: Readonly<Record<Priority, number>> = { low: 0, normal: 1, high: 2 };

interface Want {
  untilMs: number;
  rank: number;
}

export class FairRoom {
  readonly #underWay = new Map<string, number>();
  readonly #wants = new Map<string, Want>();

  underWayOf(who: string): number {
    return this.#underWay.get(who) ?? 0;
  }

  /** Why a claimant may not have what is free; null: it may. `total`: all that the provider is given. */
  refusal({ who, priority }: Claimant, total: number, nowMs: number): ShedRule | null {
    if (this.#wants.size === 0) return null;
    this.#forgetOver(nowMs);
    const rank = rankOf[priority];
    const mine = this.underWayOf(who);
    let others = 0;
    let isWanted = false;
    for (const [other, want] of this.#wants) {
      if (want.rank > rank) return "priority";
      if (other === who || want.rank < rank) continue;
      const theirs = this.underWayOf(other);
      if (theirs === 0) others++;
      if (theirs < mine) isWanted = true;
    }
    if (!isWanted) return null;
    const sharers = this.#underWay.size + (mine === 0 ? 1 : 0) + others;
    return mine >= Math.max(1, Math.floor(total / sharers)) ? "share" : null;
  }

  /** Was anybody refused for want of room just now, or waits for some? */
  isWanted(nowMs: number): boolean {
    this.#forgetOver(nowMs);
    return this.#wants.size > 0;
  }

  /** It wanted room and there was none. */
  wants({ who, priority }: Claimant, nowMs: number): void {
    const rank = Math.max(rankOf[priority], this.#wants.get(who)?.rank ?? 0);
    this.#wants.delete(who);
    if (this.#wants.size >= wantingMax) this.#forgetFirst();
    this.#wants.set(who, { untilMs: nowMs + wantMs, rank });
  }

  took({ who }: Claimant): void {
    this.#wants.delete(who);
    this.#underWay.set(who, this.underWayOf(who) + 1);
  }

  left({ who }: Claimant): void {
    const left = this.underWayOf(who) - 1;
    if (left > 0) this.#underWay.set(who, left);
    else this.#underWay.delete(who);
  }

  /** The longest wanting come first: the map is in the order of their ends. */
  #forgetOver(nowMs: number): void {
    for (const [who, { untilMs }] of this.#wants) {
      if (untilMs > nowMs) return;
      this.#wants.delete(who);
    }
  }

  #forgetFirst(): void {
    for (const who of this.#wants.keys()) {
      this.#wants.delete(who);
      return;
    }
  }
}
