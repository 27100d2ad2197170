// One page of metrics for several workers: docs/workers.md.
import assert from "node:assert/strict";
import { test } from "node:test";
import { sumMetrics } from "./sum-metrics.ts";

const page = (lines: readonly string[]) => `${lines.join("\n")}\n`;

test("counters and buckets are summed, ages are the worst, the version is what holds in all, and what one alone knows is told once", () => {
  const heads = ["# HELP sallyport_crossings_total c", "# TYPE sallyport_crossings_total counter"];
  const one = page([
    ...heads,
    'sallyport_crossings_total{code="ok",outcome="success"} 3',
    "# HELP sallyport_staleness_seconds s",
    "# TYPE sallyport_staleness_seconds gauge",
    "sallyport_staleness_seconds 0.5",
    "sallyport_snapshot_version 8",
    "sallyport_log_leaves 10",
  ]);
  const other = page([
    ...heads,
    'sallyport_crossings_total{code="ok",outcome="success"} 4',
    'sallyport_crossings_total{code="no-route",outcome="denied"} 1',
    "# HELP sallyport_staleness_seconds s",
    "# TYPE sallyport_staleness_seconds gauge",
    "sallyport_staleness_seconds 2",
    "sallyport_snapshot_version 7",
    "sallyport_log_leaves 12",
  ]);
  const text = sumMetrics([one, other], new Map([["sallyport_log_leaves", 99]]));
  assert.deepEqual(text.trimEnd().split("\n").slice(0, 4), [
    ...heads,
    'sallyport_crossings_total{code="ok",outcome="success"} 7',
    'sallyport_crossings_total{code="no-route",outcome="denied"} 1',
  ]);
  assert.match(text, /^sallyport_staleness_seconds 2$/m);
  assert.match(text, /^sallyport_snapshot_version 7$/m);
  assert.match(text, /^sallyport_log_leaves 99$/m);
  assert.equal(text.match(/# TYPE sallyport_staleness_seconds/g)?.length, 1);
});
