// Promises the calendar period an instant lies in, by the calendar of a time zone: what day or month it is there, when that began and when it ends,
// over summer time and whatever else a zone does. Pure. Trusts the zone data of the platform (Intl). Specified in docs/limits.md "Quotas".

export interface CalendarPeriod {
  /** `2026-11-30`, `2026-11`. */
  readonly label: string;
  /** Milliseconds since the epoch; `endMs` is the first instant that is not in it. */
  readonly startMs: number;
  readonly endMs: number;
}

const hourMs = 3_600_000;
/** Longer than any period: no day of any zone has 50 hours, no month 33 days. */
const longestMs = { day: 50 * hourMs, month: 33 * 24 * hourMs } as const;

/** Dates of a zone as `2026-11-30`, which order as the instants do. Throws RangeError for a zone this platform does not know. */
export function calendarOf(timeZone: string): (ms: number) => string {
  if (timeZone === "UTC") return (ms) => new Date(ms).toISOString().slice(0, 10);
  const format = new Intl.DateTimeFormat("en", {
    timeZone,
    calendar: "gregory",
    numberingSystem: "latn",
    year: "numeric",
    month: "2-digit",
    day: "2-digit",
  });
  return (ms) => {
    const parts = new Map(format.formatToParts(ms).map(({ type, value }) => [type, value]));
    return `${parts.get("year") ?? ""}-${parts.get("month") ?? ""}-${parts.get("day") ?? ""}`;
  };
}

export function periodAt(nowMs: number, period: "day" | "month", dateAt: (ms: number) => string): CalendarPeriod {
  const labelAt = (ms: number): string => dateAt(ms).slice(0, period === "day" ? 10 : 7);
  const label = labelAt(nowMs);
  return {
    label,
    startMs: firstWhere((ms) => labelAt(ms) >= label, nowMs - longestMs[period], nowMs),
    endMs: firstWhere((ms) => labelAt(ms) > label, nowMs, nowMs + longestMs[period]),
  };
}

/** The first millisecond after `before` at which `holds`, given that it does at `at` and goes on once it does. */
function firstWhere(holds: (ms: number) => boolean, before: number, at: number): number {
  let [low, high] = [Math.floor(before), Math.ceil(at)];
  while (high - low > 1) {
    const middle = low + Math.floor((high - low) / 2);
    if (holds(middle)) high = middle;
    else low = middle;
  }
  return high;
}
