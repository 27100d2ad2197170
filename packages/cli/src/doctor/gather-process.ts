// Promises facts of this process and machine. Reads them, judges nothing.
// Trusts the operating system. Specified in docs/cli/doctor.md "Checks".
import { readFileSync } from "node:fs";
import { assertEnvironment } from "@sallyport/kernel/dial/environment.ts";
import type { ProcessFacts } from "./decide-process.ts";

export function gatherProcess(): ProcessFacts {
  const from = { wall: Date.now(), monotonic: performance.now() };
  return {
    version: process.version,
    verification: refusedEnvironment(),
    nodeOptions: process.env["NODE_OPTIONS"] ?? "",
    coreBytesMax: limitOf("Max core file size"),
    openFilesMax: limitOf("Max open files"),
    clockDriftMs: () => Date.now() - from.wall - (performance.now() - from.monotonic),
  };
}

function refusedEnvironment(): string | null {
  try {
    assertEnvironment(process.env);
    return null;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

/** The soft limit; Infinity for none, null where it cannot be read. */
function limitOf(name: string): number | null {
  try {
    const line =
      readFileSync("/proc/self/limits", "utf8")
        .split("\n")
        .find((one) => one.startsWith(name)) ?? "";
    const [soft] = line.slice(name.length).trim().split(/\s+/);
    if (soft === "unlimited") return Number.POSITIVE_INFINITY;
    return soft === undefined || !/^\d+$/.test(soft) ? null : Number(soft);
  } catch {
    return null;
  }
}
