import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { test } from "node:test";

/** Files of this repository that are loaded while `code` runs in a process of its own. */
function loadedBy(code: string): readonly string[] {
  const recording = `
    import { registerHooks } from "node:module";
    const urls = [];
    registerHooks({ load: (url, context, next) => { urls.push(url); return next(url, context); } });
    ${code}
    process.stdout.write("\\nloaded " + JSON.stringify(urls) + "\\n");
  `;
  const { stdout, stderr } = spawnSync(process.execPath, ["--input-type=module", "-e", recording], {
    encoding: "utf8",
    timeout: 120_000,
    maxBuffer: 64 * 1024 * 1024,
  });
  const found = /^loaded (.*)$/m.exec(stdout)?.[1];
  assert.ok(found !== undefined, stderr);
  const urls: readonly string[] = JSON.parse(found);
  assert.ok(urls.length > 0, "the recording saw nothing");
  return urls;
}

const file = (name: string) => JSON.stringify(new URL(name, import.meta.url).href);
const ofControl = (urls: readonly string[]) => urls.filter((url) => url.includes("/packages/control/"));

test("a gateway loads no file of the control plane", () => {
  const urls = loadedBy(`await import(${file("gateway.ts")});`);
  assert.ok(
    urls.some((url) => url.includes("/packages/gateway/src/pipeline.ts")),
    "the gateway was loaded",
  );
  assert.deepEqual(ofControl(urls), []);
});

test("the binary loads no file of the control plane before a command needs it", () => {
  const urls = loadedBy(
    `const { run } = await import(${file("../main.ts")}); await run(["serve", "--role", "gateway", "--help"]);`,
  );
  assert.ok(
    urls.some((url) => url.endsWith("/commands/serve.ts")),
    "the command was loaded",
  );
  assert.deepEqual(ofControl(urls), []);
  assert.deepEqual(
    urls.filter((url) => url.includes("/packages/gateway/")),
    [],
    "nor of the gateway",
  );
});

test("the recording would see the control plane if it were loaded", () => {
  assert.ok(ofControl(loadedBy(`await import(${file("control.ts")});`)).length > 10);
});
