// Days and months of real zones, over summer time, a date that was skipped and midnights that there were not: docs/limits.md "Quotas".
import assert from "node:assert/strict";
import { test } from "node:test";
import { calendarOf, periodAt } from "./calendar.ts";

const at = (iso: string): number => Date.parse(iso);
const spanOf = (now: string, period: "day" | "month", zone: string): string => {
  const { label, startMs, endMs } = periodAt(at(now), period, calendarOf(zone));
  return `${label} ${new Date(startMs).toISOString()} ${new Date(endMs).toISOString()}`;
};

test("a day and a month of UTC begin and end at its midnight", () => {
  assert.equal(
    spanOf("2026-11-30T14:05:00Z", "day", "UTC"),
    "2026-11-30 2026-11-30T00:00:00.000Z 2026-12-01T00:00:00.000Z",
  );
  assert.equal(
    spanOf("2024-02-29T23:59:59.999Z", "month", "UTC"),
    "2024-02 2024-02-01T00:00:00.000Z 2024-03-01T00:00:00.000Z",
  );
  assert.equal(
    spanOf("2026-12-01T00:00:00Z", "day", "UTC"),
    "2026-12-01 2026-12-01T00:00:00.000Z 2026-12-02T00:00:00.000Z",
    "the first instant of a day is its own",
  );
});

test("a day of a zone is 23 or 25 hours long when summer time begins or ends, and a month goes by its midnights", () => {
  assert.equal(
    spanOf("2026-03-29T12:00:00Z", "day", "Europe/Berlin"),
    "2026-03-29 2026-03-28T23:00:00.000Z 2026-03-29T22:00:00.000Z",
  );
  assert.equal(
    spanOf("2026-10-25T12:00:00Z", "day", "Europe/Berlin"),
    "2026-10-25 2026-10-24T22:00:00.000Z 2026-10-25T23:00:00.000Z",
  );
  assert.equal(
    spanOf("2026-10-31T23:30:00Z", "month", "Europe/Berlin"),
    "2026-11 2026-10-31T23:00:00.000Z 2026-11-30T23:00:00.000Z",
  );
});

test("a day that has no midnight begins when its clocks do (Cairo, 2026-04-24), and a date that was skipped is nobody's (Apia, 2011-12-30)", () => {
  assert.equal(
    spanOf("2026-04-24T10:00:00Z", "day", "Africa/Cairo"),
    "2026-04-24 2026-04-23T22:00:00.000Z 2026-04-24T21:00:00.000Z",
  );
  assert.equal(
    spanOf("2011-12-30T09:59:59Z", "day", "Pacific/Apia"),
    "2011-12-29 2011-12-29T10:00:00.000Z 2011-12-30T10:00:00.000Z",
  );
});

test("every instant of two years lies in exactly one period, and each begins where the one before ended", () => {
  for (const zone of ["UTC", "America/New_York", "Asia/Kathmandu", "Australia/Lord_Howe"])
    for (const period of ["day", "month"] as const) {
      const dateAt = calendarOf(zone);
      let one = periodAt(at("2025-01-10T10:00:00Z"), period, dateAt);
      while (one.endMs < at("2027-01-10T00:00:00Z")) {
        const next = periodAt(one.endMs, period, dateAt);
        assert.equal(next.startMs, one.endMs, `${zone} ${one.label}`);
        assert.ok(next.label > one.label);
        assert.equal(periodAt(one.endMs - 1, period, dateAt).label, one.label);
        one = next;
      }
    }
});

test("a zone that nobody knows is an error", () => {
  assert.throws(() => calendarOf("Europe/Atlantis"), RangeError);
});
