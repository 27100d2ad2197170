// Promises one context for sealed payloads, so that whoever seals (a gateway) and whoever opens (control) cannot differ, and records of a crossing with
// what decides about it first. Trusts the seal. Specified in docs/formats/leaf.md "Payloads".
import type { SealContext } from "../seal/context.ts";
import type { PayloadDirection } from "./leaf.ts";
import { peekLeaf } from "./leaf-format.ts";

export interface PayloadPlace {
  readonly tenant: string;
  readonly environment: string;
  readonly node: string;
  /** Of the crossing. */
  readonly id: string;
  readonly direction: PayloadDirection;
}

/** Bound into a payload as AAD: moved beside another leaf, also that of the other direction, it does not open. */
export function payloadContext({ tenant, environment, node, id, direction }: PayloadPlace): SealContext {
  return { tenant, environment, node, id, direction, purpose: "payload" };
}

/** Does this text begin like a leaf that is about the payload of a crossing? */
export function isOfPayload(text: string): boolean {
  const t = peekLeaf(text)?.t;
  return t === "payload" || t === "unkept";
}

/** Records of one crossing: those that say what was decided and what came of it, then those about what it carried; each in the order given. */
export function payloadsLast<T>(records: readonly T[], textOf: (record: T) => string): readonly T[] {
  const isLast = (record: T) => isOfPayload(textOf(record));
  return [...records.filter((record) => !isLast(record)), ...records.filter(isLast)];
}
