// Promises what matches among the records from a number on, in the order they came, at a bounded cost per call. Trusts the index as run-search.ts does.
import { BlockView, hashFilters } from "./block-view.ts";
import type { BlockMeta, IndexFile } from "./index-file.ts";
import { hitOf, matches } from "./read-hit.ts";
import { readLeaf } from "./record-terms.ts";
import { IndexUnreadable } from "./run-search.ts";
import type { SearchIndex } from "./search-index.ts";
import type { Follow, Followed, Hit } from "./search-question.ts";

/** Blocks looked at by one call. */
const blocksMax = 32;

interface NumberedBlock {
  readonly file: number;
  readonly meta: BlockMeta;
  /** Number of its first record. */
  readonly first: number;
}

/** Throws IndexUnreadable naming the file. */
export function runFollow(index: SearchIndex, { filters, from, limit }: Follow): Followed {
  const start = Math.min(from ?? index.taken, index.taken);
  const hashed = hashFilters(filters, index.hashes);
  const hits: Hit[] = [];
  let next = start;
  let reading = index.files.current.head.number;
  try {
    for (const { file, meta, first } of blocksFrom(index, start, (number) => (reading = number))) {
      const view = new BlockView({ number: file, file: () => index.files.file(file) }, meta);
      for (const place of view.matching(hashed)) {
        if (first + place < start) continue;
        if (hits.length >= limit) return { hits, next: first + place };
        const { origin, index: leafIndex } = view.places.place(place);
        const stored = view.leafAt(place);
        const read = { leaf: readLeaf(stored.leaf), intent: stored.intent === null ? null : readLeaf(stored.intent) };
        const where = index.placeOf(origin);
        if (!matches(read, where, filters)) continue;
        hits.push(hitOf({ ...stored, place: where, index: leafIndex, at: view.places.at[place] ?? 0 }, read));
      }
      next = first + meta.count;
    }
  } catch (error) {
    throw new IndexUnreadable(reading, error);
  }
  return followWaiting(index, { filters, hits, next: Math.max(next, start), limit });
}

/** Blocks that hold records from this number on, in order; at most so many that one call is short. */
function blocksFrom(index: SearchIndex, start: number, opened: (number: number) => void): readonly NumberedBlock[] {
  const found: NumberedBlock[] = [];
  const { sealed, current } = index.files;
  const files = sealed.filter(({ head, records }) => head.before + records > start).map(({ head }) => head.number);
  for (const number of [...files, current.head.number]) {
    opened(number);
    for (const meta of index.files.file(number).blocks) {
      const first = firstOf(index.files.file(number), meta);
      if (first + meta.count > start) found.push({ file: number, meta, first });
      if (found.length === blocksMax) return found;
    }
  }
  return found;
}

const firstOf = ({ head }: IndexFile, meta: BlockMeta): number => head.before + meta.before;

function followWaiting(index: SearchIndex, found: Omit<Follow, "from"> & Followed): Followed {
  const { filters, limit, next } = found;
  const hits = [...found.hits];
  const first = index.taken - index.waiting.length;
  // Blocks are still to come before what waits.
  if (next < first) return { hits, next };
  for (const [n, { row, read }] of index.waiting.entries()) {
    if (first + n < next) continue;
    if (hits.length >= limit) return { hits, next: first + n };
    const place = index.placeOf(row.origin);
    if (matches(read, place, filters)) hits.push(hitOf({ ...row, place }, read));
  }
  return { hits, next: index.taken };
}
