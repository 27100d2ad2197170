// Promises one context for sealed references, so that whoever seals (a gateway, control) and whoever opens (control) cannot differ, and that out of
// a reference of many crossings only the one asked for is read. Trusts the seal. Specified in docs/formats/leaf.md (References) and seal.md (Context).
import type { SealContext } from "../seal/context.ts";

export interface ReferencePlace {
  readonly tenant: string;
  readonly environment: string;
  /** Event id of the leaf that names the reference. */
  readonly id: string;
}

/** Bound into a reference of one record as AAD: moved beside another leaf it does not open. */
export function referenceContext({ tenant, environment, id }: ReferencePlace): SealContext {
  return { tenant, environment, purpose: "reference", id };
}

export interface ReferenceBatch {
  readonly tenant: string;
  readonly environment: string;
  /** The gateway whose crossings these are. */
  readonly node: string;
}

/** Bound into a reference of many crossings: each is named inside by its id, so that moved beside another leaf it holds nothing for it. */
export function batchContext({ tenant, environment, node }: ReferenceBatch): SealContext {
  return { tenant, environment, purpose: "references", node };
}

/** What an opened reference of many crossings holds for this one; null when it holds nothing, more than one, or is none. */
export function findInReference(opened: string, id: string): Readonly<Record<string, unknown>> | null {
  let all: unknown;
  try {
    all = JSON.parse(opened);
  } catch {
    return null;
  }
  if (!Array.isArray(all)) return null;
  const own = all.filter((one): one is Record<string, unknown> => isRecord(one) && one["id"] === id);
  return own.length === 1 ? (own[0] ?? null) : null;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
