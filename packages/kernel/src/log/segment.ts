// Promises the bytes of write-ahead segments: a header, then one checked frame per batch. Trusts nothing it reads.
// Specified in docs/formats/leaf.md "On disk".
import { createHash } from "node:crypto";
import { leafBytesMax } from "@sallyport/protocol/audit/leaf-format.ts";
import { crc32c } from "./crc32c.ts";

const magic = Buffer.from("sallyport-wal/v1\n", "latin1");
export const segmentHeaderBytes = 61;
export const frameHeaderBytes = 20;
export const entryHeaderBytes = 6;
export const frameEntriesMax = 2_048;
export const referenceBytesMax = 1_048_576;
/** A batch stops growing at this many bytes of entries, so no frame has more than this and one entry. */
export const batchBytesMax = 8_388_608;
const frameBytesMax = batchBytesMax + entryHeaderBytes + leafBytesMax + referenceBytesMax + frameHeaderBytes;

export function originHash(origin: string): Buffer {
  return createHash("sha256").update(origin, "latin1").digest();
}

export function printSegmentHeader(first: number, origin: string): Buffer {
  const header = Buffer.alloc(segmentHeaderBytes);
  magic.copy(header);
  header.writeBigUInt64BE(BigInt(first), 17);
  originHash(origin).copy(header, 25);
  header.writeUInt32BE(crc32c(header, 0, 57), 57);
  return header;
}

/** Index of the segment's first leaf, when the header is whole and of this origin; else why not. */
export function readSegmentHeader(bytes: Buffer, origin: string): number | string {
  if (bytes.length < segmentHeaderBytes) return "the segment header is cut short";
  if (!bytes.subarray(0, 17).equals(magic)) return "the segment header is not one of v1";
  if (bytes.readUInt32BE(57) !== crc32c(bytes, 0, 57)) return "the segment header does not match its checksum";
  if (!bytes.subarray(25, 57).equals(originHash(origin))) return "the segment belongs to another origin";
  return Number(bytes.readBigUInt64BE(17));
}

/** A frame found in a segment; offsets are within the segment. */
export interface Frame {
  readonly first: number;
  readonly count: number;
  readonly at: number;
  readonly entriesAt: number;
  readonly end: number;
}

/** One frame over already encoded entries. */
export function printFrame(first: number, count: number, entries: Uint8Array): Buffer {
  const frame = Buffer.allocUnsafe(frameHeaderBytes + entries.length);
  frame.writeUInt32BE(frame.length - 8, 0);
  frame.writeUIntBE(Math.floor(first / 2 ** 32), 8, 4);
  frame.writeUInt32BE(first % 2 ** 32, 12);
  frame.writeUInt32BE(count, 16);
  frame.set(entries, frameHeaderBytes);
  frame.writeUInt32BE(crc32c(frame, 8), 4);
  return frame;
}

/** In the place of a reference's length: the rest of the number says how many bytes before this entry the one begins whose reference it shares. */
const sharedFlag = 0x8000_0000;

/** Size of one encoded entry. */
export function entryBytes(leaf: Uint8Array | string, reference: Uint8Array | undefined): number {
  return entryHeaderBytes + leaf.length + (reference?.length ?? 0);
}

/** Writes one entry at `at` of a buffer that has room for it; returns where it ends. */
export function writeEntry(
  target: Buffer,
  at: number,
  entry: { readonly leaf: Uint8Array | string; readonly reference?: Uint8Array | undefined },
): number {
  const { leaf, reference } = entry;
  const end = writeHead(target, at, leaf, reference?.length ?? 0);
  if (reference === undefined) return end;
  target.set(reference, end);
  return end + reference.length;
}

/** Writes an entry that shares the reference of the one at `holderAt`, the nearest before it that has one of its own. */
export function writeSharingEntry(
  target: Buffer,
  at: number,
  entry: { leaf: Uint8Array | string; holderAt: number },
): number {
  return writeHead(target, at, entry.leaf, sharedFlag + (at - entry.holderAt));
}

function writeHead(target: Buffer, at: number, leaf: Uint8Array | string, referenceField: number): number {
  target.writeUInt16BE(leaf.length, at);
  target.writeUInt32BE(referenceField, at + 2);
  // A leaf is ASCII: a character is a byte.
  if (typeof leaf === "string") target.write(leaf, at + entryHeaderBytes, leaf.length, "latin1");
  else target.set(leaf, at + entryHeaderBytes);
  return at + entryHeaderBytes + leaf.length;
}

