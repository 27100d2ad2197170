// Promises the subtree hashes that a proof needs, made from the segments alone where a copy has no tiles, in the memory of one segment.
// Trusts nothing: whoever uses them holds the proof against a signed root. Specified by RFC 6962 §2.1.
import { Frontier, leafHasher } from "@sallyport/protocol/audit/merkle.ts";
import type { HashReader } from "@sallyport/protocol/audit/proof.ts";
import { readWhole } from "./disk.ts";
import { sha256 } from "./log-crypto.ts";
import type { SegmentSearch } from "./segment-lookup.ts";
import { listSegments, scanSegment } from "./segments.ts";

/** What a proof asks for, found by making it once with hashes of nothing. */
function hashesAsked(make: (read: HashReader) => unknown): Set<string> {
  const asked = new Set<string>();
  make((height, index) => {
    asked.add(`${height}/${index}`);
    return new Uint8Array(32);
  });
  return asked;
}

/**
 * A reader for one proof over the first `size` leaves, which is made with `make`. Walks the segments once; ends early where one is damaged or missing.
 * Throws RangeError for a hash that could not be made.
 */
export function walkedHashes(search: SegmentSearch, size: number, make: (read: HashReader) => unknown): HashReader {
  const asked = hashesAsked(make);
  const found = new Map<string, Uint8Array>();
  const hash = leafHasher(sha256);
  const frontier = new Frontier(sha256);
  const keep = (height: number, subtree: Uint8Array) => {
    // The leaf that completes it is not counted yet.
    const key = `${height}/${Math.floor(frontier.size / 2 ** height)}`;
    if (asked.has(key)) found.set(key, new Uint8Array(subtree));
  };
  for (const segment of listSegments(search.disk, search.directory)) {
    if (segment.first !== frontier.size || segment.first >= size) break;
    const bytes = readWhole(search.disk, segment.path) ?? Buffer.alloc(0);
    scanSegment({ bytes, segment, origin: search.origin }, ({ span }) => {
      if (frontier.size < size) frontier.push(hash(bytes.subarray(span.leafAt, span.leafEnd)), keep);
    });
  }
  return (height, index) => {
    const known = found.get(`${height}/${index}`);
    if (known === undefined) throw new RangeError("the segments do not reach so far");
    return known;
  };
}
