// Promises to read one origin as a stranger would: every frame, leaf, tile and bundle, and every signed root, and to name the first bad byte it can.
// Trusts nothing but the verifier key. Specified in docs/formats/leaf.md.
import { join } from "node:path";
import { printHex, sameBytes } from "@sallyport/protocol/audit/base64.ts";
import { peekLeaf, refuseLeafText } from "@sallyport/protocol/audit/leaf-format.ts";
import { hashBytes, leafHasher } from "@sallyport/protocol/audit/merkle.ts";
import { TileBuilder, tileWidthMax } from "@sallyport/protocol/audit/tiles.ts";
import { saysUnknown } from "./completeness.ts";
import { readWhole, readWholeInto } from "./disk.ts";
import { sha256 } from "./log-crypto.ts";
import { type EntrySpan, isOwner, segmentHeaderBytes } from "./segment.ts";
import { GrowingIndex } from "./segment-index.ts";
import {
  endFault,
  headerFault,
  listSegments,
  type ScanEnd,
  type ScannedEntry,
  type SegmentFile,
  scanFrames,
} from "./segments.ts";
import { parseState, stateAgrees } from "./state-file.ts";
import { countLeaf } from "./tally-check.ts";
import { namedReference } from "./verify-chunk.ts";
import { type Chunk, groupKnown, leafKind, type SegmentWork } from "./verify-columns.ts";
import { takeCrossings } from "./verify-crossings.ts";
import { DerivedComparison } from "./verify-derived.ts";
import { checkYearFiles } from "./verify-files.ts";
import { placeOf, placeOfBadFrame } from "./verify-place.ts";
import {
  type LogProblem,
  type OriginReport,
  type OriginRules,
  type ProblemKind,
  problemsMax,
  type SignedRoot,
} from "./verify-report.ts";
import { readCosigned, readSigned } from "./verify-signed.ts";

/** A segment that was read and is being judged. */
interface OpenSegment {
  readonly segment: SegmentFile;
  readonly bytes: Buffer;
  readonly isLast: boolean;
  /** Why its header is not the one it must have. */
  readonly fault: string | null;
  readonly work: SegmentWork;
}

type ProblemPlace = { file?: string; index?: number; offset?: number; whileRunning?: true };

export class OriginVerifier {
  readonly #rules: OriginRules;
  readonly #problems: LogProblem[] = [];
  readonly #derived: DerivedComparison;
  readonly #tiles: TileBuilder;
  readonly #hash = leafHasher(sha256);
  #bundle: Uint8Array[] = [];
  #signed: SignedRoot[] = [];
  #published: SignedRoot | null = null;
  #rootsHeld = true;
  #firstLeaf: string | null = null;
  /** SHA-256 of the last reference read. */
  #reference = "";
  #reported = 0;
  /** What the index of the segment that is read must say; null where it has none. */
  #growing: GrowingIndex | null = null;
  /** Its memory, for one segment after another. */
  readonly #index = new GrowingIndex();
  /** A bad frame ended the reading: what follows could not be judged. */
  #stopped = false;

  constructor(rules: OriginRules) {
    this.#rules = rules;
    this.#derived = new DerivedComparison(rules.disk, rules.directory, rules.isBare);
    this.#tiles = new TileBuilder(sha256, (tile, bytes) => this.#derived.compareTile(tile, bytes));
  }

