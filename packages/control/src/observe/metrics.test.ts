// The page and the program name the same metrics.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

const read = (path: string) => readFileSync(new URL(path, import.meta.url), "utf8");

test("docs/metrics.md has every metric of control, and no other of its name", () => {
  const declared = [
    ...read("metrics.ts").matchAll(/(?:(gauge|each|total|state)\(\s*"|name: "sallyport_control_)([a-z_]+)"/g),
  ].map(([, kind, name]) => {
    if (kind === "each") return `sallyport_control_fold_${name}`;
    if (kind === "total") return `sallyport_control_archive_store_${name}_total`;
    return kind === "state" ? `sallyport_control_archive_store_${name}` : `sallyport_control_${name}`;
  });
  const documented = [...read("../../../../docs/metrics.md").matchAll(/^\| `(sallyport_control_[a-z_]+)`/gm)].map(
    ([, name]) => name,
  );
  assert.ok(declared.length >= 6);
  assert.deepEqual(documented, declared);
});
