import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { test } from "node:test";

/** What a process has loaded that imported this role: names of built-in modules, and addresses of files. */
function loadedBy(role: string): string {
  const program = `
    const { registerHooks } = await import("node:module");
    const loaded = [];
    registerHooks({ load: (url, context, next) => (loaded.push(url), next(url, context)) });
    await import(${JSON.stringify(import.meta.resolve(role))});
    process.stdout.write([...process.moduleLoadList, ...loaded].join("\\n"));`;
  const flags = ["--disable-warning=ExperimentalWarning", "--input-type=module", "--eval"];
  return execFileSync(process.execPath, [...flags, program], { encoding: "utf8", maxBuffer: 4_194_304 });
}

test("a gateway does not load the client behind fetch: it costs 16 MB and a start nobody asked for", () => {
  const loaded = loadedBy("./gateway.ts");
  assert.match(loaded, /NativeModule _http_server/);
  assert.doesNotMatch(loaded, /internal\/deps\/undici/);
});

test("role all loads of undici what it dials with, and the PostgreSQL driver only for a store there: together seven megabytes", () => {
  const loaded = loadedBy("./all.ts");
  assert.match(loaded, /undici\/lib\/dispatcher\/pool\.js/);
  assert.doesNotMatch(loaded, /undici\/(?:index\.js|lib\/(?:web\/fetch|mock|cache|interceptor)\/)/);
  assert.doesNotMatch(loaded, /node_modules\/pg\//);
});
