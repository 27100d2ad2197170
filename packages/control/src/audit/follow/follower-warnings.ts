// Promises a sentence for each thing that does not keep up with the log. Trusts the follower's standing. Specified in docs/audit.md "What follows the log".
import type { FollowerStanding } from "./follower-messages.ts";

/** What is behind for less needs nobody's attention. */
const behindMsMax = 60_000;

/** Sentences for `sallyport status`; `now` in milliseconds since the epoch. */
export function followerWarnings({ folds, fault }: FollowerStanding, now: number): readonly string[] {
  const troubled = folds.filter(
    ({ fault: why, behindSince }) => why !== null || (behindSince !== null && now - behindSince > behindMsMax),
  );
  return [
    ...(fault === null ? [] : [`the records cannot be read: ${fault}`]),
    ...troubled.map(({ id, behind, behindSince, fault: why }) => {
      const since = behindSince === null ? "" : ` since ${new Date(behindSince).toISOString()}`;
      return `${id} is ${behind} records behind the log${since}${why === null ? "" : `: ${why}`}`;
    }),
  ];
}
