import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";
import { faultFixes } from "./fault.ts";

const here = import.meta.dirname;
const source = readFileSync(join(here, "sdk.ts"), "utf8");
const page = readFileSync(join(here, "../../../docs/sdk.md"), "utf8");
const readme = readFileSync(join(here, "../README.md"), "utf8");

test("everything the package exports is on the page of the SDK, and nothing else is", async () => {
  const reference = page.slice(page.indexOf("## All exports"));
  const [table = "", types = ""] = reference.split("\nTypes: ");
  const named = (text: string) => [...text.matchAll(/`([A-Za-z]+)(?:\([^`]*\))?`/g)].map(([, name = ""]) => name);
  const rows = table.split("\n").filter((line) => line.startsWith("| `"));
  const values = rows.flatMap((row) => named(row.split("|")[1] ?? ""));
  assert.deepEqual(values.toSorted(), Object.keys(await import("./sdk.ts")).toSorted());
  const exported = [...source.matchAll(/\btype ([A-Z]\w+)/g), ...source.matchAll(/export type \{ (\w+) \}/g)];
  const listed = named(types.split(". They")[0] ?? "");
  assert.deepEqual(listed.toSorted(), [...new Set(exported.map(([, name = ""]) => name))].toSorted());
});

test("each fault is on the page, with what to do", () => {
  const rows = page.slice(page.indexOf("### Faults"), page.indexOf("## Verify"));
  const codes = [...rows.matchAll(/^\| `([a-z-]+)` \|/gm)].map(([, code = ""]) => code);
  assert.deepEqual(codes.toSorted(), Object.keys(faultFixes).toSorted());
});

test("the whole SDK, bundled and minified, stays within the size its README names", async (t) => {
  const budgetKib = Number(/: (\d+) KiB gzip/.exec(readme)?.[1]);
  const options = {
    bundle: true,
    minify: true,
    write: false,
    format: "esm",
    platform: "node",
    target: "node20",
  } as const;
  const { outputFiles, metafile } = await build({ ...options, metafile: true, entryPoints: [join(here, "sdk.ts")] });
  const bytes = gzipSync(outputFiles[0]?.contents ?? new Uint8Array(0), { level: 9 }).length;
  t.diagnostic(`${(bytes / 1024).toFixed(1)} KiB of ${budgetKib}`);
  assert.ok(bytes > 1_000 && bytes <= budgetKib * 1024, `${bytes} bytes`);
  const foreign = Object.keys(metafile.inputs).filter((path) => path.includes("node_modules/"));
  assert.deepEqual(foreign, [], "no code of others is in it");
});
