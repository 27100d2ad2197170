import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { test } from "node:test";

test("a gateway does not load the client behind fetch: it costs 16 MB and a start nobody asked for", () => {
  const program = `await import(${JSON.stringify(import.meta.resolve("./gateway.ts"))}); process.stdout.write(process.moduleLoadList.join("\\n"));`;
  const flags = ["--disable-warning=ExperimentalWarning", "--input-type=module", "--eval"];
  const loaded = execFileSync(process.execPath, [...flags, program], { encoding: "utf8", maxBuffer: 4_194_304 });
  assert.match(loaded, /NativeModule _http_server/);
  assert.doesNotMatch(loaded, /internal\/deps\/undici/);
});
