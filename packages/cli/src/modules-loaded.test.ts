import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { fileURLToPath } from "node:url";

const folder = mkdtempSync(join(tmpdir(), "sallyport-modules-"));
after(() => rmSync(folder, { recursive: true, force: true }));
const main = fileURLToPath(new URL("main.ts", import.meta.url));
const saying = `data:text/javascript,${encodeURIComponent(`
  import { registerHooks } from "node:module";
  const urls = [];
  registerHooks({ load: (url, context, next) => (urls.push(url), next(url, context)) });
  process.on("exit", () => process.stderr.write("\\nloaded " + JSON.stringify(urls)));`)}`;

/** Files that a process of Node loads, without what is built into it. */
function loadedBy(...argv: readonly string[]): readonly string[] {
  const { stderr } = spawnSync(process.execPath, ["--import", saying, ...argv], {
    encoding: "utf8",
    cwd: folder,
    maxBuffer: 64 * 1024 * 1024,
  });
  const found = /^loaded (.*)$/m.exec(stderr)?.[1];
  assert.ok(found !== undefined, stderr);
  const urls: readonly string[] = JSON.parse(found);
  return [...new Set(urls)].filter((url) => url.startsWith("file:"));
}

/** A bound with little room above what is needed today: a new import of a large package or of a folder goes past it. Make it lower when it can be. */
function assertFew(urls: readonly string[], most: number, never: RegExp): void {
  assert.deepEqual(
    urls.filter((url) => never.test(url)),
    [],
  );
  assert.ok(urls.length > 5 && urls.length <= most, `${urls.length} modules, of at most ${most}`);
}

test("the version is said with a handful of modules", () => {
  assertFew(loadedBy(main, "--version"), 16, /\/packages\/(control|gateway|kernel)\/|\/commands\/|\/zod\//);
});

test("`check` of a fresh estate loads what reads and judges it, and nothing of a gateway or of an issuer", () => {
  loadedBy(main, "init", "estate");
  const never =
    /\/packages\/(gateway|sdk)\/|\/control\/src\/identity\/people\/|\/node_modules\/(yaml|ajv|pino|oidc-provider|jose)\//;
  assertFew(loadedBy(main, "check", "estate"), 320, never);
});

test("role all loads neither oidc-provider nor ajv nor the rest of prom-client before somebody needs them", () => {
  const all = fileURLToPath(new URL("roles/all.ts", import.meta.url));
  assertFew(loadedBy(all), 1_130, /\/node_modules\/(oidc-provider|koa|ajv|ajv-formats|@opentelemetry|yaml)\//);
});
