// docs/getting-started.md, followed by somebody with an empty folder, Node 20 and npm, and nothing of this repository.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { freePorts } from "../../packages/cli/src/port-lane.test-support.ts";
import { packAll } from "../pack.ts";
import { Reader, readBlocks } from "./doc-blocks.ts";
import { type LocalRegistry, startLocalRegistry } from "./local-registry.ts";

const root = dirname(dirname(import.meta.dirname));
const page = readFileSync(join(root, "docs/getting-started.md"), "utf8");
const pageMinutes = 5;

test("the page needs at most twelve lines of YAML and names no step that a test does not take", () => {
  const blocks = readBlocks(page);
  assert.ok(blocks.filter(({ kind }) => kind !== "file").length >= 10);
  const shown = [...page.matchAll(/```sh/g)].length;
  assert.equal(blocks.filter(({ kind }) => kind !== "file").length, shown, "every command of the page is run");
});

test("the page works as written, within its five minutes", { timeout: 480_000 }, async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "sallyport-reader-"));
  let reader: Reader | null = null;
  let registry: LocalRegistry | null = null;
  t.after(async () => {
    // In this order: what still runs would write into the folder that goes.
    await reader?.close();
    await registry?.close();
    rmSync(folder, { recursive: true, force: true });
  });
  const tarballs = await packAll(root, join(folder, "build"), join(folder, "tarballs"));
  const npm = spawnSync("npm", ["config", "get", "registry"], { encoding: "utf8", cwd: tmpdir() }).stdout.trim();
  registry = await startLocalRegistry(tarballs, npm);
  const [api = 0, gateway = 0, proxy = 0] = await freePorts(3);
  const home = join(folder, "home");
  const directory = join(folder, "empty");
  for (const one of [home, directory]) mkdirSync(one);
  reader = new Reader({
    directory,
    env: {
      PATH: pathOfReader(folder),
      HOME: home,
      npm_config_registry: registry.url,
      npm_config_cache: join(root, "node_modules/.npm-cache"),
    },
    timeoutMs: 90_000,
  });
  const started = performance.now();
  // The ports of the page may be somebody else's on this machine; nothing else is changed.
  const own = page
    .replaceAll("8080", String(api))
    .replaceAll("8443", String(gateway))
    .replaceAll("9000", String(proxy))
    .replace("sallyport dev\n", `sallyport dev --port ${gateway}\n`);
  for (const block of readBlocks(own)) await reader.follow(block);
  const minutes = (performance.now() - started) / 60_000;
  assert.ok(minutes < pageMinutes, `${minutes.toFixed(1)} minutes`);
  const yaml = ["billing", "orders"].flatMap((name) =>
    readFileSync(join(directory, "systems", `${name}.yaml`), "utf8").split("\n"),
  );
  assert.ok(yaml.filter((line) => line.trim() !== "" && !line.startsWith("#")).length <= 12);
});

/** What a reader's machine has: the oldest Node we promise, npm, curl and the shell's own tools; not the Node this test runs on. */
function pathOfReader(folder: string): string {
  const bin = join(folder, "bin");
  mkdirSync(bin);
  const own = dirname(process.execPath);
  const folders = (process.env["PATH"] ?? "").split(":").filter((one) => one !== own && !one.includes("node_modules"));
  for (const program of ["node", "npm", "npx"]) {
    const found = spawnSync("sh", ["-c", `command -v ${program}`], {
      encoding: "utf8",
      env: { PATH: folders.join(":") },
    }).stdout.trim();
    assert.notEqual(found, "", `${program} of the machine`);
    symlinkSync(found, join(bin, program));
  }
  return [bin, "/usr/bin", "/bin"].join(":");
}
