// Promises what folds may ask of control, and nothing else. Trusts the follower to be their only caller. Used by foundations.ts.
import type { Store } from "@sallyport/kernel/store/port.ts";
import type { ControlCommands } from "../../commands.ts";

export interface ServiceParts {
  readonly store: Pick<Store<ControlCommands>, "run">;
}

/** By name; each takes and gives what is structured-cloneable. */
export function followServices(_parts: ServiceParts): Readonly<Record<string, (input: unknown) => Promise<unknown>>> {
  return {};
}
