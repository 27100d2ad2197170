import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { filesAlone } from "./tests-alone.ts";

test("the files that measure are there, and one that is not is named with what to do", () => {
  assert.ok(filesAlone(dirname(import.meta.dirname)).has("packages/gateway/src/inspect/json-cost.test.ts"));
  const root = mkdtempSync(join(tmpdir(), "sallyport-alone-"));
  try {
    mkdirSync(join(root, "tools"));
    writeFileSync(join(root, "tools", "tests-alone.json"), '{"packages/gone.test.ts":"nothing"}');
    assert.throws(() => filesAlone(root), /tests-alone\.json names packages\/gone\.test\.ts.*take its line out/);
  } finally {
    rmSync(root, { recursive: true });
  }
});
