// Promises that no more crossings pass in a period than a quota allows, over all gateways of one data-plane store and over every restart: permits are drawn
// from the store ahead of use, some at once, so that most crossings ask nobody; what a gateway that dies had drawn is used, not free again.
// Trusts the store. Specified in docs/limits.md "Quotas".
import type { QuotaLimit } from "@sallyport/protocol/snapshot/limit-objects.ts";
import type { OpenDataPlane } from "../idempotency/data-plane.ts";
import type { Logger } from "../ports.ts";
import { type CalendarPeriod, calendarOf, periodAt } from "./calendar.ts";

/** Most permits that one gateway draws at once for one counted thing, and the share of the whole quota that is. */
export const drawnTogetherMax = 256;
export const shareOfQuota = 100;
/** Things with permits drawn in one gateway. */
export const holdingsMax = 65_536;
/** What was not used for so long goes back. */
const idleMsMax = 30_000;
/** Before the store is asked again about a quota that is used up. */
const emptyMs = 1_000;
/** Given back in one sweep. */
const givenBackMax = 256;
const formatsMax = 64;

/** Where permits come from. */
export interface QuotaStore {
  /** Milliseconds since the epoch, by a clock that does not jump. */
  now(): number;
  /** Rejects with a fault where the store cannot be used. */
  ready(): OpenDataPlane | Promise<OpenDataPlane>;
}

export interface QuotaState {
  readonly allowed: boolean;
  readonly period: "day" | "month";
  readonly max: number;
  /** As far as this gateway knows; others may have used some since. */
  readonly remaining: number;
  /** Milliseconds since the epoch. */
  readonly renewsAtMs: number;
  readonly renewsInMs: number;
  readonly lengthMs: number;
}

interface Holding {
  readonly period: CalendarPeriod;
  quotaHash: Uint8Array | null;
  held: number;
  /** In the store, at the last draw. */
  left: number;
  /** Of the last draw. */
  granted: number;
  waiting: number;
  drawing: Promise<void> | null;
  usedAtMs: number;
  /** Monotonic milliseconds until which nothing is left. */
  emptyUntilMs: number;
}

/** What is counted: the rule, and the name of whom. */
export interface Counted {
  readonly rule: QuotaLimit;
  readonly name: string;
}

export class Quotas {
  readonly #store: QuotaStore;
  readonly #logger: Logger;
  readonly #monotonic: () => number;
  readonly #holdings = new Map<string, Holding>();
  readonly #periods = new Map<string, { readonly dateAt: (ms: number) => string; last: CalendarPeriod }>();
  /** Draws from the store, shown by metrics. */
  draws = 0;

  constructor(store: QuotaStore, { logger, monotonic }: { readonly logger: Logger; readonly monotonic: () => number }) {
    this.#store = store;
    this.#logger = logger;
    this.#monotonic = monotonic;
  }

  /** Takes one permit. Null: there is no room to count another thing. Rejects as the store does, and then nothing was taken. */
  take(counted: Counted): QuotaState | null | Promise<QuotaState | null> {
    const { rule, name } = counted;
    const now = this.#store.now();
    const holding = this.#holdingOf(counted, now);
    if (holding === null) return null;
    holding.usedAtMs = this.#monotonic();
    if (holding.held > 0) {
      holding.held--;
      if (holding.held < holding.granted >> 2 && holding.left > 0) void this.#draw(counted, holding).catch(() => {}); // Who needs it is told.
      return stateOf(rule, holding, { allowed: true, now });
    }
    if (holding.usedAtMs < holding.emptyUntilMs) return stateOf(rule, holding, { allowed: false, now });
    return this.#takeDrawn(counted, holding, name);
  }

  /** One permit that another limit's refusal made pointless; of a period that is over it is worth nothing. */
  refund({ name }: Counted, { renewsAtMs }: QuotaState): void {
    const holding = this.#holdings.get(name);
    if (holding?.period.endMs === renewsAtMs && holding.quotaHash !== null) holding.held++;
  }

  /** Called often: what is idle, or of a period that is over, goes back. */
  sweep(): void {
    const now = this.#store.now();
    const idleBefore = this.#monotonic() - idleMsMax;
    let most = givenBackMax;
    for (const [name, holding] of this.#holdings) {
      const isOver = now >= holding.period.endMs;
      if (holding.drawing !== null || !(isOver || holding.usedAtMs < idleBefore)) continue;
      this.#holdings.delete(name);
      if (holding.held === 0) continue;
      void this.#giveBack(holding);
      if (--most === 0) return;
    }
  }

