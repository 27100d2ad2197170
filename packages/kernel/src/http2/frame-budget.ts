// Promises that nobody sends more frames that cost us something and bring nothing than a well-behaved peer ever would. Trusts the clock it is given.
// The figures have their rows in docs/http2.md (bounds).

export interface BudgetRule {
  /** So many at once. */
  readonly burst: number;
  readonly perSecond: number;
}

export type CountedFrame = "reset" | "ping" | "settings" | "priority" | "window-update" | "empty-data" | "unknown";

export const frameBudgets: Readonly<Record<CountedFrame, BudgetRule>> = {
  /** Streams that ended by a reset, whoever sent it (CVE-2023-44487, CVE-2025-8671). */
  reset: { burst: 200, perSecond: 33 },
  ping: { burst: 100, perSecond: 10 },
  settings: { burst: 20, perSecond: 1 },
  priority: { burst: 200, perSecond: 10 },
  "window-update": { burst: 1_000, perSecond: 200 },
  "empty-data": { burst: 100, perSecond: 10 },
  unknown: { burst: 100, perSecond: 10 },
};

/** Each so many octets of content earn the peer one frame more that answers or measures them. */
const bytesPerFrame = 1_024;

/** Of one connection. */
export class FrameBudget {
  readonly #now: () => number;
  readonly #left = new Map<CountedFrame, { tokens: number; atMs: number }>();

  /** `now`: monotonic milliseconds. */
  constructor(now: () => number) {
    this.#now = now;
  }

  /** One more; false: too many. */
  take(kind: CountedFrame): boolean {
    const nowMs = this.#now();
    const { burst, perSecond } = frameBudgets[kind];
    const left = this.#left.get(kind);
    if (left === undefined) {
      this.#left.set(kind, { tokens: burst - 1, atMs: nowMs });
      return true;
    }
    left.tokens = Math.min(Math.max(burst, left.tokens), left.tokens + ((nowMs - left.atMs) * perSecond) / 1_000);
    left.atMs = nowMs;
    if (left.tokens < 1) return false;
    left.tokens--;
    return true;
  }

  /** What was sent must be acknowledged, and some measure the way with a PING for what they got: frames for it are no flood. */
  sent(bytes: number): void {
    this.#earn("window-update", bytes);
    this.#earn("ping", bytes);
  }

  /** Who sends much may measure the way, too. */
  received(bytes: number): void {
    this.#earn("ping", bytes);
  }

  #earn(kind: CountedFrame, bytes: number): void {
    const left = this.#left.get(kind);
    if (left !== undefined) left.tokens = Math.min(frameBudgets[kind].burst, left.tokens + bytes / bytesPerFrame);
  }
}
