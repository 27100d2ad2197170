// Promises that entries a node ships are leaves in their one form, of that node's own place and kinds, with the references they name. Pure.
// Trusts nothing. Specified in docs/formats/leaf.md and docs/audit.md "The archive".
import { sha256 } from "@sallyport/kernel/log/log-crypto.ts";
import type { OriginPlace } from "@sallyport/kernel/log/origin.ts";
import { isOwner, newSpan, readEntrySpan } from "@sallyport/kernel/log/segment.ts";
import { namedReference } from "@sallyport/kernel/log/verify-chunk.ts";
import { printHex } from "@sallyport/protocol/audit/base64.ts";
import type { LeafType } from "@sallyport/protocol/audit/leaf-form.ts";
import { peekLeaf, refuseLeafText } from "@sallyport/protocol/audit/leaf-format.ts";
import { leafHasher } from "@sallyport/protocol/audit/merkle.ts";

export interface Shipment {
  readonly from: number;
  readonly count: number;
  /** Entries in their stored encoding. */
  readonly entries: Buffer;
}

export type RecordsJudgement =
  | {
      readonly kind: "sound";
      readonly hashes: readonly Uint8Array[];
      /** Text of the leaf with index 0, when it is among them. */
      readonly firstLeaf: string | null;
    }
  | { readonly kind: "refused"; readonly why: string };

/** Which leaves a gateway writes: who acts, and what tokens are issued, only control says. */
const gatewayWrites: Readonly<Record<LeafType, boolean>> = {
  origin: true,
  start: true,
  crossing: true,
  intent: true,
  progress: true,
  outcome: true,
  denials: true,
  tally: true,
  payload: true,
  unkept: true,
  buffered: true,
  settled: true,
  admin: false,
  issuance: false,
};

const hashOf = leafHasher(sha256);

/** Never throws. `why` names the entry, never what it holds. */
export function judgeRecords({ from, count, entries }: Shipment, place: OriginPlace): RecordsJudgement {
  const refused = (index: number, why: string) => ({ kind: "refused", why: `record ${index} ${why}` }) as const;
  const span = newSpan(0, entries.length);
  const hashes: Uint8Array[] = [];
  let holder = { at: -1, hash: "" };
  let firstLeaf: string | null = null;
  for (let index = from; index < from + count; index++) {
    if (!readEntrySpan(entries, span.end, span)) return refused(index, "passes the end of the shipment");
    const text = entries.toString("latin1", span.leafAt, span.leafEnd);
    const why = refuseHere(text, index, place);
    if (why !== null) return refused(index, why);
    if (isOwner(span)) holder = { at: span.at, hash: printHex(sha256(entries.subarray(span.leafEnd, span.end))) };
    if (span.holderAt !== -1 && span.holderAt !== holder.at)
      return refused(index, "shares a reference that is not there");
    if ((isOwner(span) || span.holderAt !== -1) && namedReference(text) !== holder.hash)
      return refused(index, "comes with another reference than it names");
    if (index === 0) firstLeaf = text;
    hashes.push(hashOf(entries.subarray(span.leafAt, span.leafEnd)));
  }
  if (span.end !== entries.length) return refused(from + count, "was not announced");
  return { kind: "sound", hashes, firstLeaf };
}

function refuseHere(text: string, index: number, place: OriginPlace): string | null {
  const head = peekLeaf(text);
  const refusal = refuseLeafText(text, head);
  if (refusal !== null) return refusal;
  if (head === null || !gatewayWrites[head.t]) return "is of a kind that a gateway does not write";
  if ((head.t === "origin") !== (index === 0)) return "is an origin leaf out of place, or none where one is due";
  // No value of a leaf holds a quote, so these members stand nowhere else.
  const isHere =
    text.includes(`,"tenant":"${place.tenant}","environment":"${place.environment}","region":"`) &&
    text.includes(`,"node":"${place.node}"`);
  return isHere ? null : "is of another tenant, environment or node";
}
