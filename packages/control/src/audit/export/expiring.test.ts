import assert from "node:assert/strict";
import { test } from "node:test";
import { expiringRecords, expiringWarnings } from "./expiring.ts";

const day = 86_400_000;
const now = Date.UTC(2034, 0, 1);
const kept = (origin: string, more: object = {}) => ({
  ...{ origin, leaves: 100, retainedUntil: now + 10 * day, heldBy: null },
  ...more,
});
const sink = (name: string, places: Readonly<Record<string, number>>) => ({
  sink: name,
  standing: {
    ...{ name, pausedSinceMs: null, sent: 0, deadLetters: 0, leftOut: 0, takenAtMs: null, fault: null },
    places: Object.fromEntries(Object.entries(places).map(([origin, next]) => [origin, { next, last: null }])),
  },
});

test("records that retention lets go within 30 days are named for every sink that was not sent them", () => {
  const expiring = expiringRecords(
    [sink("splunk", { a: 40 }), sink("copy", { a: 100 }), { sink: "silent", standing: null }],
    [kept("a")],
    now,
  );
  assert.deepEqual(expiring, [{ sink: "splunk", origin: "a", records: 60, from: now + 10 * day }]);
  assert.deepEqual(expiringWarnings(expiring), [
    "retention lets a go from 2034-01-11 on, and the sink splunk was not sent 60 of its records: mend the sink, or place a hold (sallyport audit hold)",
  ]);
});

test("a log that stays longer, that a hold covers, or that was never begun: only what goes is spoken of, and all of it", () => {
  const logs = [
    kept("later", { retainedUntil: now + 31 * day }),
    kept("held", { heldBy: "case-1" }),
    kept("overdue", { retainedUntil: now - day }),
  ];
  assert.deepEqual(
    expiringRecords([sink("splunk", {})], logs, now).map(({ origin, records }) => [origin, records]),
    [["overdue", 100]],
  );
  assert.deepEqual(expiringRecords([sink("splunk", {})], null, now), []);
});
