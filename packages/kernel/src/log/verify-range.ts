// Promises of some leaves of an origin that they are the ones the signed root commits to, each in its place and form, without reading the others: of
// those only hashes are taken, out of the tiles, and together they must give the root. Trusts nothing but the verifier key; what it did not look
// at it says. Specified in docs/audit.md "A part of a log"; the tree: RFC 6962 §2.1.
import { join } from "node:path";
import { printHex, sameBytes } from "@sallyport/protocol/audit/base64.ts";
import { peekLeaf, refuseLeafText } from "@sallyport/protocol/audit/leaf-format.ts";
import { leafHasher, nodeHash } from "@sallyport/protocol/audit/merkle.ts";
import { consistencyProof, rangeHash, type TreeSource, verifyConsistency } from "@sallyport/protocol/audit/proof.ts";
import { tileHashReader, tilePath, tileWidth, tileWidthMax } from "@sallyport/protocol/audit/tiles.ts";
import { saysUnknown } from "./completeness.ts";
import { readTileFile } from "./derived.ts";
import { LogFault } from "./fault.ts";
import { sha256 } from "./log-crypto.ts";
import type { FoundRecord } from "./port.ts";
import { FrameMarks, SegmentWalk } from "./segment-walk.ts";
import { countLeaf } from "./tally-check.ts";
import { namedReference } from "./verify-chunk.ts";
import {
  type LogProblem,
  type OriginReport,
  type OriginRules,
  type ProblemKind,
  problemsMax,
  type SignedRoot,
} from "./verify-report.ts";

const takenAtOnce = 2_048;
const takenBytesMax = 8_388_608;
const progressLeaves = 65_536;

/** Leaves `from` to `to`, less one, of a published tree. */
export interface RangeRules extends OriginRules {
  readonly published: SignedRoot;
  readonly from: number;
  readonly to: number;
}

export class RangeVerifier {
  readonly #rules: RangeRules;
  readonly #tree: TreeSource;
  readonly #walk: SegmentWalk;
  readonly #hash = leafHasher(sha256);
  readonly #problems: LogProblem[] = [];
  #taken: readonly FoundRecord[] = [];
  #next = 0;
  #firstLeaf: string | null = null;
  /** The last reference whose hash was made, and that hash. */
  #reference: { readonly bytes: Uint8Array; readonly hash: string } | null = null;
  /** First leaf that is not the one its tile was made from. */
  #changed: number | null = null;
  #reported = 0;

  constructor(rules: RangeRules) {
    this.#rules = rules;
    const { disk, directory, origin, published, from } = rules;
    const read = tileHashReader(sha256, published.size, (tile) => readTileFile(disk, directory, tile));
    this.#tree = { sha256, read };
    this.#walk = new SegmentWalk({ disk, directory, origin }, new FrameMarks(), from);
  }

