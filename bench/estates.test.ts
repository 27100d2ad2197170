// Promises that a large estate stays bearable, with bounds that a busy machine keeps: processor time, and sizes. RESULTS.md has the figures.
import assert from "node:assert/strict";
import { test } from "node:test";
import { measureParts, withEstate } from "./estate.ts";
import { estateFiles, large } from "./estates.ts";

const bounded = { timeout: 180_000 };

test("the same seed gives the same files, another seed others", () => {
  const one = estateFiles(large);
  assert.deepEqual(estateFiles(large), one);
  assert.notDeepEqual(estateFiles({ ...large, seed: 2 }), one);
  const of = (folder: string) => Object.keys(one).filter((file) => file.startsWith(folder)).length;
  assert.deepEqual([of("systems/"), of("integrations/"), of("policies/")], [40, 300, 40]);
});

test(
  "300 integrations over 40 systems: checked within bounds, a snapshot below 2 MB, nothing of it broken",
  bounded,
  () => {
    const parts = withEstate(large, measureParts);
    assert.ok(parts.snapshot_bytes < 2_000_000, `${parts.snapshot_bytes} bytes`);
    // Processor time of loading, policies and lint; some 1.5 s on two quiet cores, and other work on the machine makes it longer.
    assert.ok(parts.cpu_ms < 8_000, `${parts.cpu_ms.toFixed(0)} ms of processor time`);
    // Rules are linear in the estate: next to loading it they are nothing.
    assert.ok(
      parts.lint_ms < parts.load_ms,
      `lint ${parts.lint_ms.toFixed(0)} ms, load ${parts.load_ms.toFixed(0)} ms`,
    );
  },
);
