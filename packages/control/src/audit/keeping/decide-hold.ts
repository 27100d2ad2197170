// Promises whether a legal hold covers a log, and until when a log is retained. Pure. Trusts the origin line it is given.
// Described in docs/archive.md "Legal hold".
import { parseOriginName } from "@sallyport/kernel/log/origin.ts";

/** What a hold covers: one log of one year, or every log with records of an environment (null: of any) in these years (null: open). */
export interface HoldScope {
  readonly origin: string | null;
  readonly environment: string | null;
  readonly fromYear: number | null;
  readonly toYear: number | null;
}

export interface LegalHold extends HoldScope {
  readonly tenant: string;
  readonly id: string;
  readonly owner: string;
  readonly reason: string;
  readonly actor: string;
  /** Milliseconds since the epoch. */
  readonly placedAt: number;
  readonly releasedAt: number | null;
}

/** Records of a place and a time: those of a log, or of what is to be erased. */
export interface HoldablePlace {
  readonly tenant: string;
  /** Null: records of any environment may be among them. */
  readonly environment: string | null;
  readonly year: number;
  readonly origin: string | null;
}

/** Control's own log has records of every environment: what an environment's hold covers lies there too. */
const controlEnvironment = "sallyport";

/** Where a log's records are from; a name that is none may hold anything. */
export function placeOfOrigin(origin: string): HoldablePlace {
  const place = parseOriginName(origin);
  if (place === null) return { tenant: "", environment: null, year: 0, origin };
  const environment = place.environment === controlEnvironment ? null : place.environment;
  return { tenant: place.tenant, environment, year: place.year, origin };
}

/** The first hold that is in force and covers any record of this place; null when none does. */
export function decideHeld(holds: readonly LegalHold[], place: HoldablePlace): LegalHold | null {
  return holds.find((hold) => hold.releasedAt === null && covers(hold, place)) ?? null;
}

function covers(hold: LegalHold, place: HoldablePlace): boolean {
  if (place.tenant !== "" && hold.tenant !== place.tenant) return false;
  if (hold.origin !== null) return place.origin === null || hold.origin === place.origin;
  const isThere = hold.environment === null || place.environment === null || hold.environment === place.environment;
  // Year 0: nobody knows when, so any hold covers it.
  const isThen = place.year === 0 || (place.year >= (hold.fromYear ?? 0) && place.year <= (hold.toYear ?? 9_999));
  return isThere && isThen;
}

/** The first moment at which a log of this year may go: the years are counted from its end, UTC. */
export function retainedUntil(year: number, retentionYears: number): number {
  return Date.UTC(year + 1 + retentionYears, 0, 1);
}
