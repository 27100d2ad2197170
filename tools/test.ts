// `npm test`: promises every check of this repository in one run, one line per stage, non-zero when any of them said no.
// Trusts the pinned Node that tools/setup.mjs started it with. `npm test -- <word>` runs only the test files whose path holds the word.
import { spawnSync } from "node:child_process";
import { globSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { availableParallelism } from "node:os";
import { dirname, join } from "node:path";
import { run } from "node:test";
import { fileURLToPath } from "node:url";
import { installDebianPackages } from "./debian-packages.ts";
import { startPostgres, type TestPostgres } from "./postgres.ts";
import { longestFirst, slowest, writeTimes } from "./test-times.ts";
import { filesAlone } from "./tests-alone.ts";

const root = dirname(import.meta.dirname);
/** Only for what hangs: tests have bounds of their own, and a file waits for processors that others use. */
const fileTimeoutMs = 900_000;
/** How often a long run says how far it is. */
const progressMs = 60_000;
/** One for each processor: bounds that are promised to users are judged by the clock. */
const concurrent = Math.max(2, availableParallelism());

interface StageResult {
  readonly passed: boolean;
  /** Ends the stage's line. */
  readonly note: string;
  /** Shown only when it failed. */
  readonly output?: string;
}

/** One line when it ends: name, answer, seconds. */
async function stage(name: string, work: () => Promise<StageResult> | StageResult): Promise<boolean> {
  const started = performance.now();
  const { passed, note, output } = await work();
  const seconds = ((performance.now() - started) / 1_000).toFixed(1);
  console.log(`${passed ? "ok  " : "FAIL"} ${name.padEnd(10)} ${seconds.padStart(6)} s  ${note}`);
  if (!passed && output) console.log(output);
  return passed;
}

/** Runs the script behind a dependency's command with this Node, wherever npm put it. */
function tool(packageName: string, command: string, args: readonly string[]): StageResult {
  const require = createRequire(import.meta.url);
  const manifestPath = require.resolve(`${packageName}/package.json`);
  const manifest: { readonly bin: string | Readonly<Record<string, string>> } = require(manifestPath);
  const script = typeof manifest.bin === "string" ? manifest.bin : manifest.bin[command];
  if (!script) return { passed: false, note: `${packageName} has no command ${command}` };
  const done = spawnSync(process.execPath, [join(dirname(manifestPath), script), ...args], {
    cwd: root,
    encoding: "utf8",
  });
  return { passed: done.status === 0, note: [command, ...args].join(" "), output: `${done.stdout}${done.stderr}` };
}

/** Exported as SALLYPORT_TEST_POSTGRES_URL, so that every suite shares one server; undefined when the environment names one. */
async function sharedPostgres(): Promise<TestPostgres | undefined> {
  if (process.env.SALLYPORT_TEST_POSTGRES_URL) return undefined;
  const server = await startPostgres();
  process.env.SALLYPORT_TEST_POSTGRES_URL = server.url;
  return server;
}

function testFiles(filter: string): string[] {
  return globSync("{packages,tools,examples,bench}/**/*.test.ts", {
    cwd: root,
    exclude: (path) => path.includes("node_modules"),
  })
    .filter((path) => path.replaceAll("\\", "/").includes(filter))
    .sort(longestFirst(root))
    .map((path) => join(root, path));
}

interface Tally {
  readonly failures: string[];
  readonly skipped: string[];
  /** `tests`, `pass` and so on, as node --test names them, in its order. */
  readonly totals: Map<string, number>;
  /** Path below the root -> how long its process ran. */
  readonly fileMs: Map<string, number>;
}

/** Runs each file in a process of its own; adds what failed, what was skipped and why, and the totals. False: something failed. */
async function runTests(files: readonly string[], concurrency: number, tally: Tally): Promise<boolean> {
  let succeeded = false;
  const before = { files: tally.fileMs.size, failures: tally.failures.length };
  const stream = run({
    files,
    concurrency,
    timeout: fileTimeoutMs,
    execArgv: ["--disable-warning=ExperimentalWarning"],
  });
  const place = (file: string | undefined) => (file ? file.slice(root.length + 1) : "");
  const minutes = setInterval(
    () =>
      console.log(
        `     ${tally.fileMs.size - before.files} of ${files.length} files, ${tally.failures.length - before.failures} red tests`,
      ),
    progressMs,
  );
  stream.on("test:fail", ({ name, file, details }) => {
    // A suite fails because of the tests inside, which are told themselves.
    if ("failureType" in details.error && details.error.failureType === "subtestsFailed") return;
    console.log(`red  ${place(file)}: ${name}`);
    const error: unknown = details.error.cause ?? details.error;
    tally.failures.push(
      `FAIL ${place(file)}: ${name}\n${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`,
    );
  });
  stream.on("test:pass", ({ name, file, skip }) => {
    if (skip !== undefined)
      tally.skipped.push(`skip ${place(file)}: ${name}${typeof skip === "string" ? ` (${skip})` : ""}`);
  });
  stream.on("test:complete", ({ name, file, nesting, details }) => {
    // The end of a file comes as a test with its path for a name.
    if (nesting === 0 && name === file) tally.fileMs.set(place(file), details.duration_ms);
  });
  stream.on("test:stderr", ({ message }) => process.stderr.write(message));
  stream.on("test:summary", ({ file, counts, duration_ms, success }) => {
    // The one without a file is the whole run's.
    if (file !== undefined) return;
    succeeded = success;
    const { tests, suites, passed, cancelled, skipped, todo } = counts;
    // The types of Node 26 do not know `failed` yet.
    const failed = "failed" in counts ? Number(counts.failed) : tests - passed - cancelled - skipped - todo;
    const named: Readonly<Record<string, number>> = {
      tests,
      suites,
      pass: passed,
      fail: failed,
      cancelled,
      skipped,
      todo,
      duration_ms: Math.round(duration_ms),
    };
    for (const [name, count] of Object.entries(named)) tally.totals.set(name, (tally.totals.get(name) ?? 0) + count);
  });
  // A stream must be read for its events to come.
  for await (const _event of stream);
  clearInterval(minutes);
  return succeeded && tally.failures.length === before.failures;
}

/** Two stages: what measures how long something takes comes last and has the machine to itself. Null: no file's path holds the word. */
async function testStages(filter: string): Promise<{ readonly passed: boolean; readonly tally: Tally | null }> {
  const files = testFiles(filter);
  const tally: Tally = { failures: [], skipped: [], totals: new Map(), fileMs: new Map() };
  const alone = filesAlone(root);
  const isAlone = (path: string) => alone.has(path.slice(root.length + 1).replaceAll("\\", "/"));
  const stages = [
    { name: "test", concurrency: concurrent, chosen: files.filter((path) => !isAlone(path)) },
    { name: "measured", concurrency: 1, chosen: files.filter(isAlone) },
  ].filter(({ chosen }) => chosen.length > 0);
  if (stages.length === 0) {
    const note = filter ? `no test file's path holds ${JSON.stringify(filter)}` : "no test files found";
    return { passed: await stage("test", () => ({ passed: false, note })), tally: null };
  }
  const answers: boolean[] = [];
  for (const { name, concurrency, chosen } of stages)
    answers.push(
      await stage(name, async () => ({
        passed: await runTests(chosen, concurrency, tally),
        note: `${chosen.length} files, ${concurrency} at a time`,
      })),
    );
  return { passed: answers.every((passed) => passed), tally };
}

/** Only where a chosen test needs one: a run of a few files must not wait for packages it does not use. */
function needsDebianPrograms(filter: string): boolean {
  return testFiles(filter).some((path) => readFileSync(path, "utf8").includes("debian-packages.ts"));
}

async function main(): Promise<number> {
  const filter = process.argv[2] ?? "";
  const answers: boolean[] = [];
  if (filter === "") {
    answers.push(await stage("types", () => tool("typescript", "tsc", ["-p", "."])));
    answers.push(await stage("lint", () => tool("@biomejs/biome", "biome", ["check", "."])));
  }
  let server: TestPostgres | undefined;
  try {
    const ready = await stage("postgres", async () => {
      server = await sharedPostgres();
      return { passed: true, note: server ? "embedded, on loopback" : "SALLYPORT_TEST_POSTGRES_URL" };
    });
    answers.push(ready);
    if (needsDebianPrograms(filter))
      answers.push(
        await stage("debian", () => {
          const { ok, note, output } = installDebianPackages();
          return { passed: ok, note, output };
        }),
      );
    const { passed, tally } = await testStages(filter);
    answers.push(passed);
    if (tally) {
      writeTimes(root, tally.fileMs);
      const totals = [...tally.totals].map(([name, count]) => `# ${name} ${count}`);
      for (const line of [...slowest(tally.fileMs), ...tally.skipped, ...tally.failures, ...totals]) console.log(line);
    }
  } finally {
    await server?.stop();
  }
  return answers.every((passed) => passed) ? 0 : 1;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) process.exitCode = await main();
