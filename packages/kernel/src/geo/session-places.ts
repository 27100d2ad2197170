// Promises what one node remembers of where a login session was seen: the first country, the last place, and for as long as the memory lasts that
// it was in two places at once. In memory alone, bounded, never written. Specified in docs/policy-signals.md "Risk".
import type { Place } from "./geo-file.ts";

export interface Seen {
  /** Another country than the session was first seen in. */
  readonly countryChanged: boolean;
  /** Two places that nobody travels between in the time; stays so, because nobody knows which of the two was the user. */
  readonly impossibleTravel: boolean;
}

/** What is kept of one session. */
export interface SeenBefore {
  /** It was first seen in. */
  readonly country: string;
  readonly last: Place["point"];
  /** Milliseconds since the epoch. */
  readonly lastMs: number;
  readonly travelled: boolean;
}

/** Remembers sessions; in this thread alone, or for all of a node (workers/shared-session-places.ts). */
export type RemembersSessions = Pick<SessionPlaces, "see">;

export const sessionsMax = 10_000;
/** Faster than an airliner. */
const speedKmhMax = 1_000;
/** Below this the file's own error is larger than the journey. */
const distanceKmMin = 300;
const nothing: Seen = { countryChanged: false, impossibleTravel: false };

export class SessionPlaces {
  readonly #rows = new Map<string, SeenBefore>();

  get size(): number {
    return this.#rows.size;
  }

  /** Notes a crossing of `session` from `place` and tells how it compares. A place that is not known changes nothing. */
  see(session: string, place: Place | null, nowMs: number): Seen {
    const row = this.#rows.get(session) ?? null;
    const { seen, after } = decideSeen(row, place, nowMs);
    if (after === null) return seen;
    if (row === null) this.#makeRoom();
    else this.#rows.delete(session);
    this.#rows.set(session, after);
    return seen;
  }

  /** The session seen longest ago leaves. */
  #makeRoom(): void {
    if (this.#rows.size < sessionsMax) return;
    for (const oldest of this.#rows.keys()) {
      this.#rows.delete(oldest);
      return;
    }
  }
}

/** How a crossing compares with what is known of its session, and what is known then; `after` null: as before. Pure. */
export function decideSeen(
  before: SeenBefore | null,
  place: Place | null,
  nowMs: number,
): { readonly seen: Seen; readonly after: SeenBefore | null } {
  if (place === null) {
    const seen = before === null ? nothing : { countryChanged: false, impossibleTravel: before.travelled };
    return { seen, after: null };
  }
  const last = { last: place.point, lastMs: nowMs };
  if (before === null) return { seen: nothing, after: { country: place.country, ...last, travelled: false } };
  const travelled = before.travelled || isImpossible(before, place, nowMs);
  const seen = { countryChanged: place.country !== before.country, impossibleTravel: travelled };
  return { seen, after: { country: before.country, ...last, travelled } };
}

function isImpossible({ last, lastMs }: SeenBefore, { point }: Place, nowMs: number): boolean {
  if (last === null || point === null) return false;
  const apart = distanceKm(last, point) - last.radiusKm - point.radiusKm;
  const hours = Math.max(0, nowMs - lastMs) / 3_600_000;
  return apart > distanceKmMin && apart > hours * speedKmhMax;
}

const earthRadiusKm = 6_371;

/** Along the great circle (haversine). */
export function distanceKm(
  a: { readonly latitude: number; readonly longitude: number },
  b: { readonly latitude: number; readonly longitude: number },
): number {
  const radians = (degrees: number) => (degrees * Math.PI) / 180;
  const [lat, lon] = [radians(b.latitude - a.latitude) / 2, radians(b.longitude - a.longitude) / 2];
  const half = Math.sin(lat) ** 2 + Math.cos(radians(a.latitude)) * Math.cos(radians(b.latitude)) * Math.sin(lon) ** 2;
  return 2 * earthRadiusKm * Math.asin(Math.min(1, Math.sqrt(half)));
}
