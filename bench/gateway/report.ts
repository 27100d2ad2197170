// Promises the ratios with their spread, a table a person can read and one JSON line a program can. Pure but for the printing.
// Trusts the rounds it is given. Names are specified in RESULTS.md.
import { median, rounded } from "../figures.ts";
import type { Machine, SyncTimes } from "../machine.ts";
import type { Measured, Round, Rounds } from "./measure.ts";
import { type VariantName, variantNames } from "./variants.ts";

const comparisons = {
  vs_bare: ["gateway_get", "bare_get"],
  vs_haproxy_jwt: ["gateway_get", "haproxy_jwt"],
  dpop_vs_bare_verify: ["gateway_dpop", "bare_verify"],
  cold_vs_bare_verify: ["gateway_cold", "bare_verify"],
  effect_vs_bare: ["gateway_post", "bare_post"],
} as const satisfies Record<string, readonly [VariantName, VariantName]>;

export type RatioName = keyof typeof comparisons;

const ratioNames = Object.keys(comparisons) as RatioName[]; // the keys written above
/** Below these a release stops; DESIGN §9 holds what we aim for. */
export const floors: readonly (readonly [RatioName, number])[] = [
  ["vs_bare", 0.6],
  ["vs_haproxy_jwt", 1.2],
  ["dpop_vs_bare_verify", 0.7],
  ["cold_vs_bare_verify", 0.65],
  ["effect_vs_bare", 0.4],
];

const rateOf = ({ answers, elapsedMs }: Measured): number => (answers * 1000) / elapsedMs;
const cpuOf = ({ cpuMs, answers }: Measured): number => (cpuMs * 1000) / answers;

/** Below this share of its core the measured process was not the limit: other programs, or the load generator, were. */
const busyEnough = 0.85;

export interface Summary {
  /** Null where the opponent was not measured. */
  readonly ratios: Readonly<Record<RatioName, number | null>>;
  readonly below: readonly RatioName[];
  readonly figures: {
    readonly machine: Machine & { readonly pinned: boolean };
    readonly rounds: number;
    /** Variants that something else held back: their ratios flatter or slander, and the floors also judge the ratios by processor time. */
    readonly disturbed: readonly VariantName[];
    /** Lowest and highest ratio of any round. */
    readonly spread: Readonly<Record<RatioName, readonly [number, number] | null>>;
    /** The same comparison in processor time per request: other programs on the machine disturb it less. */
    readonly cpu_ratios: Readonly<Record<RatioName, number | null>>;
    readonly variants: Readonly<Partial<Record<VariantName, VariantFigures>>>;
    /** Its version; null where it is not installed. */
    readonly haproxy: string | null;
    readonly fdatasync_ms: SyncTimes;
    readonly resident_mb: { readonly bare: number; readonly gateway: number };
  };
}

interface VariantFigures {
  readonly per_s: number;
  readonly p50_ms: number;
  readonly p99_ms: number;
  readonly cpu_us: number;
  /** Share of the window in which the measured process was on its core; well below 1, something else was the limit. */
  readonly busy: number;
}

/** Reads both sides of a comparison from every round; null where one was not measured. */
function pairsOf(rounds: readonly Round[], name: RatioName): readonly (readonly [Measured, Measured])[] | null {
  const [over, under] = comparisons[name];
  const pairs = rounds.map((round) => [round[over], round[under]] as const);
  const whole = pairs.filter(
    (pair): pair is readonly [Measured, Measured] => pair[0] !== undefined && pair[1] !== undefined,
  );
  return whole.length === rounds.length ? whole : null;
}

/** The same figure for every ratio. */
function perRatio<T>(rounds: readonly Round[], make: (pairs: readonly (readonly [Measured, Measured])[]) => T) {
  const made = ratioNames.map((name) => {
    const pairs = pairsOf(rounds, name);
    return [name, pairs === null ? null : make(pairs)] as const;
  });
  return Object.fromEntries(made) as Record<RatioName, T | null>; // all names
}

