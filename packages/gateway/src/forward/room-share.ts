// Promises that the shares of a node's worker threads in the room a provider is given add up to exactly that room: no provider gets more than it is given,
// however many threads there are. Pure. Trusts the rules of the snapshot. Specified in docs/resilience.md "In flight" and docs/workers.md.
import type { ResilienceObject } from "@sallyport/protocol/snapshot/objects.ts";

export interface RoomShare {
  /** From 0. */
  readonly number: number;
  readonly of: number;
}

/** Too little to give every worker some: all count it in common (counted-room.ts). `whole` undefined: there is no bound. */
export function isUndivided(whole: number | undefined, share: RoomShare | undefined): boolean {
  return whole !== undefined && share !== undefined && whole < share.of;
}

/** `share` absent: all of it. What is undivided stays whole; of a line every worker has a place where there is any. */
export function shareOfRoom(rules: ResilienceObject, share: RoomShare | undefined): ResilienceObject {
  const { inFlight } = rules;
  if (inFlight === undefined || share === undefined) return rules;
  const part = (whole: number): number =>
    isUndivided(whole, share) ? whole : Math.floor(whole / share.of) + (share.number < whole % share.of ? 1 : 0);
  const { total, each, waiting } = inFlight;
  return {
    ...rules,
    inFlight: {
      ...inFlight,
      waiting: isUndivided(waiting, share) ? Math.min(1, waiting) : part(waiting),
      ...(total === undefined ? {} : { total: part(total) }),
      ...(each === undefined ? {} : { each: part(each) }),
    },
  };
}
