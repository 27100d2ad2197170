// Promises the names in a search that nothing declared bears now, each with the one somebody probably meant: a slip of the hand must not look like "it did
// not happen". Pure. What was declared once and is gone is named too: its records are found all the same. Specified in docs/audit-search.md "Names".
import { nearest } from "../../registry/config/nearest.ts";
import type { Where } from "./records-request.ts";

export interface UnknownName {
  readonly field: DeclaredField;
  readonly value: string;
  /** Null: nothing declared is like it. */
  readonly nearest: string | null;
}

/** Fields whose values are declared in the estate; what else can be asked for has no list to hold it against. */
const declaredFields = ["caller", "system", "client", "integration", "environment"] as const;
export type DeclaredField = (typeof declaredFields)[number];

/** Every name that is declared now, of every environment that was asked for. */
export type DeclaredNames = Readonly<Record<DeclaredField, ReadonlySet<string>>>;

const pseudonymForm = /^[0-9]{4}[a-z0-9.-]{0,12}:[A-Za-z0-9_-]{22}$/;

export function unknownNames(where: Where, declared: DeclaredNames): readonly UnknownName[] {
  return declaredFields.flatMap((field) =>
    (where[field] ?? [])
      .filter((value) => !declared[field].has(value) && !pseudonymForm.test(value))
      .map((value) => ({ field, value, nearest: nearest(value, declared[field]) })),
  );
}
