// Promises whether a second attempt is sent beside a first that is slow: only where sending twice cannot act twice, where there is room that nobody else wants,
// and inside the deadline and both budgets. Pure. Specified in docs/resilience.md "Hedging"; Dean and Barroso, The Tail at Scale (2013).
import { attemptMsMin } from "./decide-retry.ts";
import type { Repeatable } from "./may-repeat.ts";

/** What is known when the first attempt begins. */
export interface MayHedge {
  readonly repeatable: Repeatable;
  /** Its content, if any, is at hand. */
  readonly isHeld: boolean;
  /** The one request that tries whether an endpoint is back. */
  readonly isTrial: boolean;
  /** In all; 0: nothing is tried again. */
  readonly attemptsMax: number;
}

export function mayHedge({ repeatable, isHeld, isTrial, attemptsMax }: MayHedge): boolean {
  return repeatable === "always" && isHeld && !isTrial && attemptsMax > 1;
}

export interface HedgeQuestion {
  /** The caller has gone. */
  readonly isGone: boolean;
  /** Of the whole crossing. */
  readonly leftMs: number;
  /** Somebody waits for room, or was refused for want of it just now. */
  readonly isRoomWanted: boolean;
  /** Where it would go: to another endpoint, or to the only one. Else `none`. */
  readonly place: "other" | "only" | "full" | "none";
  /** Takes one out of both budgets; asked last. */
  takeBudget(): boolean;
}

export type HedgeVerdict = "hedge" | "gone" | "deadline" | "endpoint" | "room" | "budget";

export function decideHedge({ isGone, leftMs, isRoomWanted, place, takeBudget }: HedgeQuestion): HedgeVerdict {
  if (isGone) return "gone";
  if (leftMs < attemptMsMin) return "deadline";
  if (place === "none") return "endpoint";
  if (place === "full" || isRoomWanted) return "room";
  return takeBudget() ? "hedge" : "budget";
}

/** By which a provider of effects may say that it is busy with the very same one, or has not begun it. */
const busyStatuses: ReadonlySet<number> = new Set([409, 425, 429]);

/** Does an answer that is no failure end a crossing whose other attempt is under way? */
export function endsBoth(status: number, isEffect: boolean): boolean {
  return !isEffect || !busyStatuses.has(status);
}
