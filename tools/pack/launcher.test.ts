import assert from "node:assert/strict";
import { type ChildProcess, execFile, execFileSync, spawn } from "node:child_process";
import { chmodSync, cpSync, mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, before, describe, test } from "node:test";
import { runtimeEnvironment, runtimeOptions } from "sallyport/start/runtime-options.ts";
import { nodeOnPath, pathOutside } from "./path-of-machine.test-support.ts";

// The launcher of the packed program over a program that prints what it was given: run by the Node of this machine, which may be old,
// and by the pinned one, which becomes the program instead of starting it.
const root = dirname(dirname(import.meta.dirname));
const home = mkdtempSync(join(tmpdir(), "sallyport-launcher-"));
const launcher = join(home, "bin", "sallyport.mjs");
const cache = join(home, "cache");
const isLinux = process.platform === "linux";
const runtimeFolder = join(home, "node_modules", `node-linux-${process.arch}`);

const program = `
const [word] = process.argv.slice(2);
if (word === "exit") process.exit(Number(process.argv[3]));
if (word === "die") process.kill(process.pid, "SIGKILL");
if (word === "wait") {
  process.once("SIGTERM", () => process.exit(7));
  process.stdout.write("waiting");
  setInterval(() => {}, 1000);
} else if (word === "echo") process.stdin.pipe(process.stdout);
else if (word !== "die") {
  const { NODE_OPTIONS = null, NODE_COMPILE_CACHE = null, MALLOC_ARENA_MAX = null } = process.env;
  console.log(JSON.stringify({ argv: process.argv.slice(2), execArgv: process.execArgv, argv0: process.argv0, version: process.version, NODE_OPTIONS, NODE_COMPILE_CACHE, MALLOC_ARENA_MAX }));
}
`;

before(() => {
  mkdirSync(join(home, "dist"), { recursive: true });
  cpSync(join(root, "packages/cli/bin"), join(home, "bin"), { recursive: true });
  const optionalDependencies = { [`node-linux-${process.arch}`]: "26.10.0" };
  writeFileSync(join(home, "package.json"), JSON.stringify({ type: "module", version: "0.1.0", optionalDependencies }));
  writeFileSync(join(home, "dist", "main.js"), program);
  mkdirSync(join(runtimeFolder, "bin"), { recursive: true });
  writeFileSync(join(runtimeFolder, "package.json"), "{}");
  symlinkSync(process.execPath, join(runtimeFolder, "bin", "node"));
});
after(() => rmSync(home, { recursive: true, force: true }));

interface Ended {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly out: string;
  readonly err: string;
}

function start(node: string, args: readonly string[], env: Readonly<Record<string, string>> = {}): ChildProcess {
  return spawn(node, [launcher, ...args], { env: { PATH: pathOutside(), XDG_CACHE_HOME: cache, ...env } });
}

function spawnOn(core: string, node: string): ChildProcess {
  const env = { PATH: pathOutside(), XDG_CACHE_HOME: cache };
  return spawn("taskset", ["-c", core, node, launcher, "a"], { env });
}

function ended(child: ChildProcess): Promise<Ended> {
  let out = "";
  let err = "";
  child.stdout?.on("data", (chunk) => (out += chunk));
  child.stderr?.on("data", (chunk) => (err += chunk));
  return new Promise((resolve) => child.once("close", (code, signal) => resolve({ code, signal, out, err })));
}

const run = (node: string, args: readonly string[], env?: Readonly<Record<string, string>>): Promise<Ended> => {
  const child = start(node, args, env);
  child.stdin?.end();
  return ended(child);
};

