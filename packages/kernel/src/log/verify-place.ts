// Promises to name the first wrong byte of a log that is known to be wrong, where a bundle still tells how its leaf was. Trusts nothing it reads.
// Specified in docs/formats/leaf.md "On disk".
import { join } from "node:path";
import { bundlePath, parseBundle, tileWidthMax } from "@sallyport/protocol/audit/tiles.ts";
import { readWhole } from "./disk.ts";
import { newSpan, readEntrySpan, readFrameHeader } from "./segment.ts";
import { listSegments, type ScanEnd, type SegmentFile, scanSegment } from "./segments.ts";
import type { OriginRules, ProblemKind } from "./verify-report.ts";

/** Where something is wrong, as far as it is known. */
export interface Place {
  readonly file?: string;
  readonly index: number;
  readonly offset?: number;
}

/** File and first differing byte of a leaf; the byte is known where its bundle still holds the leaf as it was. */
export function placeOf(rules: OriginRules, published: number, index: number): Place {
  const { disk, directory, origin } = rules;
  const segment = listSegments(disk, directory).findLast((candidate) => candidate.first <= index);
  if (segment === undefined) return { index };
  let offset: number | undefined;
  const bytes = readWhole(disk, segment.path) ?? Buffer.alloc(0);
  scanSegment({ bytes, segment, origin }, ({ span, index: at }) => {
    if (at === index)
      offset =
        span.leafAt + firstDifference(bytes.subarray(span.leafAt, span.leafEnd), bundled(rules, published, index));
  });
  return offset === undefined ? { file: segment.path, index } : { file: segment.path, index, offset };
}

/** The leaf as its bundle has it; empty when there is none. */
function bundled({ disk, directory }: OriginRules, published: number, index: number): Uint8Array {
  const n = Math.floor(index / tileWidthMax);
  const width = Math.min(tileWidthMax, published - n * tileWidthMax);
  const bytes = width <= 0 ? null : readWhole(disk, join(directory, bundlePath(n, width)));
  return (bytes === null ? null : parseBundle(bytes, width))?.[index % tileWidthMax] ?? new Uint8Array(0);
}

/** A segment with a frame that does not hold. */
export interface DamagedSegment {
  readonly rules: OriginRules;
  /** Size of the published checkpoint. */
  readonly published: number;
  readonly bytes: Buffer;
  readonly segment: SegmentFile;
}

/** Which leaf of a frame that does not hold is wrong, and from which byte on? */
export function placeOfBadFrame(
  { rules, published, bytes, segment }: DamagedSegment,
  end: ScanEnd,
): Required<Place> & { readonly kind: ProblemKind; readonly message: string } {
  const frame = readFrameHeader(bytes, end.end);
  const span = typeof frame === "string" ? newSpan(0, 0) : newSpan(frame.entriesAt, Math.min(frame.end, bytes.length));
  for (let i = 0; typeof frame !== "string" && i < frame.count; i++) {
    const at = span.end;
    const whole = readEntrySpan(bytes, at, span);
    const due = bundled(rules, published, end.next + i);
    const leaf = whole ? bytes.subarray(span.leafAt, span.leafEnd) : new Uint8Array(0);
    if (due.length === 0 || Buffer.compare(leaf, due) === 0) continue;
    const offset = leaf.length === due.length ? span.leafAt + firstDifference(leaf, due) : at;
    const message = `leaf ${end.next + i} was changed: ${end.bad}`;
    return { kind: "leaf", message, file: segment.path, index: end.next + i, offset };
  }
  const message = `${end.bad} (leaf ${end.next} and on)`;
  return { kind: "frame", message, file: segment.path, index: end.next, offset: end.end };
}

/** Where two texts of bytes begin to differ; 0 when the second is empty. */
export function firstDifference(a: Uint8Array, b: Uint8Array): number {
  const length = Math.min(a.length, b.length);
  for (let i = 0; i < length; i++) if (a[i] !== b[i]) return i;
  return b.length === 0 ? 0 : length;
}
