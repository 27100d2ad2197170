// Promises to read one origin as a stranger would: every frame, leaf, tile and bundle, and every signed root, and to name the first bad byte it can.
// Trusts nothing but the verifier key. Specified in docs/formats/leaf.md.
import { dirname, join } from "node:path";
import { printHex, sameBytes } from "@sallyport/protocol/audit/base64.ts";
import { verifyCheckpoint } from "@sallyport/protocol/audit/checkpoint.ts";
import { peekLeaf, refuseLeafText } from "@sallyport/protocol/audit/leaf-format.ts";
import { hashBytes, leafHasher } from "@sallyport/protocol/audit/merkle.ts";
import {
  bundlePath,
  parseBundle,
  printBundle,
  TileBuilder,
  type TileId,
  tilePath,
  tileWidthMax,
} from "@sallyport/protocol/audit/tiles.ts";
import { readWhole } from "./disk.ts";
import { noteCrypto, sha256 } from "./log-crypto.ts";
import { type EntrySpan, isOwner, newSpan, readEntrySpan, readFrameHeader } from "./segment.ts";
import { GrowingIndex } from "./segment-index.ts";
import { listSegments, type ScanEnd, type ScannedEntry, type SegmentFile, scanSegment } from "./segments.ts";
import { parseState } from "./state-file.ts";
import {
  type LogProblem,
  type OriginReport,
  type OriginRules,
  type ProblemKind,
  problemsMax,
  type SignedRoot,
} from "./verify-report.ts";

/** A tile or bundle that differs from what the write-ahead log gives; who is right, the root decides. */
interface Difference {
  readonly path: string;
  readonly offset: number;
  readonly index: number;
  readonly missing: boolean;
  readonly kind: "tile" | "bundle";
}

export class OriginVerifier {
  readonly #rules: OriginRules;
  readonly #problems: LogProblem[] = [];
  readonly #differences: Difference[] = [];
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
  /** For one tile or bundle at a time: fresh pages for each would cost more than reading them. */
  readonly #memory = Buffer.allocUnsafeSlow(262_144);
  /** What the index of the segment that is read must say; null where it has none. */
  #growing: GrowingIndex | null = null;
  /** A bad frame ended the reading: what follows could not be judged. */
  #stopped = false;

  constructor(rules: OriginRules) {
    this.#rules = rules;
    this.#tiles = new TileBuilder(sha256, (tile, bytes) => this.#compareTile(tile, bytes));
  }

