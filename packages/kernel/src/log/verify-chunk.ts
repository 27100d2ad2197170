// Promises to judge the leaves of one chunk as verify-origin.ts does leaf by leaf, and to say only whether nothing is wrong with them: what is wrong, and
// where, is found there. Runs on every thread of a verification. Trusts nothing but the hash. Specified in docs/formats/leaf.md.
import { hash } from "node:crypto";
import { join } from "node:path";
import { printHex } from "@sallyport/protocol/audit/base64.ts";
import { peekLeaf, refuseLeafText } from "@sallyport/protocol/audit/leaf-format.ts";
import { hashBytes } from "@sallyport/protocol/audit/merkle.ts";
import { windowOfId } from "@sallyport/protocol/audit/tally.ts";
import { bundlePath, tilePath, tileWidthMax } from "@sallyport/protocol/audit/tiles.ts";
import { saysUnknown } from "./completeness.ts";
import { type Disk, readWhole } from "./disk.ts";
import { sha256 } from "./log-crypto.ts";
import { entryHeaderBytes, type Frame, isOwner, newSpan, readEntrySpan, readFrame } from "./segment.ts";
import { idHash } from "./segment-index.ts";
import { type Chunk, groupKnown, leafKind, noWindow, type SegmentWork } from "./verify-columns.ts";

/** Larger frames are read leaf by leaf: most of their bytes are references. */
const textBytesMax = 1_000_000;
const nodeBytes = 1 + 2 * hashBytes;

/** The hash a leaf names for the sealed reference stored with it. */
export function namedReference(text: string): string | undefined {
  return /"(?:inputs|facts|content)":"([0-9a-f]{64})"/.exec(text)?.[1];
}

export class ChunkJudge {
  readonly #disk: Disk;
  readonly #span = newSpan(0, 0);
  readonly #file = Buffer.allocUnsafeSlow(262_144);
  readonly #leaf = Buffer.alloc(66_000);
  /** The nodes above the leaves of one tile, lowest level first: 0x01, left, right. */
  readonly #nodes: readonly (readonly Buffer[])[];
  readonly #nodeMemory = Buffer.alloc((tileWidthMax - 1) * nodeBytes);

  constructor(disk: Disk) {
    this.#disk = disk;
    const levels: Buffer[][] = [];
    for (let width = tileWidthMax / 2, at = 0; width >= 1; width /= 2) {
      const level = Array.from({ length: width }, (_, i) =>
        this.#nodeMemory.subarray(at + i * nodeBytes, at + (i + 1) * nodeBytes),
      );
      for (const node of level) node[0] = 1;
      levels.push(level);
      at += width * nodeBytes;
    }
    this.#nodes = levels;
  }

