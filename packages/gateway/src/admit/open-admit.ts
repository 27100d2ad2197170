// Promises the bounds of connections and requests a gateway lets in, counted in this thread alone or over all worker threads of its node.
// Trusts its options. Specified in docs/gateway.md (listen, admit) and docs/workers.md.
import { defaultDoorLimits } from "../listen/bounds.ts";
import type { GatewayOptions } from "../ports.ts";
import { openSharedAdmission, openSharedDoor } from "../workers/node-memory.ts";
import { Admission, type Admitting, defaultAdmissionLimits } from "./admission.ts";
import { Door, type DoorKeeping } from "./door.ts";

export function openAdmit({ admission, door, clock, worker }: GatewayOptions): {
  readonly admission: Admitting;
  readonly door: DoorKeeping;
} {
  const limits = { ...defaultAdmissionLimits, ...admission };
  const doorLimits = { ...defaultDoorLimits, ...door };
  if (worker === undefined)
    return { admission: new Admission(limits, clock), door: new Door(doorLimits, () => clock.monotonic()) };
  return {
    admission: openSharedAdmission(worker.memory, limits, clock),
    door: openSharedDoor(worker.memory, doorLimits, clock),
  };
}