  verify(): OriginReport {
    const head = this.#readCheckpoint("head");
    this.#published = this.#readCheckpoint("checkpoint");
    this.#signed = [head, this.#published, ...this.#rules.kept].filter((root) => root !== null);
    this.#signed.sort((a, b) => a.size - b.size);
    this.#meetRoots();
    this.#walk();
    this.#reportUnmet();
    this.#checkState();
    this.#judgeDifferences();
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
    };
  }

  #problem(kind: ProblemKind, message: string, place: { file?: string; index?: number; offset?: number } = {}): void {
    if (this.#problems.length >= problemsMax) return;
    const { file = null, index = null, offset = null } = place;
    this.#problems.push({ kind, origin: this.#rules.origin, file, index, offset, message });
  }

  #readCheckpoint(name: string): SignedRoot | null {
    const { disk, directory, origin, key } = this.#rules;
    const file = join(directory, name);
    const bytes = readWhole(disk, file);
    if (bytes === null) {
      this.#problem("checkpoint", `${name} is missing: nothing says how long this log was`, { file });
      return null;
    }
    const verdict = verifyCheckpoint(noteCrypto, bytes.toString("utf8"), { origin, keys: [key] });
    if (verdict.kind === "ok") return { ...verdict.checkpoint, from: file };
    const why = {
      malformed: "is not a checkpoint",
      unsigned: "is not signed by the given key",
      "bad-signature": "carries a wrong signature of the given key",
      "foreign-origin": "belongs to another origin",
    }[verdict.why];
    this.#problem("checkpoint", `${name} ${why}`, { file });
    return null;
  }

  #walk(): void {
    const { disk, directory, origin } = this.#rules;
    const segments = listSegments(disk, directory);
    let next = 0;
    for (const [i, segment] of segments.entries()) {
      if (segment.first !== next) {
        this.#problem(
          "frame",
          `leaf ${next} is due, but this segment begins with ${segment.first}: a segment is missing`,
          { file: segment.path, index: next },
        );
        return;
      }
      const bytes = readWhole(disk, segment.path) ?? Buffer.alloc(0);
      const last = i === segments.length - 1;
      const index = last ? null : readWhole(disk, segment.indexPath);
      this.#growing = index === null ? null : new GrowingIndex();
      const end = scanSegment({ bytes, segment, origin }, (entry) => this.#leaf(entry, segment));
      next = end.next;
      if (end.bad !== null && !(last && this.#isExpectedTail(end))) {
        this.#stopped = true;
        this.#badFrame(bytes, segment, end);
        return;
      }
      if (index !== null) this.#checkIndex(index, segment);
    }
  }

  /** A half-written frame at the end of a running log's copy, beyond what is signed. */
  #isExpectedTail(end: ScanEnd): boolean {
    return this.#rules.live && end.next >= (this.#published?.size ?? 0);
  }

  #leaf({ bytes, span, index }: ScannedEntry, segment: SegmentFile): void {
    const text = bytes.toString("latin1", span.leafAt, span.leafEnd);
    const at = { file: segment.path, index, offset: span.leafAt };
    const head = peekLeaf(text);
    this.#growing?.add(span.at, head?.id ?? null);
    const refusal = refuseLeafText(text, head);
    if (refusal !== null) this.#problem("leaf", `leaf ${index} ${refusal}`, at);
    if (head !== null) {
      const wrong = this.#rules.completeness.take(head, text);
      if (wrong !== null) this.#problem("crossing", `leaf ${index} ${wrong}`, at);
      if ((head.t === "origin") !== (index === 0))
        this.#problem("chain", `leaf ${index}: an origin leaf is the first leaf and only that`, at);
    }
    if (index === 0) this.#firstLeaf = text;
    if (isOwner(span)) this.#reference = printHex(sha256(bytes.subarray(span.leafEnd, span.end)));
    if (isOwner(span) || span.holderAt !== -1) this.#checkReference(span, { text, index, segment });
    const leaf = bytes.subarray(span.leafAt, span.leafEnd);
    this.#add(leaf);
  }

  #add(leaf: Uint8Array): void {
    this.#bundle.push(leaf);
    this.#tiles.push(this.#hash(leaf));
    if (this.#bundle.length === tileWidthMax) {
      this.#compareBundle(Math.floor(this.#tiles.size / tileWidthMax) - 1, this.#bundle);
      this.#bundle = [];
    }
    this.#meetRoots();
    if (this.#tiles.size - this.#reported >= 65_536) {
      this.#rules.onLeaves(this.#tiles.size - this.#reported);
      this.#reported = this.#tiles.size;
    }
  }

  /** Scanning admits no entry that shares another reference than the last one before it. */
  #checkReference(span: EntrySpan, at: { text: string; index: number; segment: SegmentFile }): void {
    const named = /"(?:inputs|facts)":"([0-9a-f]{64})"/.exec(at.text)?.[1];
    if (this.#reference === named) return;
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
      if (next === this.#published) this.#comparePartials();
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
      this.#problem("truncated", message, { file: this.#published.from, index: this.#published.size });
    }
  }

  #compareTile(tile: TileId, bytes: Uint8Array): void {
    const perHash = tileWidthMax ** tile.level;
    const first = tile.n * tileWidthMax * perHash;
    // Beyond the checkpoint nothing was promised.
    if (first + tile.width * perHash > (this.#published?.size ?? 0)) return;
    this.#compare(
      { kind: "tile", path: tilePath(tile) },
      bytes,
      (offset) => first + Math.floor(offset / hashBytes) * perHash,
    );
  }

  /** Partial tiles and bundles of the published size, and those that older checkpoints left beside them: each is a prefix. */
  #comparePartials(): void {
    for (const { tile, bytes } of this.#tiles.partials()) {
      for (const width of this.#widths(tilePath(tile), tile.width)) {
        this.#compareTile({ ...tile, width }, bytes.subarray(0, width * hashBytes));
      }
    }
    const n = Math.floor(this.#tiles.size / tileWidthMax);
    const width = this.#bundle.length;
    if (width === 0) return;
    for (const older of this.#widths(bundlePath(n, width), width)) this.#compareBundle(n, this.#bundle.slice(0, older));
  }

  /** The width itself and the smaller ones whose files are there. */
  #widths(path: string, width: number): number[] {
    const names = this.#rules.disk.list(join(this.#rules.directory, dirname(path)));
    return [
      width,
      ...names
        .filter((name) => /^[1-9][0-9]*$/.test(name))
        .map(Number)
        .filter((older) => older < width),
    ];
  }

  #compareBundle(n: number, entries: readonly Uint8Array[]): void {
    const first = n * tileWidthMax;
    if (first + entries.length > (this.#published?.size ?? 0)) return;
    this.#compare({ kind: "bundle", path: bundlePath(n, entries.length) }, printBundle(entries), (offset) => {
      let end = 0;
      const place = entries.findIndex((entry) => {
        end += 2 + entry.length;
        return offset < end;
      });
      return first + Math.max(0, place);
    });
  }

  #compare(
    { kind, path }: Pick<Difference, "kind" | "path">,
    due: Uint8Array,
    indexAt: (offset: number) => number,
  ): void {
    const found = readWhole(this.#rules.disk, join(this.#rules.directory, path), this.#memory);
    if (found !== null && Buffer.compare(found, due) === 0) return;
    if (this.#differences.length >= problemsMax) return;
    const offset = found === null ? 0 : firstDifference(found, due);
    this.#differences.push({ kind, path, offset, index: indexAt(offset), missing: found === null });
  }

  /** Where the roots hold, the write-ahead log is right and the file is wrong; where they do not, the tiles say which leaf changed. */
  #judgeDifferences(): void {
    const changed = this.#rootsHeld
      ? undefined
      : this.#differences.find((difference) => difference.kind === "tile" && !difference.missing);
    if (changed !== undefined)
      this.#problem(
        "leaf",
        `leaf ${changed.index} is not the one its tile was made from`,
        this.#placeOf(changed.index),
      );
    for (const { kind, path, offset, index, missing } of this.#differences) {
      const file = join(this.#rules.directory, path);
      const message = missing ? `${path} is missing` : `${path} is not what the write-ahead log gives`;
      this.#problem(kind, message, missing ? { file, index } : { file, index, offset });
    }
  }

  /** File and first differing byte of a leaf; the byte is known where its bundle still holds the leaf as it was. */
  #placeOf(index: number): { file?: string; index: number; offset?: number } {
    const { disk, directory, origin } = this.#rules;
    const segment = listSegments(disk, directory).findLast((candidate) => candidate.first <= index);
    if (segment === undefined) return { index };
    let offset: number | undefined;
    const bytes = readWhole(disk, segment.path) ?? Buffer.alloc(0);
    scanSegment({ bytes, segment, origin }, ({ span, index: at }) => {
      if (at === index)
        offset = span.leafAt + firstDifference(bytes.subarray(span.leafAt, span.leafEnd), this.#bundled(index));
    });
    return offset === undefined ? { file: segment.path, index } : { file: segment.path, index, offset };
  }

  /** The leaf as its bundle has it; empty when there is none. */
  #bundled(index: number): Uint8Array {
    const { disk, directory } = this.#rules;
    const n = Math.floor(index / tileWidthMax);
    const width = Math.min(tileWidthMax, (this.#published?.size ?? 0) - n * tileWidthMax);
    const bytes = width <= 0 ? null : readWhole(disk, join(directory, bundlePath(n, width)));
    return (bytes === null ? null : parseBundle(bytes, width))?.[index % tileWidthMax] ?? new Uint8Array(0);
  }

  /** A frame that does not hold: which of its leaves is wrong, and from which byte on? */
  #badFrame(bytes: Buffer, segment: SegmentFile, end: ScanEnd): void {
    const frame = readFrameHeader(bytes, end.end);
    const span =
      typeof frame === "string" ? newSpan(0, 0) : newSpan(frame.entriesAt, Math.min(frame.end, bytes.length));
    for (let i = 0; typeof frame !== "string" && i < frame.count; i++) {
      const at = span.end;
      const whole = readEntrySpan(bytes, at, span);
      const due = this.#bundled(end.next + i);
      const leaf = whole ? bytes.subarray(span.leafAt, span.leafEnd) : new Uint8Array(0);
      if (due.length === 0 || Buffer.compare(leaf, due) === 0) continue;
      const offset = leaf.length === due.length ? span.leafAt + firstDifference(leaf, due) : at;
      this.#problem("leaf", `leaf ${end.next + i} was changed: ${end.bad}`, {
        file: segment.path,
        index: end.next + i,
        offset,
      });
      return;
    }
    this.#problem("frame", `${end.bad} (leaf ${end.next} and on)`, {
      file: segment.path,
      index: end.next,
      offset: end.end,
    });
  }

  #checkIndex(found: Buffer, segment: SegmentFile): void {
    if (this.#growing?.print(segment.first).equals(found) === true) return;
    this.#problem(
      "derived",
      "the index of this segment is not what the segment gives; remove it and it is made again",
      { file: segment.indexPath, index: segment.first },
    );
  }

  #checkState(): void {
    const file = join(this.#rules.directory, "state");
    const bytes = readWhole(this.#rules.disk, file);
    if (bytes === null) return;
    const state = parseState(bytes.toString("utf8"));
    const stale =
      state === null || (state.size === this.#published?.size && !sameBytes(state.root, this.#published.root));
    if (stale)
      this.#problem("derived", "the state file is damaged; remove it and the next start reads the whole log instead", {
        file,
      });
  }
}

function firstDifference(a: Uint8Array, b: Uint8Array): number {
  const length = Math.min(a.length, b.length);
  for (let i = 0; i < length; i++) if (a[i] !== b[i]) return i;
  return b.length === 0 ? 0 : length;
}
