// Promises that the shares of a node's worker threads in the room a provider is given add up to exactly that room: no provider gets more than it is given,
// however many threads there are. Pure. Trusts the rules of the snapshot. Specified in docs/resilience.md "In flight" and docs/workers.md.
import type { ResilienceObject } from "@sallyport/protocol/snapshot/objects.ts";

export interface RoomShare {
  /** From 0. */
  readonly number: number;
  readonly of: number;
}

/** `share` absent: all of it. A bound below the number of workers leaves some without room: they refuse. */
export function shareOfRoom(rules: ResilienceObject, share: RoomShare | undefined): ResilienceObject {
  const { inFlight } = rules;
  if (inFlight === undefined || share === undefined) return rules;
  const part = (whole: number): number => Math.floor(whole / share.of) + (share.number < whole % share.of ? 1 : 0);
  const { total, each, waiting } = inFlight;
  return {
    ...rules,
    inFlight: {
      ...inFlight,
      waiting: part(waiting),
      ...(total === undefined ? {} : { total: part(total) }),
      ...(each === undefined ? {} : { each: part(each) }),
    },
  };
}
