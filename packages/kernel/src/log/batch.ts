// Promises which entries of a batch may be appended, as a pure decision, and entries in their stored encoding. Trusts nothing.
// Specified in docs/formats/leaf.md "On disk" and docs/audit.md "When the disk is full".
import type { Leaf } from "@sallyport/protocol/audit/leaf.ts";
import { type LeafHead, leafBytesMax } from "@sallyport/protocol/audit/leaf-format.ts";
import { LogFault, type LogFaultCode } from "./fault.ts";
import { openIntentsMax } from "./open-intents.ts";
import {
  entryBytes,
  isOwner,
  newSpan,
  readEntrySpan,
  referenceBytesMax,
  writeEntry,
  writeSharingEntry,
} from "./segment.ts";
import { headOf } from "./segments.ts";

export interface LogEntry {
  /** Text is ASCII. */
  readonly leaf: Uint8Array | string;
  /** Stored once where the entry before named this very array. */
  readonly reference?: Uint8Array | undefined;
}

/** Records that end or explain what is already in the log; they may use the reserve. */
const administrative: ReadonlySet<Leaf["t"]> = new Set(["admin", "outcome", "tally", "settled", "start", "origin"]);
/** How a leaf of the operators' environment says so: its members have one order, and no value can hold a quote, so nothing else reads like it. */
const operatorsPlace = ',"environment":"sallyport","region":"';
/** Only the log itself writes these. */
const ownTypes: ReadonlySet<Leaf["t"]> = new Set(["origin", "start"]);

/** Why an entry of these sizes cannot be stored, or null. */
export function sizeFault(leaf: Uint8Array | string, reference: Uint8Array | undefined): LogFault | null {
  if (leaf.length === 0 || leaf.length > leafBytesMax)
    return new LogFault("leaf-refused", `a leaf has 1 to ${leafBytesMax} bytes`);
  if (reference !== undefined && reference.length > referenceBytesMax)
    return new LogFault("leaf-refused", `a reference has at most ${referenceBytesMax} bytes`);
  return null;
}

/** Entries in their stored encoding. Throws LogFault `leaf-refused`. */
export function encodeEntries(entries: readonly LogEntry[]): Buffer {
  let length = 0;
  for (const { leaf, reference } of entries) {
    const fault = sizeFault(leaf, reference);
    if (fault !== null) throw fault;
    length += entryBytes(leaf, reference);
  }
  const bytes = Buffer.allocUnsafe(length);
  const writer = new EntryWriter(bytes);
  for (const entry of entries) writer.put(entry);
  return bytes.subarray(0, writer.used);
}

/** Entries one behind the other in a buffer that has room for them; of neighbours that name the very same reference only the first holds it. */
export class EntryWriter {
  #target: Buffer;
  #held: Uint8Array | undefined;
  #heldAt = 0;
  used = 0;

  constructor(target: Buffer) {
    this.#target = target;
  }

  /** Goes on in another buffer, which begins with what was written so far (or is empty after `clear`). */
  moveTo(target: Buffer): void {
    this.#target = target;
  }

  clear(): void {
    this.used = 0;
    this.#held = undefined;
  }

  /** How many bytes `put` would take. */
  sizeOf({ leaf, reference }: LogEntry): number {
    return entryBytes(leaf, reference === this.#held ? undefined : reference);
  }

  put({ leaf, reference }: LogEntry): void {
    const at = this.used;
    if (reference !== undefined && reference.length > 0 && reference === this.#held) {
      this.used = writeSharingEntry(this.#target, at, { leaf, holderAt: this.#heldAt });
      return;
    }
    this.used = writeEntry(this.#target, at, { leaf, reference });
    if (reference === undefined || reference.length === 0) return;
    this.#held = reference;
    this.#heldAt = at;
  }
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
  }
  return { heads, refused, bytes: refused.length === 0 ? bytes : without(bytes, count, refused) };
}

/** The other entries, encoded anew: the one that held a shared reference may be among those refused. */
function without(bytes: Buffer, count: number, refused: SiftedBatch["refused"]): Buffer {
  const places = new Set(refused.map(({ place }) => place));
  const kept: LogEntry[] = [];
  const span = newSpan(0, bytes.length);
  let held: Buffer | undefined;
  for (let place = 0; place < count; place++) {
    readEntrySpan(bytes, span.end, span);
    if (isOwner(span)) held = bytes.subarray(span.leafEnd, span.end);
    const reference = isOwner(span) || span.holderAt !== -1 ? held : undefined;
    if (!places.has(place)) kept.push({ leaf: bytes.subarray(span.leafAt, span.leafEnd), reference });
  }
  return encodeEntries(kept);
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
