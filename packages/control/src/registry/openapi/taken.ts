// Promises what of a description is taken over, left out or refused while one operation is filled in. Trusts nothing. Specified in docs/openapi.md.
import type { Finding, Spot } from "../config/finding.ts";
import type { Tree } from "../config/yaml-tree.ts";
import type { DescribedOperation, Description } from "./description.ts";

/** Something of the description that no gateway checks. */
export interface Note {
  readonly at: Spot;
  readonly message: string;
}

export interface Filling {
  readonly description: Description;
  readonly described: DescribedOperation;
  /** Of the operation in the estate. */
  readonly name: string;
  /** Where nothing but the place of a schema is wanted: for people. */
  readonly isShown: boolean;
  readonly findings: Finding[];
  readonly notes: Note[];
  /** Bytes of schemas that may still be taken over; shared by all operations of the system. */
  readonly room: { bytes: number };
}

/** A schema as the estate would have it; null: there is none, or the findings say why. */
export interface TakenSchema {
  readonly tree: Tree;
}