for (const [name, node] of [
  ["the Node of this machine", nodeOnPath()],
  ["the pinned Node", process.execPath],
] as const)
  describe(`started by ${name}`, { skip: isLinux ? false : "the fixture is a Linux runtime" }, () => {
    test("the program runs on the runtime beside it, with its arguments as they are", async () => {
      const { out, code } = await run(node, ["a b", "--json", "$HOME", ""]);
      const told = JSON.parse(out);
      assert.equal(code, 0);
      assert.deepEqual(told.argv, ["a b", "--json", "$HOME", ""]);
      assert.deepEqual([told.argv0, told.version], ["sallyport", process.version]);
    });

    test("planted-runtime attack: NODE_PATH and node_modules of folders above choose nothing; those the package lies in are its own", async () => {
      const outer = mkdtempSync(join(home, "outer-"));
      const plant = (folder: string) => {
        const bin = join(folder, `node-linux-${process.arch}`, "bin");
        mkdirSync(bin, { recursive: true });
        writeFileSync(join(dirname(bin), "package.json"), "{}");
        writeFileSync(join(bin, "node"), "#!/bin/sh\necho planted\n", { mode: 0o755 });
      };
      const install = (folder: string) => {
        for (const part of ["bin", "dist", "package.json"])
          cpSync(join(home, part), join(folder, part), { recursive: true });
        return join(folder, "bin", "sallyport.mjs");
      };
      const runAt = async (path: string) => {
        const env = { PATH: pathOutside(), XDG_CACHE_HOME: cache, NODE_PATH: join(outer, "path") };
        const { out } = await ended(spawn(node, [path, "a"], { env }));
        return out.includes("planted");
      };
      plant(join(outer, "path"));
      plant(join(outer, "node_modules"));
      assert.equal(await runAt(install(join(outer, "app"))), false);
      // As npm lays it out: the runtime beside the package's folder. This one shows that a planted runtime would have been seen.
      assert.equal(await runAt(install(join(outer, "node_modules", "@sallyport", "cli"))), true);
    });

    test("exit code, standard input and a death by signal are those of the program", async () => {
      assert.equal((await run(node, ["exit", "4"])).code, 4);
      assert.equal((await run(node, ["die"])).signal, "SIGKILL");
      const child = start(node, ["echo"]);
      child.stdin?.end("through");
      assert.equal((await ended(child)).out, "through");
    });

    test("SIGTERM reaches the program, whose own end is the end", async () => {
      const child = start(node, ["wait"]);
      const end = ended(child);
      await new Promise((resolve) => child.stdout?.once("data", resolve));
      child.kill("SIGTERM");
      assert.equal((await end).code, 7);
    });

    test("NODE_OPTIONS loads nothing into the program; SALLYPORT_NODE_OPTIONS is for it", async () => {
      const hooked = join(home, "hooked.cjs");
      writeFileSync(hooked, "if (process.argv[1]?.endsWith('main.js')) console.log('hooked');");
      const plain = await run(node, ["serve"], { NODE_OPTIONS: `--require ${hooked}` });
      assert.ok(!plain.out.includes("hooked"));
      assert.equal(JSON.parse(plain.out).NODE_OPTIONS, null);
      assert.match(plain.err, /SALLYPORT_NODE_OPTIONS/);
      const own = await run(node, ["a"], { SALLYPORT_NODE_OPTIONS: "--max-old-space-size=512" });
      assert.equal(JSON.parse(own.out).NODE_OPTIONS, "--max-old-space-size=512");
    });

    test("the collector's bounds are those that are measured; one that SALLYPORT_NODE_OPTIONS names is the operator's", async () => {
      const given = async (env: Readonly<Record<string, string>>) =>
        JSON.parse((await run(node, ["a"], env)).out).execArgv.slice(1);
      const wanted = runtimeOptions(availableParallelism());
      assert.deepEqual(await given({}), wanted);
      const own = await given({ SALLYPORT_NODE_OPTIONS: "--max-semi-space-size=32" });
      assert.deepEqual(own, wanted.slice(1));
    });

    test("on one processor the collector has no threads of its own", {
      skip: !isLinux && "taskset is Linux's",
    }, async () => {
      const { out } = await ended(spawnOn("0", node));
      assert.deepEqual(JSON.parse(out).execArgv.slice(1), runtimeOptions(1));
      assert.ok(JSON.parse(out).execArgv.includes("--single-threaded-gc"));
    });

    test("the allocator's arenas are bounded; a bound that is set already stays", {
      skip: !isLinux && "glibc's",
    }, async () => {
      const arenas = async (env: Readonly<Record<string, string>>) =>
        JSON.parse((await run(node, ["a"], env)).out).MALLOC_ARENA_MAX;
      assert.equal(await arenas({}), runtimeEnvironment(availableParallelism()).MALLOC_ARENA_MAX);
      assert.equal(await arenas({ MALLOC_ARENA_MAX: "7" }), "7");
    });

    test("compiled code is kept in a folder of this user; one that others may write to is not used", async () => {
      const kept = async (env: Readonly<Record<string, string>>) =>
        JSON.parse((await run(node, ["a"], env)).out).NODE_COMPILE_CACHE;
      assert.equal(await kept({}), join(cache, "sallyport", "compile-cache-0.1.0"));
      const planted = join(home, "planted");
      mkdirSync(join(planted, "sallyport", "compile-cache-0.1.0"), { recursive: true });
      chmodSync(join(planted, "sallyport"), 0o777);
      assert.equal(await kept({ XDG_CACHE_HOME: planted }), null);
      assert.equal(await kept({ XDG_CACHE_HOME: "/dev/null" }), null, "nor one that cannot be made");
      assert.equal(await kept({ NODE_COMPILE_CACHE: "/elsewhere" }), "/elsewhere", "a named one is the user's choice");
    });
  });

test("without its runtime package the program does not run on an old Node, and the message says what to install", async () => {
  const bare = mkdtempSync(join(tmpdir(), "sallyport-bare-"));
  cpSync(join(home, "bin"), join(bare, "bin"), { recursive: true });
  cpSync(join(home, "package.json"), join(bare, "package.json"));
  // The launcher reads its own version of Node: an old one is played by telling it so, where this machine has none.
  const old = join(home, "old.cjs");
  writeFileSync(old, "Object.defineProperty(process.versions, 'node', { value: '20.20.2' });");
  const { code, out, err } = await new Promise<{ code: number | null; out: string; err: string }>((resolve) => {
    const child = execFile(
      nodeOnPath(),
      ["--require", old, join(bare, "bin/sallyport.mjs"), "check"],
      (_error, out, err) => resolve({ code: child.exitCode, out, err }),
    );
  });
  rmSync(bare, { recursive: true });
  assert.deepEqual([code, out], [2, ""]);
  assert.match(
    err,
    /^error: sallyport needs Node 24\.12 or newer; .*not installed\n {2}fix: .*npm install --include=optional/,
  );
});

test("the launcher is read by Node 20: plain syntax, node: modules that 20 has", () => {
  const source = execFileSync(nodeOnPath(), ["--check", join(root, "packages/cli/bin/sallyport.mjs")]);
  assert.equal(source.toString(), "");
  assert.deepEqual(readdirSync(join(root, "packages/cli/bin")), ["sallyport.mjs"]);
});
