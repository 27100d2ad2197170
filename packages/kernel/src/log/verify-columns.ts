// Promises the memory in which threads of one verification share a segment: its bytes, its chunks, and what was found of each leaf.
// Trusts who fills it: both sides run verify-chunk.ts over the same bytes. Nothing of it is stored, so it has no format.

import { type LeafType, leafMembers } from "@sallyport/protocol/audit/leaf-form.ts";
import { leafBytesMin } from "@sallyport/protocol/audit/leaf-format.ts";
import { hashBytes } from "@sallyport/protocol/audit/merkle.ts";
import { tileWidthMax } from "@sallyport/protocol/audit/tiles.ts";
import { entryHeaderBytes, readFrameHeader, segmentHeaderBytes } from "./segment.ts";

/** A chunk takes whole frames until it has so many leaves or bytes. */
const chunkLeavesDefault = 4_096;
const chunkBytes = 4_194_304;

/** What one segment's threads are given; all of its memory is shared where there is more than one. */
export interface SegmentJob {
  /** Folder of the origin. */
  readonly directory: string;
  /** Index of the segment's first leaf. */
  readonly first: number;
  /** Size of the published checkpoint: nothing beyond it was promised in tiles; 0 when none is believed. */
  readonly published: number;
  readonly bytes: Uint8Array;
  /** Leaves in the chunks. */
  readonly leaves: number;
  readonly columns: ArrayBufferLike;
  readonly plan: ArrayBufferLike;
}

export const chunkState = { free: 0, claimed: 1, clean: 2, unclean: 3 } as const;

/** Whole frames with their leaves; `leaf` counts from the segment's first one. */
export interface Chunk {
  readonly at: number;
  readonly end: number;
  readonly leaf: number;
  readonly count: number;
}

const planFields = 5;
const stateField = 4;

/**
 * Chunks of a segment by its frame headers alone, which nobody has checked yet. What no frame can be is a last chunk without leaves,
 * as is a frame with more entries than its bytes could hold: a forged count must not become memory. With chunks of no leaves, all of it is that.
 */
export function planChunks(bytes: Buffer, chunkLeaves = chunkLeavesDefault): Chunk[] {
  const chunks: Chunk[] = [];
  let leaf = 0;
  for (let at = segmentHeaderBytes; at < bytes.length; ) {
    const begin = { at, leaf };
    let frame = readFrameHeader(bytes, at);
    while (chunkLeaves > 0 && typeof frame !== "string" && frame.end <= bytes.length && isPlausible(frame)) {
      at = frame.end;
      leaf += frame.count;
      if (leaf - begin.leaf >= chunkLeaves || at - begin.at >= chunkBytes || at >= bytes.length) break;
      frame = readFrameHeader(bytes, at);
    }
    if (at > begin.at) chunks.push({ ...begin, end: at, count: leaf - begin.leaf });
    else {
      chunks.push({ ...begin, end: bytes.length, count: 0 });
      break;
    }
  }
  return chunks;
}

const isPlausible = (frame: { readonly count: number; readonly entriesAt: number; readonly end: number }) =>
  frame.count * (entryHeaderBytes + leafBytesMin) <= frame.end - frame.entriesAt;

export function printPlan(chunks: readonly Chunk[], plan: Int32Array): void {
  for (const [i, { at, end, leaf, count }] of chunks.entries())
    plan.set([at, end, leaf, count, count === 0 ? chunkState.unclean : chunkState.free], i * planFields);
}

export const planBytes = (chunks: number): number => chunks * planFields * Int32Array.BYTES_PER_ELEMENT;

const groupsOf = (first: number, leaves: number) =>
  Math.floor((first + leaves) / tileWidthMax) - Math.floor(first / tileWidthMax) + 1;

const perLeaf = 4 + 8 + 4 + hashBytes + 1;

/** Bytes of the columns of so many leaves. */
export function columnBytes(first: number, leaves: number): number {
  return leaves * perLeaf + groupsOf(first, leaves) * (hashBytes + 1);
}

/** What is known of a whole tile's leaves, a bit each. */
export const groupKnown = { root: 1, tile: 2, bundle: 4 } as const;

const leafTypes = Object.keys(leafMembers) as readonly LeafType[];
const typeMask = 31;

/** One byte for what is known of a leaf's head. */
export const leafKind = {
  hasId: 32,
  saysUnknown: 64,
  of: (t: LeafType): number => leafTypes.indexOf(t),
  type: (kind: number): LeafType => leafTypes[kind & typeMask] ?? "admin",
  crossing: leafTypes.indexOf("crossing") | 32,
  intent: leafTypes.indexOf("intent") | 32,
};

