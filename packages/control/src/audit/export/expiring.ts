// Promises which records retention is about to take from the archive store that a sink was never sent. Pure. Trusts the sweep's list and the sinks' places.
// Specified in docs/export.md "Retention".
import type { KeptLog } from "../keeping/sweep.ts";
import type { ExportReport } from "./exports.ts";

/** Time enough to mend a receiver and let it catch up. */
const soonMs = 30 * 86_400_000;

export interface ExpiringRecords {
  readonly sink: string;
  readonly origin: string;
  readonly records: number;
  /** Milliseconds since the epoch: from then on the log may go. */
  readonly from: number;
}

/** `kept` null: nothing was swept yet, or there is no archive store and nothing goes. */
export function expiringRecords(
  sinks: readonly Pick<ExportReport, "sink" | "standing">[],
  kept: readonly KeptLog[] | null,
  now: number,
): readonly ExpiringRecords[] {
  const leaving = (kept ?? []).filter(({ retainedUntil, heldBy }) => heldBy === null && retainedUntil - now <= soonMs);
  return sinks.flatMap(({ sink, standing }) =>
    // One that does not answer is a warning of its own.
    standing === null
      ? []
      : leaving.flatMap(({ origin, leaves, retainedUntil }) => {
          const records = leaves - (standing.places[origin]?.next ?? 0);
          return records > 0 ? [{ sink, origin, records, from: retainedUntil }] : [];
        }),
  );
}

/** A sentence for each, for `sallyport status`. */
export function expiringWarnings(expiring: readonly ExpiringRecords[]): readonly string[] {
  return expiring.map(
    ({ sink, origin, records, from }) =>
      `retention lets ${origin} go from ${new Date(from).toISOString().slice(0, 10)} on, and the sink ${sink} was not sent ${records} of its records: mend the sink, or place a hold (sallyport audit hold)`,
  );
}