  verify(): OriginReport {
    const { origin, published, from, to } = this.#rules;
    try {
      this.#meetPublished();
      for (const kept of this.#rules.kept) this.#meetKept(kept);
    } catch (error) {
      if (error instanceof RangeError)
        this.#problem("tile", `${error.message}, so leaves cannot be led to the signed root`);
      else if (error instanceof LogFault) this.#problem("frame", error.internal);
      else throw error;
    }
    this.#rules.onLeaves(this.#walk.next - from - this.#reported);
    return {
      origin,
      leaves: to - from,
      size: published.size,
      root: printHex(published.root),
      checkpoint: published,
      problems: this.#problems,
      firstLeaf: this.#firstLeaf,
      checked: { from, to },
    };
  }

  #problem(kind: ProblemKind, message: string, place: { file?: string; index?: number } = {}): void {
    if (this.#problems.length >= problemsMax) return;
    const { file = null, index = null } = place;
    this.#problems.push({ kind, origin: this.#rules.origin, file, index, offset: null, message });
  }

  #meetPublished(): void {
    const { published, from, to, directory } = this.#rules;
    if (sameBytes(this.#nodeOf(0, published.size), published.root)) return;
    if (this.#changed === null) {
      const message = `leaves ${from} to ${to - 1} and the hashes of the others in the tiles do not give the root that was signed for ${published.size} leaves`;
      this.#problem("root", message, { file: published.from });
      return;
    }
    const n = Math.floor(this.#changed / tileWidthMax);
    const tile = tilePath({ level: 0, n, width: tileWidth(0, n, published.size) });
    const message = `leaf ${this.#changed} is not the one its tile was made from, and the signed root is not met`;
    this.#problem("leaf", message, { file: join(directory, tile), index: this.#changed });
  }

  /** Hash over leaves `from` to `to`: of the range from its leaves, in order, of all others from the tiles. */
  #nodeOf(from: number, to: number): Uint8Array {
    if (to <= this.#rules.from || from >= this.#rules.to) return rangeHash(this.#tree, from, to);
    if (to - from === 1) return this.#leaf(this.#take());
    let width = 1;
    while (width * 2 < to - from) width *= 2;
    const left = this.#nodeOf(from, from + width);
    return nodeHash(sha256, left, this.#nodeOf(from + width, to));
  }

  #take(): FoundRecord {
    if (this.#next === this.#taken.length) {
      const { to: until } = this.#rules;
      this.#taken = this.#walk.take({ until, recordsMax: takenAtOnce, bytesMax: takenBytesMax });
      this.#next = 0;
    }
    const record = this.#taken[this.#next++];
    if (record === undefined) throw new Error("a walk gives every leaf before its end, or throws");
    return record;
  }

  #leaf({ index, leaf, reference }: FoundRecord): Uint8Array {
    const { completeness, tallies, from } = this.#rules;
    const text = Buffer.from(leaf).toString("latin1");
    const head = peekLeaf(text);
    const refusal = refuseLeafText(text, head);
    if (refusal !== null) this.#problem("leaf", `leaf ${index} ${refusal}`, { index });
    if (head !== null) {
      const wrong = completeness.take(head, head.t === "outcome" && saysUnknown(text));
      if (wrong !== null) this.#problem("crossing", `leaf ${index} ${wrong}`, { index });
      for (const astray of refusal === null ? countLeaf(tallies, head, text) : [])
        this.#problem("missing", `leaf ${index} ${astray}`, { index });
      if ((head.t === "origin") !== (index === 0))
        this.#problem("chain", `leaf ${index}: an origin leaf is the first leaf and only that`, { index });
    }
    if (index === 0) this.#firstLeaf = text;
    if (reference !== null && this.#hashOf(reference) !== namedReference(text))
      this.#problem("reference", `leaf ${index}: the sealed reference stored with it is not the one it names`, {
        index,
      });
    const hash = new Uint8Array(this.#hash(leaf));
    if (this.#changed === null && !sameBytes(hash, this.#tree.read(0, index))) this.#changed = index;
    if (index - from - this.#reported >= progressLeaves) {
      this.#rules.onLeaves(progressLeaves);
      this.#reported += progressLeaves;
    }
    return hash;
  }

  /** Neighbours share a reference. */
  #hashOf(reference: Uint8Array): string {
    if (this.#reference?.bytes !== reference) this.#reference = { bytes: reference, hash: printHex(sha256(reference)) };
    return this.#reference.hash;
  }

  /** Is what was signed before the beginning of what is signed now? */
  #meetKept({ size, root, from }: SignedRoot): void {
    const { published } = this.#rules;
    if (size > published.size) {
      const message = `a checkpoint was signed over ${size} leaves, but the published one covers ${published.size}: the log was cut short or put back`;
      this.#problem("truncated", message, { file: from, index: published.size });
      return;
    }
    const proof = consistencyProof(this.#tree, size, published.size);
    const claim = { olderSize: size, olderRoot: root, size: published.size, root: published.root, proof };
    if (verifyConsistency(sha256, claim)) return;
    const message = `what is signed now does not extend the root that was signed for ${size} leaves: the log was rewritten or forked`;
    this.#problem("root", message, { file: from });
  }
}