/** Where one entry lies. `at` is its header, the leaf follows it, a reference of its own follows the leaf up to `end`. */
export interface EntrySpan {
  at: number;
  leafAt: number;
  leafEnd: number;
  end: number;
  /** Header of the entry whose reference this one shares; -1 where it shares none. */
  holderAt: number;
  /** Entries end here at the latest. */
  limit: number;
}

/** A span before its first entry, which begins at `start`. */
export const newSpan = (start: number, limit: number): EntrySpan => ({
  at: start,
  leafAt: start,
  leafEnd: start,
  end: start,
  holderAt: -1,
  limit,
});

/** Reads the span of the entry at `at` into `span`; false when it would pass the span's limit. */
export function readEntrySpan(bytes: Buffer, at: number, span: EntrySpan): boolean {
  if (at + entryHeaderBytes > span.limit) return false;
  const field = bytes.readUInt32BE(at + 2);
  const isSharing = field >= sharedFlag;
  span.at = at;
  span.leafAt = at + entryHeaderBytes;
  span.leafEnd = span.leafAt + bytes.readUInt16BE(at);
  span.end = isSharing ? span.leafEnd : span.leafEnd + field;
  span.holderAt = isSharing ? at - (field - sharedFlag) : -1;
  return span.end <= span.limit;
}

/** What an entry's header at `at` says of its reference: its own length, or how far back the one lies that it shares. */
export function readReferenceField(bytes: Buffer, at: number): { readonly length: number; readonly back: number } {
  const field = bytes.readUInt32BE(at + 2);
  return field < sharedFlag ? { length: field, back: 0 } : { length: 0, back: field - sharedFlag };
}

/** Frame header at `at`, without its checksum being looked at; a text says why there is none. */
export function readFrameHeader(bytes: Buffer, at: number): Frame | string {
  if (at + frameHeaderBytes > bytes.length) return "the frame header is cut short";
  const length = bytes.readUInt32BE(at);
  const count = bytes.readUInt32BE(at + 16);
  if (length < frameHeaderBytes - 8 || length > frameBytesMax) return "the frame length is impossible";
  if (count < 1 || count > frameEntriesMax) return "the frame's number of entries is impossible";
  const first = bytes.readUInt32BE(at + 8) * 2 ** 32 + bytes.readUInt32BE(at + 12);
  return { first, count, at, entriesAt: at + frameHeaderBytes, end: at + 8 + length };
}

/** The whole, checked frame at `at`, which must begin with leaf `first`; a text says what is wrong with it. */
export function readFrame(bytes: Buffer, at: number, first: number): Frame | string {
  const frame = readFrameHeader(bytes, at);
  if (typeof frame === "string") return frame;
  if (frame.end > bytes.length) return "the frame is cut short";
  if (bytes.readUInt32BE(at + 4) !== crc32c(bytes, at + 8, frame.end)) return "the frame does not match its checksum";
  if (frame.first !== first) return `the frame begins with leaf ${frame.first} where ${first} is due`;
  const span = newSpan(frame.entriesAt, frame.end);
  let holderAt = -1;
  for (let i = 0; i < frame.count; i++) {
    if (!readEntrySpan(bytes, span.end, span)) return "an entry passes the end of its frame";
    if (isOwner(span)) holderAt = span.at;
    else if (span.holderAt !== -1 && span.holderAt !== holderAt) return "an entry shares a reference that is not there";
  }
  return span.end === frame.end ? frame : "the frame is longer than its entries";
}

/** Are there bytes from `at` on, and all of them zeros? What a writer makes in advance behind its last frame looks like that, and no frame does. */
export function isRoom(bytes: Buffer, at: number): boolean {
  if (at >= bytes.length || bytes[at] !== 0) return false;
  // Each byte is equal to the one before it.
  return bytes.subarray(at + 1).equals(bytes.subarray(at, bytes.length - 1));
}

/** Does the entry have a reference of its own? */
export function isOwner(span: EntrySpan): boolean {
  return span.end > span.leafEnd;
}

/** Is there a whole frame anywhere behind a bad one? Then the bad one is damage, not an interrupted write. */
export function frameBehind(bytes: Buffer, badAt: number, first: number): number | null {
  for (let at = badAt + 1; at + frameHeaderBytes <= bytes.length; at++) {
    const frame = readFrameHeader(bytes, at);
    // A frame behind the bad one begins after it, and at most the bad one's entries lie between.
    if (
      typeof frame === "string" ||
      frame.end > bytes.length ||
      frame.first <= first ||
      frame.first > first + frameEntriesMax
    )
      continue;
    if (bytes.readUInt32BE(at + 4) === crc32c(bytes, at + 8, frame.end)) return at;
  }
  return null;
}