/** Types that say something of a crossing. */
export const isOfCrossing: ReadonlySet<number> = new Set(
  (["crossing", "intent", "progress", "outcome"] as const).map((t) => leafTypes.indexOf(t) | leafKind.hasId),
);

/** Types that say something of what the listeners counted, besides crossings. */
export const isOfTally: ReadonlySet<number> = new Set([
  leafTypes.indexOf("tally") | leafKind.hasId,
  leafTypes.indexOf("denials") | leafKind.hasId,
  leafTypes.indexOf("buffered") | leafKind.hasId,
  leafTypes.indexOf("settled") | leafKind.hasId,
  leafTypes.indexOf("start"),
]);

/** Of an id that ends in no ULID. */
export const noWindow = 0xffff_ffff;

/** The views of one thread on a job. Leaves count from the segment's first one, groups of 256 from the one that holds it. */
export class SegmentWork {
  readonly job: SegmentJob;
  readonly bytes: Buffer;
  /** Where each leaf's entry begins in the segment. */
  readonly offsets: Uint32Array;
  /** Two halves of the hash of each leaf's id. */
  readonly ids: Uint32Array;
  /** Window of each crossing's id (audit/tally.ts). */
  readonly windows: Uint32Array;
  readonly hashes: Buffer;
  readonly roots: Buffer;
  readonly kinds: Uint8Array;
  readonly groups: Uint8Array;
  readonly firstGroup: number;
  readonly chunks: number;
  readonly #plan: Int32Array;

  constructor(job: SegmentJob) {
    const { bytes, columns, leaves, first, plan } = job;
    this.job = job;
    this.bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#plan = new Int32Array(plan);
    this.chunks = this.#plan.length / planFields;
    this.firstGroup = Math.floor(first / tileWidthMax);
    const groups = groupsOf(first, leaves);
    let at = 0;
    const next = (length: number) => {
      at += length;
      return at - length;
    };
    this.offsets = new Uint32Array(columns, next(leaves * 4), leaves);
    this.ids = new Uint32Array(columns, next(leaves * 8), leaves * 2);
    this.windows = new Uint32Array(columns, next(leaves * 4), leaves);
    this.hashes = Buffer.from(columns, next(leaves * hashBytes), leaves * hashBytes);
    this.roots = Buffer.from(columns, next(groups * hashBytes), groups * hashBytes);
    this.kinds = new Uint8Array(columns, next(leaves), leaves);
    this.groups = new Uint8Array(columns, next(groups), groups);
  }

  /** Where a leaf's text lies in the segment. */
  leafAt(leaf: number): { readonly leafAt: number; readonly leafEnd: number } {
    const entry = this.offsets[leaf] ?? 0;
    const leafAt = entry + entryHeaderBytes;
    return { leafAt, leafEnd: leafAt + this.bytes.readUInt16BE(entry) };
  }

  /** A copy of a leaf's hash. */
  hash(leaf: number): Uint8Array {
    return new Uint8Array(this.hashes.subarray(leaf * hashBytes, (leaf + 1) * hashBytes));
  }

  /** A copy of a tile's root. */
  root(group: number): Uint8Array {
    return new Uint8Array(this.roots.subarray(group * hashBytes, (group + 1) * hashBytes));
  }

  chunk(i: number): Chunk {
    const [at = 0, end = 0, leaf = 0, count = 0] = this.#plan.subarray(i * planFields, (i + 1) * planFields);
    return { at, end, leaf, count };
  }

  state(i: number): number {
    return Atomics.load(this.#plan, i * planFields + stateField);
  }

  /** Makes a free chunk the caller's; false when another thread has it or had it. */
  claim(i: number): boolean {
    const { free, claimed } = chunkState;
    return Atomics.compareExchange(this.#plan, i * planFields + stateField, free, claimed) === free;
  }

  publish(i: number, isClean: boolean): void {
    Atomics.store(this.#plan, i * planFields + stateField, isClean ? chunkState.clean : chunkState.unclean);
    Atomics.notify(this.#plan, i * planFields + stateField);
  }

  /** Waits until a claimed chunk is published, at most so long. */
  wait(i: number, timeoutMs: number): void {
    Atomics.wait(this.#plan, i * planFields + stateField, chunkState.claimed, timeoutMs);
  }

  /** Claims the first free chunk from `from` on; -1 when there is none. */
  claimNext(from: number): number {
    for (let i = from; i < this.chunks; i++) if (this.state(i) === chunkState.free && this.claim(i)) return i;
    return -1;
  }
}
