// Promises what a large estate costs: loading, checking and compiling 300 integrations over 40 systems, each round in a process of its own,
// as the command line does it. Trusts estates.ts for the files. What is measured is specified in RESULTS.md.
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type EstateSize, estateFiles, large, writeEstate } from "./estates.ts";
import { median, rounded } from "./figures.ts";
import { describeMachine } from "./machine.ts";

/** Milliseconds, from one process. */
export interface EstateParts {
  readonly load_ms: number;
  readonly policies_ms: number;
  readonly lint_ms: number;
  readonly snapshot_ms: number;
  readonly snapshot_bytes: number;
  readonly findings: number;
  /** Processor time of load, policies and lint together: what remains when something else holds the cores. */
  readonly cpu_ms: number;
  /** Of that the files to the estate alone. */
  readonly load_cpu_ms: number;
  /** Of that the lint rules alone. */
  readonly lint_cpu_ms: number;
}

/** Milliseconds of one `sallyport check` as a process. */
export interface CheckProcess {
  /** From start to end, as a shell sees it. */
  readonly tookMs: number;
  /** Processor time of all its threads: what remains when something else holds the cores. */
  readonly cpuMs: number;
}

const roundsDefault = 7;
const processWaitMs = 120_000;

/** One child that loads, checks and compiles; its figures are the last line it prints. */
export function measureParts(directory: string): EstateParts {
  const child = spawnSync(process.execPath, [join(import.meta.dirname, "estate/parts.ts"), directory], {
    encoding: "utf8",
    timeout: processWaitMs,
  });
  if (child.status !== 0) throw new Error(`the measured process failed: ${child.stderr}`);
  return JSON.parse(child.stdout); // printed by parts.ts in exactly this shape
}

/** Makes a process say its processor time when it ends, as the last line of its errors. */
const sayCpu = `data:text/javascript,process.on("exit",()=>{const{user,system}=process.cpuUsage();process.stderr.write("\\n"+(user+system))})`;

/** `sallyport check`, started as from a shell. */
export function measureCheck(directory: string): CheckProcess {
  const main = join(import.meta.dirname, "../packages/cli/src/main.ts");
  const started = performance.now();
  const child = spawnSync(process.execPath, ["--import", sayCpu, main, "check", directory], {
    encoding: "utf8",
    timeout: processWaitMs,
  });
  const tookMs = performance.now() - started;
  if (child.status !== 0) throw new Error(`check found errors: ${child.stdout}${child.stderr}`);
  return { tookMs, cpuMs: Number(child.stderr.split("\n").at(-1)) / 1000 };
}

/** The estate on disk while `use` runs. */
export function withEstate<T>(size: EstateSize, use: (directory: string) => T): T {
  const directory = mkdtempSync(join(tmpdir(), "sallyport-estate-"));
  try {
    writeEstate(directory, estateFiles(size));
    return use(directory);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

function benchEstate(rounds: number): Record<string, number> {
  return withEstate(large, (directory) => {
    // Both kinds of round in turns, so that a busy minute falls on both.
    const runs = Array.from({ length: rounds }, () => ({
      whole: measureCheck(directory),
      parts: measureParts(directory),
    }));
    const of = (pick: (parts: EstateParts) => number) => rounded(median(runs.map(({ parts }) => pick(parts))), 0);
    return {
      load_ms: of((parts) => parts.load_ms),
      check_ms: of((parts) => parts.policies_ms + parts.lint_ms),
      policies_ms: of((parts) => parts.policies_ms),
      lint_ms: of((parts) => parts.lint_ms),
      check_process_ms: rounded(median(runs.map(({ whole }) => whole.tookMs)), 0),
      check_process_best_ms: rounded(Math.min(...runs.map(({ whole }) => whole.tookMs)), 0),
      check_process_cpu_ms: rounded(median(runs.map(({ whole }) => whole.cpuMs)), 0),
      cpu_ms: of((parts) => parts.cpu_ms),
      snapshot_ms: of((parts) => parts.snapshot_ms),
      snapshot_bytes: of((parts) => parts.snapshot_bytes),
      rounds,
    };
  });
}

if (import.meta.main) {
  const quick = process.argv.includes("--quick");
  const { cpu, cores, node, load1 } = describeMachine();
  process.stdout.write(`${cpu}, ${cores} cores, Node ${node}, load ${load1}\n`);
  process.stdout.write(
    "load: files to estate. check: policies and lint after it. check_process: `sallyport check` from start to end.\n",
  );
  process.stdout.write(`${JSON.stringify({ bench: "estate", figures: benchEstate(quick ? 5 : roundsDefault) })}\n`);
}