  /** Fills the columns of a chunk's leaves; true when each frame, leaf and reference of it holds. */
  judge(work: SegmentWork, chunk: Chunk): boolean {
    const { first } = work.job;
    let leaf = chunk.leaf;
    let at = chunk.at;
    while (at < chunk.end) {
      const frame = readFrame(work.bytes, at, first + leaf);
      if (typeof frame === "string" || leaf + frame.count > chunk.leaf + chunk.count) return false;
      if (!this.#judgeFrame(work, frame)) return false;
      leaf += frame.count;
      at = frame.end;
    }
    if (at !== chunk.end || leaf !== chunk.leaf + chunk.count) return false;
    this.#judgeTiles(work, chunk);
    return true;
  }

  #judgeFrame(work: SegmentWork, frame: Frame): boolean {
    const { bytes, job } = work;
    const span = this.#span;
    const { entriesAt } = frame;
    const all = frame.end - entriesAt <= textBytesMax ? bytes.toString("latin1", entriesAt, frame.end) : null;
    let reference = "";
    span.end = entriesAt;
    span.limit = frame.end;
    for (let i = 0; i < frame.count; i++) {
      const leaf = frame.first - job.first + i;
      readEntrySpan(bytes, span.end, span);
      const { leafAt, leafEnd } = span;
      const text =
        all === null ? bytes.toString("latin1", leafAt, leafEnd) : all.slice(leafAt - entriesAt, leafEnd - entriesAt);
      if (!judgeText(work, leaf, text)) return false;
      if (isOwner(span)) reference = printHex(sha256(bytes.subarray(leafEnd, span.end)));
      if ((isOwner(span) || span.holderAt !== -1) && namedReference(text) !== reference) return false;
      work.offsets[leaf] = span.at;
      work.hashes.write(this.#hashLeaf(bytes, leafAt, leafEnd), leaf * hashBytes, hashBytes, "latin1");
    }
    return true;
  }

  /** SHA-256(0x00 ‖ leaf), RFC 6962 §2.1. Before a leaf without a reference stands the last byte of its length, a zero: that one is hashed where it lies. */
  #hashLeaf(bytes: Buffer, leafAt: number, leafEnd: number): string {
    if (bytes[leafAt - 1] === 0) return hash("sha256", bytes.subarray(leafAt - 1, leafEnd), "latin1");
    bytes.copy(this.#leaf, 1, leafAt, leafEnd);
    return hash("sha256", this.#leaf.subarray(0, leafEnd - leafAt + 1), "latin1");
  }

  /** Roots of the tiles that lie within a chunk, and whether their files are what they must be. */
  #judgeTiles(work: SegmentWork, chunk: Chunk): void {
    const { first, published } = work.job;
    const end = first + chunk.leaf + chunk.count;
    let index = Math.ceil((first + chunk.leaf) / tileWidthMax) * tileWidthMax;
    for (; index + tileWidthMax <= end; index += tileWidthMax) {
      const leaf = index - first;
      const n = index / tileWidthMax;
      const group = n - work.firstGroup;
      work.roots.write(this.#rootOf(work.hashes, leaf * hashBytes), group * hashBytes, hashBytes, "latin1");
      const isPromised = index + tileWidthMax <= published;
      const isTile = !isPromised || this.#isTile(work, n, leaf);
      const isBundle = !isPromised || this.#isBundle(work, n, leaf);
      work.groups[group] = groupKnown.root | (isTile ? groupKnown.tile : 0) | (isBundle ? groupKnown.bundle : 0);
    }
  }

  /** Root over 256 leaf hashes, RFC 6962 §2.1. */
  #rootOf(hashes: Buffer, at: number): string {
    const memory = this.#nodeMemory;
    for (let i = 0; i < tileWidthMax / 2; i++)
      hashes.copy(memory, i * nodeBytes + 1, at + i * 2 * hashBytes, at + (i + 1) * 2 * hashBytes);
    let above = (tileWidthMax / 2) * nodeBytes;
    let root = "";
    for (const level of this.#nodes) {
      for (let i = 0; i < level.length; i++) {
        // The loop ends with the level, so there is a node.
        root = hash("sha256", level[i] as Buffer, "latin1");
        if (level.length > 1)
          memory.write(root, above + (i >> 1) * nodeBytes + 1 + (i & 1) * hashBytes, hashBytes, "latin1");
      }
      above += (level.length / 2) * nodeBytes;
    }
    return root;
  }

  #isTile(work: SegmentWork, n: number, leaf: number): boolean {
    const path = tilePath({ level: 0, n, width: tileWidthMax });
    const found = readWhole(this.#disk, join(work.job.directory, path), this.#file);
    const from = leaf * hashBytes;
    return found !== null && found.compare(work.hashes, from, from + tileWidthMax * hashBytes) === 0;
  }

  /** Is the bundle each leaf after its length? */
  #isBundle(work: SegmentWork, n: number, leaf: number): boolean {
    const found = readWhole(this.#disk, join(work.job.directory, bundlePath(n, tileWidthMax)), this.#file);
    if (found === null) return false;
    const { bytes, offsets } = work;
    let at = 0;
    for (let i = leaf; i < leaf + tileWidthMax; i++) {
      const entry = offsets[i] ?? 0;
      const length = bytes.readUInt16BE(entry);
      if (at + 2 + length > found.length || found.readUInt16BE(at) !== length) return false;
      const leafAt = entry + entryHeaderBytes;
      if (found.compare(bytes, leafAt, leafAt + length, at + 2, at + 2 + length) !== 0) return false;
      at += 2 + length;
    }
    return at === found.length;
  }
}

/** Form and head of a leaf. */
function judgeText(work: SegmentWork, leaf: number, text: string): boolean {
  const head = peekLeaf(text);
  if (head === null || refuseLeafText(text, head) !== null) return false;
  if ((head.t === "origin") !== (work.job.first + leaf === 0)) return false;
  let kind = leafKind.of(head.t);
  if (head.id !== null) {
    const [high, low] = idHash(head.id);
    work.ids[2 * leaf] = high;
    work.ids[2 * leaf + 1] = low;
    kind |= leafKind.hasId;
    if (kind === leafKind.crossing || kind === leafKind.intent) work.windows[leaf] = windowOfId(head.id) ?? noWindow;
  }
  if (head.t === "outcome" && saysUnknown(text)) kind |= leafKind.saysUnknown;
  work.kinds[leaf] = kind;
  return true;
}
