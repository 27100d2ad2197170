// Promises one context for the sealed references of crossings, so that whoever seals (a gateway) and whoever opens (control) cannot differ.
// Trusts nothing: it is data. Specified in docs/formats/leaf.md (References) and docs/formats/seal.md (Context).
import type { SealContext } from "../seal/context.ts";

export interface ReferencePlace {
  readonly tenant: string;
  readonly environment: string;
  /** Crossing id of the leaf that names the reference. */
  readonly id: string;
}

/** Bound into every reference as AAD: a reference moved beside another leaf does not open. */
export function referenceContext({ tenant, environment, id }: ReferencePlace): SealContext {
  return { tenant, environment, purpose: "reference", id };
}
