// Promises that a hit is judged by the record itself: hashes only say where to look. Trusts the origin for where it was written.
import {
  leafTextOf,
  type OriginPlace,
  oddityOf,
  type ReadRecord,
  type SearchField,
  visitTerms,
} from "./record-terms.ts";
import { environmentOf, type Filter, type Hit } from "./search-question.ts";

interface Found {
  readonly place: OriginPlace;
  readonly index: number;
  readonly at: number;
  readonly leaf: Uint8Array;
  readonly intent: Uint8Array | null;
}

/** Has it, in every filter, one of the values? */
export function matches(record: ReadRecord, place: OriginPlace, filters: readonly Filter[]): boolean {
  if (filters.length === 0) return true;
  const has = new Map<SearchField, Set<string>>();
  visitTerms(record, place, (field, value) => {
    const values = has.get(field);
    if (values === undefined) has.set(field, new Set([value]));
    else values.add(value);
  });
  return filters.every(({ field, values }) => values.some((value) => has.get(field)?.has(value) === true));
}

export function hitOf({ place, index, at, leaf, intent }: Found, { leaf: read }: ReadRecord): Hit {
  const odd = oddityOf(read, place);
  return {
    ...{ origin: place.origin, index, at, node: place.node, odd },
    environment: environmentOf(place, odd === null && read !== null ? read.environment : null),
    leaf: leafTextOf(leaf),
    intent: intent === null ? null : leafTextOf(intent),
  };
}
