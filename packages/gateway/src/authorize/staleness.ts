// Promises that a gateway which has not heard from its control plane stops serving, sooner for what is more sensitive.
// Trusts the time of the last heartbeat that left no gap. Specified in DESIGN §5 (snapshots) and docs/gateway.md.
import type { Classification } from "@sallyport/protocol/snapshot/objects.ts";
import { type Deny, deny } from "@sallyport/protocol/verdict.ts";

export interface StalenessInputs {
  readonly stalenessMs: number;
  readonly boundsMs: Readonly<Record<Classification, number>>;
  readonly classification: Classification;
  readonly offline: "bound" | "until-expiry";
  readonly snapshotExpired: boolean;
}

/** Is what this gateway knows fresh enough for this operation? Pure. */
export function decideStaleness(inputs: StalenessInputs): Deny | null {
  if (inputs.snapshotExpired) return deny("authorize", "stale-snapshot", { bound: "snapshot expiry" });
  if (inputs.offline === "until-expiry") return null;
  const boundMs = inputs.boundsMs[inputs.classification];
  if (inputs.stalenessMs <= boundMs) return null;
  return deny("authorize", "stale-snapshot", {
    bound: `${boundMs} ms for ${inputs.classification}`,
    lastHeard: `${Math.round(inputs.stalenessMs)} ms ago`,
  });
}