  /** Gives back what is held; resolves when the store has it, or cannot take it. */
  async close(): Promise<void> {
    const holdings = [...this.#holdings.values()];
    this.#holdings.clear();
    await Promise.all(holdings.map(({ drawing }) => drawing?.catch(() => {}))); // What it drew is in its holding.
    await Promise.all(holdings.map((holding) => this.#giveBack(holding)));
  }

  /** Permits drawn and not used yet. */
  get held(): number {
    let sum = 0;
    for (const { held } of this.#holdings.values()) sum += held;
    return sum;
  }

  async #takeDrawn(counted: Counted, first: Holding, name: string): Promise<QuotaState | null> {
    let holding: Holding | null = first;
    for (;;) {
      holding.waiting++;
      await this.#draw(counted, holding).finally(() => {
        if (holding !== null) holding.waiting--;
      });
      const now = this.#store.now();
      const current = this.#holdings.get(name);
      // Midnight may have passed, or a sweep, while the store was asked.
      if (current !== holding || now >= holding.period.endMs) {
        holding = this.#holdingOf(counted, now);
        if (holding === null) return null;
        if (holding.held === 0) continue;
      }
      if (holding.held > 0) {
        holding.held--;
        return stateOf(counted.rule, holding, { allowed: true, now });
      }
      if (this.#monotonic() < holding.emptyUntilMs) return stateOf(counted.rule, holding, { allowed: false, now });
    }
  }

  /** One draw at a time for one holding; whoever comes meanwhile waits for the same one. */
  #draw(counted: Counted, holding: Holding): Promise<void> {
    holding.drawing ??= this.#askStore(counted, holding).finally(() => {
      holding.drawing = null;
    });
    return holding.drawing;
  }

  async #askStore({ rule, name }: Counted, holding: Holding): Promise<void> {
    const plane = await this.#store.ready();
    const { period } = holding;
    holding.quotaHash ??= plane.keys.quotaOf(name, period.label);
    const together = Math.max(1, Math.min(drawnTogetherMax, Math.floor(rule.max / shareOfQuota)));
    const wanted = together + Math.max(0, holding.waiting - 1);
    const drawn = await plane.run("drawQuota", {
      quotaHash: holding.quotaHash,
      endsAt: period.endMs,
      max: rule.max,
      wanted,
    });
    this.draws++;
    holding.held += drawn.granted;
    holding.granted = drawn.granted;
    holding.left = drawn.left;
    holding.emptyUntilMs = drawn.granted === 0 ? this.#monotonic() + emptyMs : 0;
  }

  #holdingOf(counted: Counted, now: number): Holding | null {
    const { name, rule } = counted;
    const known = this.#holdings.get(name);
    if (known !== undefined && now >= known.period.startMs && now < known.period.endMs) return known;
    if (known !== undefined) {
      this.#holdings.delete(name);
      if (known.drawing === null) void this.#giveBack(known);
    } else if (this.#holdings.size >= holdingsMax) return null;
    const fresh: Holding = {
      period: this.#periodOf(rule, now),
      quotaHash: null,
      held: 0,
      left: 0,
      granted: 0,
      waiting: 0,
      drawing: null,
      usedAtMs: 0,
      emptyUntilMs: 0,
    };
    this.#holdings.set(name, fresh);
    return fresh;
  }

  #periodOf({ period, timeZone }: QuotaLimit, now: number): CalendarPeriod {
    const name = `${period} ${timeZone}`;
    const known = this.#periods.get(name);
    if (known !== undefined && now >= known.last.startMs && now < known.last.endMs) return known.last;
    const dateAt = known?.dateAt ?? calendarOf(timeZone);
    const last = periodAt(now, period, dateAt);
    if (this.#periods.size >= formatsMax) this.#periods.clear();
    this.#periods.set(name, { dateAt, last });
    return last;
  }

  async #giveBack(holding: Holding): Promise<void> {
    const { held, quotaHash } = holding;
    if (held === 0 || quotaHash === null) return;
    holding.held = 0;
    try {
      await (await this.#store.ready()).run("giveBackQuota", { quotaHash, permits: held });
    } catch (cause) {
      this.#logger.warn(
        { err: String(cause), permits: held },
        "permits of a quota could not be given back: they count as used",
      );
    }
  }
}

function stateOf(
  { max, period }: QuotaLimit,
  holding: Holding,
  { allowed, now }: { readonly allowed: boolean; readonly now: number },
): QuotaState {
  const { startMs, endMs } = holding.period;
  return {
    allowed,
    period,
    max,
    remaining: Math.min(max, holding.left + holding.held),
    renewsAtMs: endMs,
    renewsInMs: Math.max(0, endMs - now),
    lengthMs: endMs - startMs,
  };
}
