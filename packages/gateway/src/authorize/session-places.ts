// Promises what one gateway remembers of where a login session was seen: the first country, the last place, and for as long as the memory lasts that
// it was in two places at once. In memory alone, bounded, never written. Specified in docs/policy-signals.md "Risk".
import type { Place } from "./geo-file.ts";

export interface Seen {
  /** Another country than the session was first seen in. */
  readonly countryChanged: boolean;
  /** Two places that nobody travels between in the time; stays so, because nobody knows which of the two was the user. */
  readonly impossibleTravel: boolean;
}

interface Row {
  readonly country: string;
  last: Place;
  lastMs: number;
  travelled: boolean;
}

export const sessionsMax = 10_000;
/** Faster than an airliner. */
const speedKmhMax = 1_000;
/** Below this the file's own error is larger than the journey. */
const distanceKmMin = 300;
const nothing: Seen = { countryChanged: false, impossibleTravel: false };

export class SessionPlaces {
  readonly #rows = new Map<string, Row>();

  get size(): number {
    return this.#rows.size;
  }

  /** Notes a crossing of `session` from `place` and tells how it compares. A place that is not known changes nothing. */
  see(session: string, place: Place | null, nowMs: number): Seen {
    const row = this.#rows.get(session);
    if (place === null) return row === undefined ? nothing : { countryChanged: false, impossibleTravel: row.travelled };
    if (row === undefined) {
      this.#makeRoom();
      this.#rows.set(session, { country: place.country, last: place, lastMs: nowMs, travelled: false });
      return nothing;
    }
    row.travelled ||= isImpossible(row, place, nowMs);
    row.last = place;
    row.lastMs = nowMs;
    this.#rows.delete(session);
    this.#rows.set(session, row);
    return { countryChanged: place.country !== row.country, impossibleTravel: row.travelled };
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

function isImpossible({ last, lastMs }: Row, place: Place, nowMs: number): boolean {
  if (last.point === null || place.point === null) return false;
  const apart = distanceKm(last.point, place.point) - last.point.radiusKm - place.point.radiusKm;
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
