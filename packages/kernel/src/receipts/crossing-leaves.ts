// Promises which leaves of a crossing go into its receipt: the one that decided it and the one that ended it. Trusts the records it is given.
// Specified in docs/formats/receipt.md "What it holds".

import type { LeafType } from "@sallyport/protocol/audit/leaf-form.ts";
import { peekLeaf } from "@sallyport/protocol/audit/leaf-format.ts";
import type { FoundRecord } from "../log/port.ts";

/** A record, and the folder of the origin it is in. */
export interface PlacedRecord {
  readonly folder: string;
  readonly record: FoundRecord;
}

/** The leaf that decided a crossing, and behind it (or the same) the one that ended it. */
export interface CrossingLeaves {
  readonly decided: PlacedRecord | null;
  readonly ended: PlacedRecord | null;
}

export const noLeaves: CrossingLeaves = { decided: null, ended: null };

/** What the next record of the crossing, in the order of the log, adds. */
export function withRecord(leaves: CrossingLeaves, placed: PlacedRecord): CrossingLeaves {
  const { decided, ended } = leaves;
  const t = typeOf(placed.record.leaf);
  if (decided === null && t === "crossing") return { decided: placed, ended: placed };
  if (decided === null && t === "intent") return { decided: placed, ended: null };
  if (decided !== null && ended === null && t === "outcome") return { decided, ended: placed };
  return leaves;
}

/** A leaf's characters: ASCII. */
export const textOf = (leaf: Uint8Array): string => Buffer.from(leaf).toString("latin1");

const typeOf = (leaf: Uint8Array): LeafType | null => peekLeaf(textOf(leaf))?.t ?? null;
