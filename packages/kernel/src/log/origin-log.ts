// Promises one origin: an append is durable after exactly one fdatasync, a checkpoint never goes back, and a start either continues exactly
// what was acknowledged and signed or refuses. Trusts the disk port's sync. Specified in docs/formats/leaf.md; order of acts in docs/audit.md.
import { basename, join } from "node:path";
import { printCheckpointBody } from "@sallyport/protocol/audit/checkpoint.ts";
import type { LeafHead } from "@sallyport/protocol/audit/leaf-format.ts";
import { Frontier, leafHasher } from "@sallyport/protocol/audit/merkle.ts";
import { parseNote } from "@sallyport/protocol/audit/note.ts";
import { rangeHash } from "@sallyport/protocol/audit/proof.ts";
import { tileHashReader } from "@sallyport/protocol/audit/tiles.ts";
import { type KeptCheckpoint, readOwnCheckpoint, swapSteps } from "./checkpoint-files.ts";
import { type CheckpointSigner, noteOf } from "./checkpoint-signer.ts";
import { DerivedFold, readTileFile } from "./derived.ts";
import { type Disk, makeDirectoriesDurably, readWhole } from "./disk.ts";
import { LogFault } from "./fault.ts";
import { sha256 } from "./log-crypto.ts";
import type { OpenIntents } from "./open-intents.ts";
import type { FoundRecord } from "./port.ts";
import { RootChecks, rolledBack } from "./root-checks.ts";
import {
  type EntrySpan,
  newSpan,
  printFrame,
  printSegmentHeader,
  readEntrySpan,
  segmentHeaderBytes,
} from "./segment.ts";
import { GrowingIndex } from "./segment-index.ts";
import { findInSegments } from "./segment-lookup.ts";
import { SegmentWriter } from "./segment-writer.ts";
import {
  dropSegmentFile,
  headOf,
  listSegments,
  missingSegment,
  type ScanEnd,
  type ScannedEntry,
  type SegmentFile,
  scanForStart,
  segmentFile,
} from "./segments.ts";
import { parseState, printState } from "./state-file.ts";
import { type LogSteps, replaceSteps, runNow } from "./steps.ts";

export interface OriginOptions {
  readonly disk: Disk;
  /** The origin's own folder; its parent exists. */
  readonly directory: string;
  readonly origin: string;
  readonly signer: CheckpointSigner;
  readonly segmentBytesMax: number;
  /** Checkpoints of this origin kept elsewhere: the log must extend them. */
  readonly kept: readonly KeptCheckpoint[];
}

/** A batch: entries already in their stored encoding. */
export interface Slab {
  readonly bytes: Buffer;
  readonly count: number;
  /** Type and id of each entry. */
  readonly heads: readonly LeafHead[];
}

export class OriginLog {
  readonly #options: OriginOptions;
  readonly #intents: OpenIntents;
  readonly #hash = leafHasher(sha256);
  #fold: DerivedFold;
  #segment: SegmentFile;
  #writer: SegmentWriter | null = null;
  #size = 0;
  readonly #index = new GrowingIndex();
  readonly #sound = new Set<string>();
  /** Durable batches whose leaves are not yet hashed. */
  #unfolded: { readonly slab: Slab; readonly at: number }[] = [];
  #head: string | null = null;
  /** Leaves of the newest checkpoint. */
  #signed = 0;

  private constructor(options: OriginOptions, intents: OpenIntents) {
    this.#options = options;
    this.#intents = intents;
    this.#fold = new DerivedFold(options.disk, options.directory);
    this.#segment = segmentFile(options.directory, 0);
  }

  /**
   * Opens or creates an origin. `intents` are those open when the previous origin ended, and is kept up to date.
   * Throws LogFault `log-corrupt`, `log-rolled-back` or `log-key`; nothing was changed then.
   */
  static open(options: OriginOptions, intents: OpenIntents): OriginLog {
    const log = new OriginLog(options, intents);
    makeDirectoriesDurably(options.disk, options.directory);
    makeDirectoriesDurably(options.disk, join(options.directory, "wal"));
    log.#recover();
    return log;
  }

