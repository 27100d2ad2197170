// Promises which entries of a batch may be appended, as a pure decision, and entries in their stored encoding. Trusts nothing.
// Specified in docs/formats/leaf.md "On disk" and docs/audit.md "When the disk is full".
import type { Leaf } from "@sallyport/protocol/audit/leaf.ts";
import { type LeafHead, leafBytesMax } from "@sallyport/protocol/audit/leaf-format.ts";
import { LogFault, type LogFaultCode } from "./fault.ts";
import { openIntentsMax } from "./open-intents.ts";
import { entryBytes, newSpan, readEntrySpan, referenceBytesMax, writeEntry } from "./segment.ts";
import { headOf } from "./segments.ts";

export interface LogEntry {
  readonly leaf: Uint8Array;
  readonly reference?: Uint8Array;
}

/** Records that end or explain what is already in the log; they may use the reserve. */
const administrative: ReadonlySet<Leaf["t"]> = new Set(["admin", "outcome", "start", "origin"]);
/** How a leaf of the operators' environment says so: its members have one order, and no value can hold a quote, so nothing else reads like it. */
const operatorsPlace = ',"environment":"sallyport","region":"';
/** Only the log itself writes these. */
const ownTypes: ReadonlySet<Leaf["t"]> = new Set(["origin", "start"]);

/** Throws LogFault `leaf-refused` for sizes that cannot be stored. */
export function refuseSizes(leaf: Uint8Array, reference: Uint8Array | undefined): void {
  if (leaf.length === 0 || leaf.length > leafBytesMax) {
    throw new LogFault("leaf-refused", `a leaf has 1 to ${leafBytesMax} bytes`);
  }
  if (reference !== undefined && reference.length > referenceBytesMax) {
    throw new LogFault("leaf-refused", `a reference has at most ${referenceBytesMax} bytes`);
  }
}

/** Entries in their stored encoding. Throws LogFault `leaf-refused`. */
export function encodeEntries(entries: readonly LogEntry[]): Buffer {
  let length = 0;
  for (const { leaf, reference } of entries) {
    refuseSizes(leaf, reference);
    length += entryBytes(leaf, reference);
  }
  const bytes = Buffer.allocUnsafe(length);
  let at = 0;
  for (const entry of entries) at = writeEntry(bytes, at, entry);
  return bytes;
}

export interface SiftedBatch {
  readonly heads: readonly LeafHead[];
  readonly refused: readonly { readonly place: number; readonly code: LogFaultCode }[];
  readonly bytes: Buffer;
}

export interface SiftRules {
  /** The disk is nearly full: administrative records only. */
  readonly urgentOnly: boolean;
  readonly intentsOpen: number;
}

/** Takes out what may not be appended. The common case is that nothing is, and then the bytes are those given. */
export function siftBatch(bytes: Buffer, count: number, rules: SiftRules): SiftedBatch {
  const heads: LeafHead[] = [];
  const refused: { place: number; code: LogFaultCode }[] = [];
  const kept: Buffer[] = [];
  const span = newSpan(0, bytes.length);
  let intentsOpen = rules.intentsOpen;
  for (let place = 0; place < count; place++) {
    if (!readEntrySpan(bytes, span.end, span)) {
      throw new LogFault("leaf-refused", "a batch is not in the stored encoding");
    }
    const head = headOf(bytes, span.leafAt, span.leafEnd);
    const isUrgent = !rules.urgentOnly || isAdministrative(head, bytes.subarray(span.leafAt, span.leafEnd));
    const code = refusalOf(head, { isUrgent, intentsOpen });
    if (head === null || code !== null) {
      refused.push({ place, code: code ?? "leaf-refused" });
      continue;
    }
    if (head.t === "intent") intentsOpen += 1;
    heads.push(head);
    kept.push(bytes.subarray(span.at, span.end));
  }
  return { heads, refused, bytes: refused.length === 0 ? bytes : Buffer.concat(kept) };
}

/** An operator who is to free the disk needs a token first, so issuances of the operators' environment may use the reserve too. */
function isAdministrative(head: LeafHead | null, leaf: Buffer): boolean {
  if (head === null) return false;
  return administrative.has(head.t) || (head.t === "issuance" && leaf.includes(operatorsPlace, 0, "latin1"));
}

function refusalOf(
  head: LeafHead | null,
  rules: { readonly isUrgent: boolean; readonly intentsOpen: number },
): LogFaultCode | null {
  if (head === null || ownTypes.has(head.t)) return "leaf-refused";
  if (!rules.isUrgent) return "disk-full";
  return head.t === "intent" && rules.intentsOpen >= openIntentsMax ? "log-full" : null;
}
