import assert from "node:assert/strict";
import { type ChildProcess, execFile, spawn, spawnSync } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, before, test } from "node:test";
import { freePorts } from "sallyport/port-lane.test-support.ts";
import { packAll, packFolders, type Tarball } from "../pack.ts";
import { installedFiles } from "./installed-files.test-support.ts";
import { nodeOnPath, pathOutside } from "./path-of-machine.test-support.ts";

// All packages as npm would publish them, in an empty folder, with nothing but this machine's own Node on PATH: what a stranger gets.
const root = dirname(dirname(import.meta.dirname));
const work = mkdtempSync(join(tmpdir(), "sallyport-packed-"));
const folder = join(work, "empty");
const env = { PATH: pathOutside(), HOME: process.env["HOME"] ?? work, XDG_CACHE_HOME: join(work, "cache") };
const installTimeoutMs = 400_000;
const commandTimeoutMs = 120_000;
const children = new Set<ChildProcess>();
let tarballs: readonly Tarball[] = [];
let names: Awaited<ReturnType<typeof installedFiles>>;

before(async () => {
  tarballs = packAll(root, join(work, "build"), join(work, "tarballs"));
  mkdirSync(folder);
  writeFileSync(join(folder, "package.json"), '{ "private": true, "type": "module" }\n');
  const npm = ["install", "--prefer-offline", "--no-audit", "--no-fund", "--loglevel=error"];
  const done = spawnSync("npm", [...npm, ...tarballs.map(({ path }) => path)], {
    cwd: folder,
    env,
    encoding: "utf8",
    timeout: installTimeoutMs,
  });
  assert.equal(done.status, 0, `${done.stdout}${done.stderr}`);
  const [identity = 0, channel = 0, admin = 0, gateway = 0, service = 0] = await freePorts(5);
  names = await installedFiles(folder, { identity, channel, admin, gateway, service });
});
after(async () => {
  for (const child of children) {
    const gone = new Promise((resolve) => child.once("close", resolve));
    child.kill("SIGKILL");
    await gone;
  }
  rmSync(work, { recursive: true, force: true });
});

interface Ended {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

function run(command: string, args: readonly string[]): Promise<Ended> {
  return new Promise((resolve) => {
    const child = execFile(command, args, { cwd: folder, env, timeout: commandTimeoutMs }, (_error, out, err) =>
      resolve({ code: child.exitCode, out, err }),
    );
  });
}

const sallyport = (...args: readonly string[]): Promise<Ended> => run("npx", ["--no-install", "sallyport", ...args]);

/** Starts a process that says when it is ready; resolves then. */
function start(command: string, args: readonly string[], isReady: RegExp): Promise<ChildProcess> {
  const child = spawn(command, args, { cwd: folder, env, stdio: ["ignore", "pipe", "pipe"] });
  children.add(child);
  return new Promise((resolve, reject) => {
    let said = "";
    const timer = setTimeout(() => reject(new Error(`${command} was not ready in time:\n${said}`)), commandTimeoutMs);
    const look = (chunk: Buffer) => {
      said += chunk;
      if (!isReady.test(said)) return;
      clearTimeout(timer);
      resolve(child);
    };
    child.stdout.on("data", look);
    child.stderr.on("data", look);
    child.once("close", (code) => {
      children.delete(child);
      clearTimeout(timer);
      reject(new Error(`${command} ended with ${code}:\n${said}`));
    });
  });
}

test("npx sallyport --version answers, and the program runs on its own runtime", async (t) => {
  const { code, out } = await sallyport("--version");
  assert.deepEqual([code, out], [0, "0.1.0\n"]);
  const { out: own } = await run(nodeOnPath(), ["--version"]);
  t.diagnostic(`started by ${own.trim()}; the runtime is ${process.version}`);
});

test("check accepts an estate, and says where a broken one is wrong, with the promised exit codes", async () => {
  const good = await sallyport("check", "estate");
  assert.equal(good.code, 0, good.out + good.err);
  const bad = await sallyport("check", "broken");
  assert.equal(bad.code, 1, bad.out + bad.err);
  assert.match(bad.out + bad.err, /systems\/billing\.yaml:\d+/);
  assert.equal((await sallyport("check", "nowhere")).code, 2);
});

test("serve starts; the caller and the service of docs/sdk.md cross it; the log verifies", async () => {
  // Not through npx, whose shell keeps signals to itself.
  const served = await start(join(folder, "node_modules/.bin/sallyport"), names.serve, /"event":"ready"/);
  await start(nodeOnPath(), ["service.js"], /listening/);
  const called = await run(nodeOnPath(), ["caller.js"]);
  assert.equal(called.code, 0, called.err);
  const [allowed = "", denied = ""] = called.out.split("\n");
  assert.deepEqual(JSON.parse(allowed), { status: 200, caller: "orders", operation: "billing:invoice.read" });
  const { code, by, status } = JSON.parse(denied);
  assert.deepEqual([status, code, by], [403, "not-granted", "gateway"]);
  const around = await fetch(`${names.service}/v1/invoices/7`, { headers: { "sallyport-identity": "forged" } });
  assert.equal(around.status, 401, "around the gateway there is no way to the service");
  const gone = new Promise((resolve) => served.once("close", resolve));
  served.kill("SIGTERM");
  await gone;
  const verified = await sallyport("audit", "verify", ".sallyport/gateway/log");
  assert.equal(verified.code, 0, verified.out + verified.err);
});

for (const resolution of ["nodenext", "bundler"] as const)
  test(`the types serve a consumer with moduleResolution ${resolution}, checked whole`, async () => {
    mkdirSync(join(folder, "node_modules/@types"), { recursive: true });
    const types = join(folder, "node_modules/@types/node");
    if (!existsSync(types)) symlinkSync(join(root, "node_modules/@types/node"), types);
    const options = [
      "--noEmit",
      "--strict",
      "--exactOptionalPropertyTypes",
      "--skipLibCheck",
      "false",
      "--target",
      "es2023",
      "--types",
      "node",
    ];
    const module = resolution === "nodenext" ? "nodenext" : "esnext";
    const tsc = join(root, "node_modules/typescript/bin/tsc");
    const args = [tsc, ...options, "--module", module, "--moduleResolution", resolution, "consumer.ts"];
    const { code, out } = await run(process.execPath, args);
    assert.equal(code, 0, out);
  });

test("deep paths into another package's sources are no way in", async () => {
  const { code, err } = await run(nodeOnPath(), ["-e", 'import("@sallyport/sdk/token-client.ts")']);
  assert.notEqual(code, 0);
  assert.match(err, /ERR_PACKAGE_PATH_NOT_EXPORTED/);
});

test("the program's package holds the schemas for editors", () => {
  const schemas = readdirSync(join(folder, "node_modules/sallyport/schemas"));
  assert.ok(schemas.includes("system.schema.json"), String(schemas));
  const schema = JSON.parse(readFileSync(join(folder, "node_modules/sallyport/schemas/system.schema.json"), "utf8"));
  assert.equal(schema.$schema, "https://json-schema.org/draft/2020-12/schema");
});

test("the same sources make the same bytes, whenever they are packed", () => {
  const packages = join(work, "build/packages");
  const folders = readdirSync(packages).map((name) => join(packages, name));
  for (const one of folders) utimesSync(join(one, "package.json"), 1, 1);
  const again = packFolders(folders, join(work, "again"));
  const digest = (all: readonly Tarball[]) => all.map(({ name, integrity }) => `${name} ${integrity}`).toSorted();
  assert.deepEqual(digest(again), digest(tarballs));
});
