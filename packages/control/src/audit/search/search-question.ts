// Promises the form of a search: what is asked, where a page goes on, and what a hit says. Pure. Trusts nothing of a cursor: it names a position and
// opens nothing. Specified in docs/audit-search.md.
import type { Oddity, OriginPlace, SearchField } from "./record-terms.ts";

export const pageHitsMax = 1_000;
/** Alternatives of one filter: a name has one pseudonym per environment and year. */
export const valuesMax = 512;
export const filtersMax = 32;

/** A record has one of these values. */
export interface Filter {
  readonly field: SearchField;
  readonly values: readonly string[];
}

/** Position in the order of answers: time descending, then origin ascending, then index descending. */
export interface Position {
  readonly at: number;
  readonly origin: string;
  readonly index: number;
}

export interface Search {
  /** Milliseconds since the epoch; records of this moment belong to it. */
  readonly from: number;
  /** Records of this moment do not. */
  readonly to: number;
  readonly filters: readonly Filter[];
  /** Only what comes after this position; null: from the newest on. */
  readonly after: Position | null;
  readonly limit: number;
}

/** A record that was found: the leaf is what the log holds at this index of this origin. */
export interface Hit {
  readonly origin: string;
  readonly index: number;
  /** What it is sorted by: the leaf's own time, or when it was indexed where the leaf claims to be of the future. */
  readonly at: number;
  readonly node: string;
  readonly environment: string;
  readonly odd: Oddity | null;
  /** Text of the leaf, a character per byte. */
  readonly leaf: string;
  /** Text of the intent's leaf, for what ends or goes on with an effect. */
  readonly intent: string | null;
}

export interface Page {
  readonly hits: readonly Hit[];
  /** Where to go on; null: everything was seen. */
  readonly next: Position | null;
  /** Everything that matches and is newer was seen, as far back as this. */
  readonly searchedTo: number;
  /** The search stopped at its bound, not because the page is full. */
  readonly bounded: boolean;
}

/** Negative: `a` comes first. */
export function comparePositions(a: Position, b: Position): number {
  if (a.at !== b.at) return b.at - a.at;
  if (a.origin !== b.origin) return a.origin < b.origin ? -1 : 1;
  return b.index - a.index;
}

/** Per origin, the index of the first record that was not seen; an origin that is not named begins at 0. */
export type Places = Readonly<Record<string, number>>;

/** Where the records of a place begin in the order they came: spares looking for it, and decides nothing. */
export interface Hint {
  readonly restarts: number;
  readonly from: number;
}

/** In the order they came, for whoever follows. */
export interface Follow {
  readonly filters: readonly Filter[];
  /** Null: from now on. */
  readonly after: Places | null;
  readonly hint: Hint | null;
  readonly limit: number;
}

export interface Followed {
  readonly hits: readonly Hit[];
  readonly places: Places;
  readonly hint: Hint | null;
  /** Records that are not in the index any more and were passed over: they are in the log. */
  readonly missing: number;
  /** More may be there already. */
  readonly more: boolean;
}

export const environmentOf = (place: OriginPlace, leafEnvironment: string | null): string =>
  place.role === "gateway" || leafEnvironment === null ? place.environment : leafEnvironment;
