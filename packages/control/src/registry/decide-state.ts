// Promises the only ways an applied object changes its state: one table. Pure; trusts nothing but its arguments.
// Specified in docs/registry.md, "States". `expired` is not a state here: it follows from the clock.

export type ObjectState = "proposed" | "active" | "suspended" | "retired";
export type StateEvent = "activate" | "suspend" | "retire";

export type StateVerdict =
  | { readonly kind: "moves"; readonly to: ObjectState }
  /** It is in that state already: nothing to write. */
  | { readonly kind: "stays" }
  | { readonly kind: "refused"; readonly why: string };

const stays: StateVerdict = { kind: "stays" };
const retiredIsFinal: StateVerdict = {
  kind: "refused",
  why: "a retired object never comes back; declare a new one under another id",
};
const moves = (to: ObjectState): StateVerdict => ({ kind: "moves", to });

const table: Readonly<Record<ObjectState, Readonly<Record<StateEvent, StateVerdict>>>> = {
  proposed: { activate: moves("active"), suspend: moves("suspended"), retire: moves("retired") },
  active: { activate: stays, suspend: moves("suspended"), retire: moves("retired") },
  suspended: { activate: moves("active"), suspend: stays, retire: moves("retired") },
  retired: { activate: retiredIsFinal, suspend: retiredIsFinal, retire: stays },
};

/** What an event does to a state. */
export function decideState(from: ObjectState, event: StateEvent): StateVerdict {
  return table[from][event];
}

/** Nobody approves their own request (rule 11): `proposedBy` is null once somebody approved. */
export function isOwnRequest(proposedBy: string | null, actor: string): boolean {
  return proposedBy !== null && proposedBy === actor;
}

/** States that outlive the object's removal, so that removing and adding it again cannot undo them. */
export function survivesRemoval(state: ObjectState): boolean {
  return state === "suspended" || state === "retired";
}
