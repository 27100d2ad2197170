// Promises what the grants of people need of the control plane. Trusts whoever puts it together (environment-identity.ts).
import type { Clock, Random } from "@sallyport/kernel/ports.ts";
import type { Store } from "@sallyport/kernel/store/port.ts";
import type { Place } from "../store.ts";
import type { SealedObjects } from "./sealed-objects.ts";
import type { OAuthCommands } from "./store.ts";

export interface OAuthPorts {
  readonly place: Place;
  readonly store: Pick<Store<OAuthCommands>, "run">;
  readonly sealed: SealedObjects;
  readonly random: Random;
  readonly clock: Clock;
  /** Called after a command that may have revoked something: pushes it to gateways. */
  readonly revoked: () => Promise<void>;
}
