// Promises what is said to a crossing that was refused so that another comes first: by which rule, and what its client has under way. Pure.
// Trusts fair-room.ts for the rule. Specified in docs/problems/shed.md.
import { type Deny, deny } from "@sallyport/protocol/verdict.ts";
import type { Claimant, ShedRule } from "./fair-room.ts";
import type { Upstream } from "./upstream-pools.ts";

export function shedDenial(
  rule: ShedRule,
  { who, priority }: Claimant,
  { traffic, rules }: Pick<Upstream, "traffic" | "rules">,
): Deny {
  const says =
    rule === "priority"
      ? `crossings of a higher priority than ${priority} want what it is given`
      : "this client has its share of what it is given, and others want theirs";
  return deny("forward", "shed", {
    rule,
    bound: `${rules.inFlight?.total ?? "no"} in all, ${rules.inFlight?.each ?? "no"} at each endpoint`,
    why: `${traffic.room.underWayOf(who)} of ${traffic.inFlight} under way are this client's, priority ${priority}`,
    detail: `The provider has as many requests under way as it is given, and ${says}: ask again later, with back-off and jitter`,
    retryAfterS: "1",
  });
}