  /** Durable leaves. */
  get size(): number {
    return this.#size;
  }

  /** Leaves of the newest checkpoint published. */
  get signed(): number {
    return this.#signed;
  }

  get origin(): string {
    return this.#options.origin;
  }

  /** Appends a batch with exactly one sync of the write-ahead file; returns the index of its first leaf. Throws what the disk throws. */
  commit(slab: Slab): number {
    const writer = this.#roomyWriter();
    const frame = printFrame(this.#size, slab.count, slab.bytes);
    const at = writer.position + frame.length - slab.bytes.length;
    writer.append(frame);
    const first = this.#size;
    this.#unfolded.push({ slab, at });
    this.#size += slab.count;
    return first;
  }

  /** Hashes and indexes what is durable. Separate from `commit` so that nobody waits for it. */
  absorb(): void {
    for (const { slab, at } of this.#unfolded) {
      const span = newSpan(0, slab.bytes.length);
      for (let i = 0; i < slab.count; i++) {
        readEntrySpan(slab.bytes, span.end, span);
        const head = slab.heads[i] ?? null;
        this.#index.add(at + span.at, head?.id ?? null);
        this.#fold.push(...this.#hashed(slab.bytes, span));
        if (head !== null) this.#intents.take(head);
      }
    }
    this.#unfolded = [];
    this.#fold.writeSurplus();
  }

  /** Begins to write and make durable what `absorb` filled, without waiting for it; `failed` hears of what failed. */
  settleLater(failed: (error: unknown) => void): void {
    this.#fold.settleLater(failed);
  }

  #hashed(bytes: Buffer, span: EntrySpan): [Uint8Array, Uint8Array] {
    const leaf = bytes.subarray(span.leafAt, span.leafEnd);
    return [leaf, this.#hash(leaf)];
  }

  /** Of the present segment, or of a new one where that is full. */
  #roomyWriter(): SegmentWriter {
    const { segmentBytesMax, disk, directory, origin } = this.#options;
    if (this.#writer !== null && this.#writer.position <= segmentBytesMax) return this.#writer;
    this.absorb();
    if (this.#writer !== null) {
      this.#fold.writeFile(indexName(this.#segment), this.#index.print(this.#segment.first));
      this.#writer.end();
    }
    const segment = segmentFile(directory, this.#size);
    const writer = SegmentWriter.begin(disk, segment, printSegmentHeader(this.#size, origin));
    this.#writer?.close();
    this.#writer = writer;
    this.#segment = segment;
    this.#index.clear();
    return writer;
  }

  /** Makes everything derived durable without a new checkpoint: for a log that has ended and whose key is not here. */
  settle(): void {
    this.absorb();
    runNow(this.#settleSteps(), this.#options);
  }

  *#settleSteps(): LogSteps<void> {
    yield* this.#fold.stageSteps(this.#fold.edge());
    yield* this.#replace("state", this.#stateNow());
  }

  #stateNow(): Buffer {
    return Buffer.from(printState({ size: this.#size, root: this.#fold.root(), open: this.#intents.ids() }));
  }

  #replace(name: "state" | "checkpoint", bytes: Buffer): LogSteps<void> {
    return replaceSteps(this.#options.disk, join(this.#options.directory, name), bytes);
  }

  /**
   * Signs, stages, swaps and publishes a checkpoint over everything that is durable when it begins; gives the note. The same size is signed once.
   * Records may be appended between the steps, a second checkpoint not be begun.
   */
  *checkpointSteps(): LogSteps<string> {
    this.absorb();
    const { disk, directory, origin } = this.#options;
    const size = this.#size;
    const body = printCheckpointBody(origin, size, this.#fold.root());
    if (this.#head?.startsWith(body) === true) {
      // A start may have made derived files again.
      yield* this.#fold.stageSteps([]);
      return this.#head;
    }
    const edge = this.#fold.edge();
    const state = this.#stateNow();
    // Before anything is staged: while no signature is to be had, nothing piles up on the disk.
    const note = yield* this.#signSteps(body);
    yield* this.#fold.stageSteps(edge);
    yield* this.#replace("state", state);
    yield* swapSteps(disk, join(directory, "head"), { expected: this.#head, next: note });
    this.#head = note;
    yield* this.#replace("checkpoint", Buffer.from(note));
    this.#fold.dropSuperseded(this.#signed, size);
    this.#signed = size;
    return note;
  }

  /** `cosigned`: the newest checkpoint, byte for byte, with further signature lines. */
  publish(cosigned: string): void {
    if (this.#head !== null && cosigned.startsWith(this.#head) && parseNote(cosigned) !== null)
      runNow(this.#replace("checkpoint", Buffer.from(cosigned)), this.#options);
  }

  *#signSteps(body: string): LogSteps<string> {
    const { origin, signer } = this.#options;
    const { publicKey } = signer;
    const signature = yield { kind: "sign", message: Buffer.from(body, "utf8") };
    return noteOf(body, { origin, publicKey, signature });
  }

  /** Of what `absorb` has taken up. */
  find(id: string): FoundRecord[] {
    const growing = { first: this.#segment.first, index: this.#index };
    return findInSegments({ ...this.#options, growing, sound: this.#sound }, id);
  }

  close(): void {
    this.#writer?.close();
    this.#writer = null;
  }

  #recover(): void {
    const { disk, directory, kept, origin, signer } = this.#options;
    const own = { origin, publicKey: signer.publicKey };
    const head = readOwnCheckpoint(disk, join(directory, "head"), own);
    const published = readOwnCheckpoint(disk, join(directory, "checkpoint"), own);
    const signed = [head, published, ...kept].filter((checkpoint) => checkpoint !== null);
    const newest = Math.max(0, head?.size ?? 0);
    const beyond = signed.find((checkpoint) => checkpoint.size > newest);
    if (beyond !== undefined) throw rolledBack(beyond, newest);
    this.#continue(newest, signed);
    this.#head = head?.note ?? null;
    this.#signed = newest;
    // A crash between the swap and the publication left the older note in place. Lines of witnesses stay.
    if (head !== null && published?.note.startsWith(head.note) !== true)
      runNow(this.#replace("checkpoint", Buffer.from(head.note)), this.#options);
  }

  /** From the staged state where it can be believed; else, and when anything disagrees with it, from the whole write-ahead log, which decides. */
  #continue(newest: number, signed: readonly KeptCheckpoint[]): void {
    const before = this.#intents.ids();
    const base = this.#restoreState(newest);
    try {
      if (base > 0) {
        this.#checkStaged(base, new RootChecks(signed));
        this.#replay(base);
        return;
      }
    } catch (error) {
      if (!(error instanceof LogFault || error instanceof RangeError)) throw error;
    }
    this.#checkWhole(signed);
    this.#fold = new DerivedFold(this.#options.disk, this.#options.directory);
    this.#segment = segmentFile(this.#options.directory, 0);
    this.#index.clear();
    this.#intents.replace(before);
    this.#replay(0);
  }

  /** The staged size to continue from; 0 when it cannot be believed. */
  #restoreState(newest: number): number {
    const bytes = readWhole(this.#options.disk, join(this.#options.directory, "state"));
    const state = bytes === null ? null : parseState(bytes.toString("utf8"));
    if (state === null || state.size < newest || !this.#fold.restore(state.size, state.root)) return 0;
    this.#intents.replace(state.open);
    return state.size;
  }

  #checkStaged(base: number, checks: RootChecks): void {
    const { disk, directory } = this.#options;
    const read = tileHashReader(sha256, base, (tile) => readTileFile(disk, directory, tile));
    checks.upTo(base, (size) => (size === base ? this.#fold.root() : rangeHash({ sha256, read }, 0, size)));
  }

  /** Every signed checkpoint against the write-ahead log alone, before a single file is touched. */
  #checkWhole(signed: readonly KeptCheckpoint[]): void {
    const checks = new RootChecks(signed);
    const frontier = new Frontier(sha256);
    checks.upTo(0, () => frontier.root());
    this.#scan(0, (_segment, { bytes, span }) => {
      frontier.push(this.#hash(bytes.subarray(span.leafAt, span.leafEnd)));
      checks.upTo(frontier.size, () => frontier.root());
    });
    const unmet = checks.next();
    if (unmet !== undefined) throw rolledBack(unmet, frontier.size);
  }

  /** Takes up every leaf from `base` on. Every signed checkpoint has been met before. */
  #replay(base: number): void {
    const last = this.#scan(base, (segment, { bytes, span, index }) => {
      if (segment.first !== this.#segment.first || index === segment.first) this.#enter(segment);
      const head = headOf(bytes, span.leafAt, span.leafEnd);
      this.#index.add(span.at, head?.id ?? null);
      if (index < base) return;
      this.#fold.push(...this.#hashed(bytes, span));
      if (head !== null) this.#intents.take(head);
    });
    if (last === null) return;
    this.#size = last.end.next;
    this.#fold.dropUnsigned(base);
    this.#fold.write();
    this.#fold.detach();
    this.#openTail(last);
  }

  /** Replay comes to another segment: the index of the one before is complete. */
  #enter(segment: SegmentFile): void {
    if (this.#index.count > 0) {
      this.#fold.writeFile(indexName(this.#segment), this.#index.print(this.#segment.first));
      this.#fold.write();
    }
    this.#segment = segment;
    this.#index.clear();
  }

  /** Visits every leaf from the segment that holds `base` on. Throws when a segment is missing, damaged, or the log ends before `base`. */
  #scan(base: number, visit: (segment: SegmentFile, entry: ScannedEntry) => void): Tail | null {
    const { disk, directory, origin } = this.#options;
    const segments = listSegments(disk, directory);
    // Strictly before: the index of a segment that ends exactly at the staged size was written after staging.
    const from = Math.max(
      0,
      segments.findLastIndex((segment) => segment.first < base),
    );
    let next = base > 0 ? (segments[from]?.first ?? 0) : 0;
    let tail: Tail | null = null;
    const [start] = segments.slice(from);
    if (start !== undefined && start.first > base) throw missingSegment(start, next);
    for (const [i, segment] of segments.entries()) {
      if (i < from) continue;
      if (segment.first !== next) throw missingSegment(segment, next);
      const bytes = readWhole(disk, segment.path) ?? Buffer.alloc(0);
      const end = scanForStart({ bytes, segment, origin }, { last: i === segments.length - 1 }, (entry) =>
        visit(segment, entry),
      );
      next = end.next;
      tail = { segment, end };
    }
    if (next < base)
      throw new LogFault(
        "log-rolled-back",
        `${directory}/wal ends at leaf ${next}, but ${base} were staged and durable: restore the missing segment from the backup or archive`,
      );
    return tail;
  }

  /** Cuts what an interrupted write left behind the last whole frame; a last segment without a whole header goes, and is begun again when it is needed. */
  #openTail({ segment, end }: Tail): void {
    if (this.#segment.first !== segment.first) this.#enter(segment);
    if (end.end < segmentHeaderBytes) {
      dropSegmentFile(this.#options.disk, segment);
      return;
    }
    this.#writer = SegmentWriter.goOn(this.#options.disk, segment, end);
  }
}

interface Tail {
  readonly segment: SegmentFile;
  readonly end: ScanEnd;
}

const indexName = (segment: SegmentFile) => join("wal", basename(segment.indexPath));
