// Promises what kernel/geo/session-places.ts remembers of login sessions over all threads of a node: whoever comes to another thread from the other end of the
// world is seen all the same. Trusts the shared table. Specified in docs/policy-signals.md "Risk" and docs/workers.md.
import type { Place } from "@sallyport/kernel/geo/geo-file.ts";
import {
  decideSeen,
  type RemembersSessions,
  type Seen,
  type SeenBefore,
} from "@sallyport/kernel/geo/session-places.ts";
import type { SharedRow, SharedTable } from "./shared-table.ts";

/** Numbers of a session's row. */
const [country, lastMs, travelled, hasPoint, latitude, longitude, radiusKm] = [0, 1, 2, 3, 4, 5, 6];
export const sessionWidth = 7;
const letterA = 65;

export class SharedSessionPlaces implements RemembersSessions {
  readonly #table: SharedTable;

  constructor(table: SharedTable) {
    this.#table = table;
  }

  see(session: string, place: Place | null, nowMs: number): Seen {
    const seen =
      place === null
        ? this.#table.known(session, (row) => see(row, place, nowMs))
        : this.#table.change(session, seenAt, (row) => see(row, place, nowMs));
    // Any session may be forgotten, so that there is always room for one: null is one that nobody knows.
    return seen ?? decideSeen(null, place, nowMs).seen;
  }
}

/** The session seen longest ago leaves. */
const seenAt = ({ words, at }: SharedRow): number => words[at + lastMs] ?? 0;

function see(row: SharedRow, place: Place | null, nowMs: number): Seen {
  const { seen, after } = decideSeen(read(row), place, nowMs);
  if (after !== null) write(row, after);
  return seen;
}

function read({ words, at }: SharedRow): SeenBefore | null {
  const word = (name: number): number => words[at + name] ?? 0;
  if (word(country) === 0) return null;
  const point = { latitude: word(latitude), longitude: word(longitude), radiusKm: word(radiusKm) };
  return {
    country: lettersOf(word(country)),
    last: word(hasPoint) === 0 ? null : point,
    lastMs: word(lastMs),
    travelled: word(travelled) !== 0,
  };
}

function write({ words, at }: SharedRow, after: SeenBefore): void {
  words[at + country] = numberOf(after.country);
  words[at + lastMs] = after.lastMs;
  words[at + travelled] = after.travelled ? 1 : 0;
  words[at + hasPoint] = after.last === null ? 0 : 1;
  words[at + latitude] = after.last?.latitude ?? 0;
  words[at + longitude] = after.last?.longitude ?? 0;
  words[at + radiusKm] = after.last?.radiusKm ?? 0;
}

/** Two capital letters as a number that is never nought (geo-file.ts lets no other country through). */
const numberOf = (letters: string): number =>
  1 + (letters.charCodeAt(0) - letterA) * 26 + letters.charCodeAt(1) - letterA;

const lettersOf = (number: number): string =>
  String.fromCharCode(letterA + Math.floor((number - 1) / 26), letterA + ((number - 1) % 26));