  verify(): OriginReport {
    const head = this.#readCheckpoint("head");
    this.#published = this.#readCheckpoint("checkpoint");
    this.#derived.published = this.#published?.size ?? 0;
    if (head !== null && this.#published !== null && head.size < this.#published.size)
      this.#problem("checkpoint", "head is older than the published checkpoint: one of the two was put back", {
        file: head.from,
      });
    this.#signed = [head, this.#published, ...this.#readCosigned(), ...this.#rules.kept].filter(
      (root) => root !== null,
    );
    this.#signed.sort((a, b) => a.size - b.size);
    this.#meetRoots();
    this.#walk();
    this.#reportUnmet();
    this.#checkState();
    this.#judgeDifferences();
    this.#checkFiles();
    this.#rules.onLeaves(this.#tiles.size - this.#reported);
    const { size = null, root } = this.#published ?? {};
    return {
      origin: this.#rules.origin,
      leaves: this.#tiles.size,
      size,
      root: root === undefined ? null : printHex(root),
      checkpoint: this.#published,
      problems: this.#problems,
      firstLeaf: this.#firstLeaf,
      ...(this.#rules.isBare ? { bare: true as const } : {}),
    };
  }

  #problem(kind: ProblemKind, message: string, place: ProblemPlace = {}): void {
    if (this.#problems.length >= problemsMax) return;
    const { file = null, index = null, offset = null, ...more } = place;
    this.#problems.push({ kind, origin: this.#rules.origin, file, index, offset, message, ...more });
  }

  #readCheckpoint(name: "head" | "checkpoint"): SignedRoot | null {
    const read = readSigned(this.#rules, name);
    if (read.kind === "wrong") this.#problem("checkpoint", read.message, { file: read.file });
    return read.kind === "signed" ? read.root : null;
  }

  /** What witnesses cosigned is signed by the log too, whoever else signed it. */
  #readCosigned(): readonly SignedRoot[] {
    return readCosigned(this.#rules).flatMap((read) => {
      if (read.kind === "wrong") this.#problem("checkpoint", read.message, { file: read.file });
      return read.kind === "signed" ? [read.root] : [];
    });
  }

  #walk(): void {
    const { disk, directory } = this.#rules;
    const segments = listSegments(disk, directory);
    let next = 0;
    let ahead: OpenSegment | null = null;
    for (const [i, segment] of segments.entries()) {
      if (segment.first !== next) {
        const message = `leaf ${next} is due, but this segment begins with ${segment.first}: a segment is missing`;
        this.#problem("frame", message, { file: segment.path, index: next });
        break;
      }
      const open: OpenSegment = ahead ?? this.#open(segments, i);
      ahead = null;
      // That of the last segment of a running log may be being written.
      const index = open.isLast && this.#rules.live ? null : readWhole(disk, segment.indexPath);
      this.#index.clear();
      this.#growing = index === null ? null : this.#index;
      const end = this.#judge(open, () => {
        if (i + 1 < segments.length) ahead ??= this.#open(segments, i + 1);
        return ahead?.work ?? null;
      });
      next = end.next;
      this.#close(open);
      const bad = open.isLast ? end.bad : endFault(end);
      if (bad !== null && !(open.isLast && this.#isExpectedTail(end))) {
        this.#stopped = true;
        this.#badFrame(open, { ...end, bad });
        break;
      }
      if (index !== null) this.#checkIndex(index, segment);
    }
    if (ahead !== null) this.#close(ahead);
  }

  #open(segments: readonly SegmentFile[], i: number): OpenSegment {
    const { disk, directory, origin, crew } = this.#rules;
    // The caller counts within the list.
    const segment = segments[i] as SegmentFile;
    const bytes = readWholeInto(disk, segment.path, (length) => crew.memory(length)) ?? Buffer.alloc(0);
    const fault = headerFault({ bytes, segment, origin });
    const published = this.#published?.size ?? 0;
    const work = crew.open({
      directory,
      first: segment.first,
      published: this.#rules.isBare ? 0 : published,
      bytes: fault === null ? bytes : Buffer.alloc(0),
    });
    return { segment, bytes, isLast: i === segments.length - 1, fault, work };
  }

  #close({ work }: OpenSegment): void {
    this.#rules.crew.close(work);
    // The memory of the segment is used again, the leaves of an unfinished bundle are not.
    this.#bundle = this.#bundle.map((leaf) => new Uint8Array(leaf));
  }

  /** Every chunk in order: of a clean one what the columns say is taken, another is gone through leaf by leaf. */
  #judge({ segment, bytes, fault, work }: OpenSegment, ahead: () => SegmentWork | null): ScanEnd {
    if (fault !== null) return { next: segment.first, end: 0, bad: fault, room: 0 };
    let end: ScanEnd = { next: segment.first, end: segmentHeaderBytes, bad: null, room: 0 };
    for (let i = 0; i < work.chunks; i++) {
      const chunk = work.chunk(i);
      if (this.#rules.crew.isClean(work, i, ahead)) {
        this.#takeClean(work, chunk, segment);
        end = { next: end.next + chunk.count, end: chunk.end, bad: null, room: 0 };
      } else {
        const range = { at: chunk.at, end: chunk.end, first: end.next };
        end = scanFrames(bytes, range, (entry) => this.#leaf(entry, segment));
        if (end.bad !== null) return end;
      }
    }
    return end;
  }

  /** A half-written frame at the end of a running log's copy, beyond what is signed. */
  #isExpectedTail(end: ScanEnd): boolean {
    return this.#rules.live && this.#isTail(end);
  }

  #isTail(end: ScanEnd): boolean {
    return end.next >= (this.#published?.size ?? 0);
  }

  #leaf({ bytes, span, index }: ScannedEntry, segment: SegmentFile): void {
    const text = bytes.toString("latin1", span.leafAt, span.leafEnd);
    const at = { file: segment.path, index, offset: span.leafAt };
    const head = peekLeaf(text);
    this.#growing?.add(span.at, head?.id ?? null);
    const refusal = refuseLeafText(text, head);
    if (refusal !== null) this.#problem("leaf", `leaf ${index} ${refusal}`, at);
    if (head !== null) {
      const wrong = this.#rules.completeness.take(head, head.t === "outcome" && saysUnknown(text));
      if (wrong !== null) this.#problem("crossing", `leaf ${index} ${wrong}`, at);
      for (const astray of refusal === null ? countLeaf(this.#rules.tallies, head, text) : [])
        this.#problem("missing", `leaf ${index} ${astray}`, at);
      if ((head.t === "origin") !== (index === 0))
        this.#problem("chain", `leaf ${index}: an origin leaf is the first leaf and only that`, at);
    }
    if (index === 0) this.#firstLeaf = text;
    if (isOwner(span)) this.#reference = printHex(sha256(bytes.subarray(span.leafEnd, span.end)));
    if (isOwner(span) || span.holderAt !== -1) this.#checkReference(span, { text, index, segment });
    const leaf = bytes.subarray(span.leafAt, span.leafEnd);
    this.#add(leaf, this.#hash(leaf));
  }

  #add(leaf: Uint8Array, hash: Uint8Array): void {
    this.#bundle.push(leaf);
    this.#tiles.push(hash);
    if (this.#bundle.length === tileWidthMax) {
      this.#derived.compareBundle(Math.floor(this.#tiles.size / tileWidthMax) - 1, this.#bundle);
      this.#bundle = [];
    }
    this.#meetRoots();
    this.#progress();
  }

  #progress(): void {
    if (this.#tiles.size - this.#reported < 65_536) return;
    this.#rules.onLeaves(this.#tiles.size - this.#reported);
    this.#reported = this.#tiles.size;
  }

  /** What `#leaf` does for each leaf, from the columns of a chunk in which each leaf, by itself, is as it must be. */
  #takeClean(work: SegmentWork, { leaf: from, count }: Chunk, segment: SegmentFile): void {
    const first = work.job.first + from;
    if (first === 0) {
      const { leafAt, leafEnd } = work.leafAt(0);
      this.#firstLeaf = work.bytes.toString("latin1", leafAt, leafEnd);
    }
    takeCrossings(work, { from, count }, this.#rules, (kind, message, { index, offset }) =>
      this.#problem(kind, message, { file: segment.path, index, offset }),
    );
    this.#growIndex(work, from, count);
    // A root signed within the chunk is met there.
    const isMet = this.#signed.some(({ size }) => size > first && size < first + count);
    for (let i = from; i < from + count; ) {
      const group = Math.floor(this.#tiles.size / tileWidthMax) - work.firstGroup;
      const isWhole = this.#tiles.size % tileWidthMax === 0 && i + tileWidthMax <= from + count;
      if (isWhole && !isMet) this.#takeTile(work, i, group);
      else {
        const { leafAt, leafEnd } = work.leafAt(i);
        this.#add(work.bytes.subarray(leafAt, leafEnd), work.hash(i));
      }
      i += isWhole && !isMet ? tileWidthMax : 1;
    }
    this.#meetRoots();
    this.#progress();
  }

  #growIndex(work: SegmentWork, from: number, count: number): void {
    if (this.#growing === null) return;
    for (let i = from; i < from + count; i++) {
      const offset = work.offsets[i] ?? 0;
      if (((work.kinds[i] ?? 0) & leafKind.hasId) === 0) this.#growing.add(offset, null);
      else this.#growing.addHashed(offset, work.ids[2 * i] ?? 0, work.ids[2 * i + 1] ?? 0);
    }
  }

  #takeTile(work: SegmentWork, leaf: number, group: number): void {
    const known = work.groups[group] ?? 0;
    const n = group + work.firstGroup;
    this.#derived.agreedTile = (known & groupKnown.tile) === 0 ? -1 : n;
    this.#tiles.pushTile(work.hashes.subarray(leaf * hashBytes, (leaf + tileWidthMax) * hashBytes), work.root(group));
    this.#derived.agreedTile = -1;
    if ((known & groupKnown.bundle) !== 0) return;
    const entries = Array.from({ length: tileWidthMax }, (_, i) => {
      const { leafAt, leafEnd } = work.leafAt(leaf + i);
      return work.bytes.subarray(leafAt, leafEnd);
    });
    this.#derived.compareBundle(n, entries);
  }

  /** Scanning admits no entry that shares another reference than the last one before it. */
  #checkReference(span: EntrySpan, at: { text: string; index: number; segment: SegmentFile }): void {
    if (this.#reference === namedReference(at.text)) return;
    const message = `leaf ${at.index}: the sealed reference stored with it is not the one it names`;
    this.#problem("reference", message, { file: at.segment.path, index: at.index, offset: span.leafEnd });
  }

  /** Compares every signed root whose size has just been reached. */
  #meetRoots(): void {
    for (let next = this.#signed[0]; next !== undefined && next.size === this.#tiles.size; next = this.#signed[0]) {
      this.#signed.shift();
      if (!sameBytes(this.#tiles.root(), next.root)) {
        this.#rootsHeld = false;
        this.#problem(
          "root",
          `the first ${next.size} leaves do not give the root that was signed for them: the log was rewritten or forked`,
          { file: next.from },
        );
      }
      if (next === this.#published) this.#derived.comparePartials(this.#tiles, this.#bundle);
    }
  }

  #reportUnmet(): void {
    if (this.#stopped) return;
    for (const unmet of this.#signed) {
      const message = `a checkpoint was signed over ${unmet.size} leaves, but only ${this.#tiles.size} are there: the log was cut short or put back`;
      this.#problem("truncated", message, { file: unmet.from, index: this.#tiles.size });
    }
    if (!this.#rules.live && this.#published !== null && this.#tiles.size > this.#published.size) {
      const message = `${this.#tiles.size - this.#published.size} leaves lie beyond the published checkpoint of a log said to be closed`;
      const place = { file: this.#published.from, index: this.#published.size };
      this.#problem("truncated", message, { ...place, whileRunning: true });
    }
  }

  /** Where the roots hold, the write-ahead log is right and the file is wrong; where they do not, the tiles say which leaf changed. */
  #judgeDifferences(): void {
    const changed = this.#rootsHeld
      ? undefined
      : this.#derived.differences.find((difference) => difference.kind === "tile" && !difference.missing);
    if (changed !== undefined)
      this.#problem(
        "leaf",
        `leaf ${changed.index} is not the one its tile was made from`,
        placeOf(this.#rules, this.#derived.published, changed.index),
      );
    for (const { kind, path, offset, index, missing } of this.#derived.differences) {
      const file = join(this.#rules.directory, path);
      const message = missing ? `${path} is missing` : `${path} is not what the write-ahead log gives`;
      this.#problem(kind, message, missing ? { file, index } : { file, index, offset });
    }
  }

  #badFrame({ bytes, segment }: OpenSegment, end: ScanEnd): void {
    const { kind, message, ...place } = placeOfBadFrame(
      { rules: this.#rules, published: this.#derived.published, bytes, segment },
      end,
    );
    this.#problem(kind, message, { ...place, ...(this.#isTail(end) ? { whileRunning: true } : {}) });
  }

  #checkIndex(found: Buffer, segment: SegmentFile): void {
    if (this.#growing?.print(segment.first).equals(found) === true) return;
    this.#problem(
      "derived",
      "the index of this segment is not what the segment gives; remove it and it is made again",
      { file: segment.indexPath, index: segment.first },
    );
  }

  #checkFiles(): void {
    const size = this.#stopped || !this.#rootsHeld ? null : (this.#published?.size ?? null);
    for (const { kind, message, file, offset, ...more } of checkYearFiles(this.#rules, size))
      this.#problem(kind, message, {
        ...{ ...(file === null ? {} : { file }), ...(offset === null ? {} : { offset }) },
        ...more,
      });
  }

  #checkState(): void {
    const file = join(this.#rules.directory, "state");
    const bytes = readWhole(this.#rules.disk, file);
    if (bytes === null) return;
    const isDue = !this.#rules.live && !this.#stopped;
    const open = isDue && this.#tiles.size === this.#published?.size ? this.#rules.completeness.open() : null;
    if (stateAgrees(parseState(bytes.toString("utf8")), { published: this.#published, isDue, open })) return;
    const message = "the state file is damaged; remove it and the next start reads the whole log instead";
    this.#problem("derived", message, { file });
  }
}
