// Promises what a figure needs to be read: processor, runtime, what else ran, how long this disk takes to make something durable.
// Trusts the operating system's word. Where it is printed: RESULTS.md.
import { closeSync, fdatasyncSync, openSync, rmSync, statfsSync, writeSync } from "node:fs";
import { availableParallelism, cpus, loadavg } from "node:os";
import { join } from "node:path";
import { median, percentile, rounded } from "./figures.ts";

export interface Machine {
  readonly node: string;
  readonly cpu: string;
  readonly cores: number;
  /** Processes that ran or wanted to, on average over the last minute; ours are among them once we run. */
  readonly load1: number;
}

export function describeMachine(): Machine {
  return {
    node: process.version,
    cpu: cpus()[0]?.model.trim() ?? "unknown",
    cores: availableParallelism(),
    load1: rounded(loadavg()[0] ?? 0, 2),
  };
}

const tmpfsMagic = 0x01021994;

/** In memory nothing is durable, and a bench of durable records would flatter itself. */
export function isInMemory(directory: string): boolean {
  return process.platform === "linux" && statfsSync(directory).type === tmpfsMagic;
}

export interface SyncTimes {
  readonly p50Ms: number;
  readonly p99Ms: number;
}

/** Milliseconds of one appended 512-byte record with its fdatasync, in `directory`. */
export function measureSync(directory: string, samples = 200): SyncTimes {
  const path = join(directory, "sync-probe");
  const descriptor = openSync(path, "w");
  const record = Buffer.alloc(512, 0x61);
  const times: number[] = [];
  try {
    for (let i = 0; i < samples; i++) {
      const started = performance.now();
      writeSync(descriptor, record);
      fdatasyncSync(descriptor);
      times.push(performance.now() - started);
    }
  } finally {
    closeSync(descriptor);
    rmSync(path);
  }
  return { p50Ms: rounded(median(times), 3), p99Ms: rounded(percentile(times, 0.99), 3) };
}