export function summarize(on: {
  readonly machine: Machine;
  readonly pinned: boolean;
  readonly sync: SyncTimes;
  readonly rounds: Rounds;
  readonly haproxy?: string | null;
}): Summary {
  const { rounds, residentBytes } = on.rounds;
  const ratios = perRatio(rounds, (pairs) =>
    rounded(median(pairs.map(([over, under]) => rateOf(over) / rateOf(under))), 3),
  );
  const cpuRatios = perRatio(rounds, (pairs) =>
    rounded(median(pairs.map(([over, under]) => cpuOf(under) / cpuOf(over))), 3),
  );
  const variants: Partial<Record<VariantName, VariantFigures>> = {};
  for (const name of variantNames) {
    const all = rounds.map((round) => round[name]).filter((one) => one !== undefined);
    if (all.length > 0) variants[name] = figuresOf(all);
  }
  const disturbed = variantNames.filter((name) => (variants[name]?.busy ?? 1) < busyEnough);
  const isBelow = ([name, floor]: readonly [RatioName, number]): boolean => {
    const [ratio, cpu] = [ratios[name], cpuRatios[name]];
    if (ratio === null || cpu === null) return false;
    return (disturbed.length > 0 ? Math.min(ratio, cpu) : ratio) < floor;
  };
  return {
    ratios,
    below: floors.filter(isBelow).map(([name]) => name),
    figures: {
      machine: { ...on.machine, pinned: on.pinned },
      haproxy: on.haproxy ?? null,
      rounds: rounds.length,
      disturbed,
      spread: perRatio(rounds, (pairs) => {
        const all = pairs.map(([over, under]) => rateOf(over) / rateOf(under));
        return [rounded(Math.min(...all), 3), rounded(Math.max(...all), 3)] as const;
      }),
      cpu_ratios: cpuRatios,
      variants,
      fdatasync_ms: on.sync,
      resident_mb: {
        bare: rounded(residentBytes.bare / 1_048_576, 0),
        gateway: rounded(residentBytes.gateway / 1_048_576, 0),
      },
    },
  };
}

function figuresOf(all: readonly Measured[]): VariantFigures {
  const over = (read: (measured: Measured) => number, digits: number) => rounded(median(all.map(read)), digits);
  return {
    per_s: over(rateOf, 0),
    p50_ms: over((one) => one.p50Ms, 2),
    p99_ms: over((one) => one.p99Ms, 2),
    cpu_us: over(cpuOf, 1),
    busy: over((one) => one.cpuMs / one.elapsedMs, 2),
  };
}

/** A table for people, then the JSON line, last. */
export function printReport({ ratios, below, figures }: Summary): void {
  const { machine, variants, spread, cpu_ratios: cpu, fdatasync_ms: sync, resident_mb: memory } = figures;
  const lines = [
    `node ${machine.node}, ${machine.cores} cores of ${machine.cpu}, load ${machine.load1} before we began`,
    machine.pinned
      ? "measured process on core 0; load generator and upstream on core 1; plain HTTP on both sides"
      : "NOT pinned (needs two cores and taskset): the ratios are worth little; plain HTTP on both sides",
    `fdatasync of one record on the log's disk: ${sync.p50Ms} ms, p99 ${sync.p99Ms} ms`,
    `memory: bare ${memory.bare} MB, gateway ${memory.gateway} MB`,
    "",
    `${"variant".padEnd(14)}${["req/s", "p50 ms", "p99 ms", "CPU us", "busy"].map((head) => head.padStart(9)).join("")}`,
    ...variantNames.flatMap((name) => {
      const figures = variants[name];
      if (figures === undefined) return [];
      const { per_s, p50_ms, p99_ms, cpu_us, busy } = figures;
      return name.padEnd(14) + [per_s, p50_ms, p99_ms, cpu_us, busy].map((value) => String(value).padStart(9)).join("");
    }),
    "",
    ...(figures.disturbed.length === 0
      ? []
      : [`DISTURBED: the core was not busy with ${figures.disturbed.join(", ")}; trust the ratios by CPU time`]),
    ...floors.map(([name, floor]) => {
      const [low, high] = spread[name] ?? [];
      if (low === undefined) return `${name.padEnd(20)} not measured: HAProxy is not installed (Debian: haproxy)`;
      const verdict = below.includes(name) ? `BELOW the floor of ${floor}` : `floor ${floor}`;
      return `${name.padEnd(20)} ${ratios[name]}  (${low} to ${high} over ${figures.rounds} rounds; by CPU time ${cpu[name]})  ${verdict}`;
    }),
  ];
  process.stdout.write(`${lines.join("\n")}\n${JSON.stringify({ bench: "gateway", ratios, figures })}\n`);
}
