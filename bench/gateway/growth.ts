// Promises the memory of a gateway in a process of its own while it is crossed: readings after each window of load, and what they say together.
// Trusts the operating system's count of resident pages. Words: roles.ts.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { ListenBounds } from "@sallyport/gateway/ports.ts";
import { median } from "../figures.ts";
import { type RunningProcess, startProcess, startProduct } from "./process.ts";
import type { Target, Usage, WindowResult } from "./roles.ts";
import { createVariants } from "./variants.ts";

const megabyte = 1_048_576;
const windowMsMax = 2_000;
const connections = 64;

/** A gateway, its load and what stands behind it, each a process. */
export interface CrossedGateway {
  readonly port: number;
  readonly load: RunningProcess;
  /** Crosses until `over` says so after a window; each window's result is told with the gateway's memory at its end. */
  cross(windowMs: number, told: (window: WindowResult & { readonly residentMb: number }) => boolean): Promise<void>;
}

/** Runs `use` with them and ends them, however it ends. */
export async function withCrossedGateway<T>(
  bounds: Partial<ListenBounds> | null,
  use: (crossed: CrossedGateway) => Promise<T>,
): Promise<T> {
  const directory = mkdtempSync(join(tmpdir(), "sallyport-bench-memory-"));
  const upstream = startProcess("upstream.ts", { core: null });
  const load = startProcess("load.ts", { core: null });
  // As the launcher starts it.
  const gateway = startProduct("measured-gateway.ts", { core: null });
  try {
    const issuer = await load.ask<object>({ ask: "issuer" });
    const on = { upstream: await upstream.ask<number>({ ask: "port" }), directory, issuer };
    const port = await gateway.ask<number>({ ask: "start", ...on, ...(bounds === null ? {} : { bounds }) });
    const target = createVariants({ bare: { plain: 0, verifying: 0 }, gateway: port }).find(
      ({ name }) => name === "gateway_get",
    )?.target;
    if (target === undefined) throw new Error("the variant is listed");
    return await use({ port, load, cross: crossing({ load, gateway, target }) });
  } finally {
    await Promise.all([upstream, load, gateway].map((one) => one.stop()));
    rmSync(directory, { recursive: true, force: true });
  }
}

function crossing(on: {
  readonly load: RunningProcess;
  readonly gateway: RunningProcess;
  readonly target: Target;
}): CrossedGateway["cross"] {
  return async (windowMs, told) => {
    for (let goesOn = true; goesOn; ) {
      const window = { target: on.target, connections, durationMs: Math.min(windowMs, windowMsMax) };
      await on.load.ask({ ask: "prepare", ...window });
      const result = await on.load.ask<WindowResult>({ ask: "run", ...window });
      const { residentBytes } = await on.gateway.ask<Usage>({ ask: "usage" });
      goesOn = told({ ...result, residentMb: residentBytes / megabyte });
    }
  };
}

/** What was resident when so much of the whole was done. */
export interface Reading {
  readonly share: number;
  readonly mb: number;
}

/** Lowest and highest of each tenth in which something was read, in order, in whole megabytes. Pure. */
export function tenthsOf(readings: readonly Reading[]): Growth["tenthsMb"] {
  const tenths = Map.groupBy(readings, ({ share }) => Math.min(9, Math.floor(share * 10)));
  return [...tenths.values()].map((some) => {
    const sizes = some.map(({ mb }) => Math.round(mb));
    return [Math.min(...sizes), Math.max(...sizes)] as const;
  });
}

export interface Growth {
  readonly earlyMb: number;
  readonly lateMb: number;
  readonly crossings: number;
  /** Lowest and highest reading in each tenth of the crossings in which a window ended, in order. */
  readonly tenthsMb: readonly (readonly [number, number])[];
}

/**
 * Resident memory in the second tenth of the crossings and in the last one, the median of what was read there after each window: the young
 * generation of the runtime swells and shrinks by tens of megabytes, so that single readings compare two moments of it. Throws when one fails.
 */
export async function measureGrowth({ cross }: CrossedGateway, crossings: number): Promise<Growth> {
  let done = 0;
  const readings: Reading[] = [];
  await cross(crossings / 100, ({ answers, errors, firstError, residentMb }) => {
    if (errors > 0) throw new Error(firstError ?? "a crossing failed");
    done += answers;
    readings.push({ share: done / crossings, mb: residentMb });
    return done < crossings;
  });
  // On a fast machine one window may leap over the second tenth: then its end is what stands for it.
  const within = (from: number, to: number) => {
    const after = readings.filter(({ share }) => share >= from);
    return median(after.filter(({ share }, n) => n === 0 || share < to).map(({ mb }) => mb));
  };
  return {
    earlyMb: within(0.1, 0.2),
    lateMb: within(0.9, Number.POSITIVE_INFINITY),
    crossings: done,
    tenthsMb: tenthsOf(readings),
  };
}
