// Promises the ratios with their spread, a table a person can read and one JSON line a program can. Pure but for the printing.
// Trusts the rounds it is given. Names are specified in RESULTS.md.
import { median, rounded } from "../figures.ts";
import type { Machine, SyncTimes } from "../machine.ts";
import type { Measured, Round, Rounds } from "./measure.ts";
import { type VariantName, variantNames } from "./variants.ts";

const comparisons = {
  vs_bare: ["gateway_get", "bare_get"],
  dpop_vs_bare_verify: ["gateway_dpop", "bare_verify"],
  cold_vs_bare_verify: ["gateway_cold", "bare_verify"],
  effect_vs_bare: ["gateway_post", "bare_post"],
} as const satisfies Record<string, readonly [VariantName, VariantName]>;

export type RatioName = keyof typeof comparisons;

const ratioNames = Object.keys(comparisons) as RatioName[]; // the keys written above
/** Below these a release stops; DESIGN §9 holds what we aim for. */
export const floors: readonly (readonly [RatioName, number])[] = [
  ["vs_bare", 0.5],
  ["dpop_vs_bare_verify", 0.7],
  ["cold_vs_bare_verify", 0.65],
  ["effect_vs_bare", 0.4],
];

const ratesOf = (round: Round, name: VariantName): number => (round[name].answers * 1000) / round[name].elapsedMs;
const cpuOf = ({ cpuMs, answers }: Measured): number => (cpuMs * 1000) / answers;

/** Below this share of its core the measured process was not the limit: other programs, or the load generator, were. */
const busyEnough = 0.85;

export interface Summary {
  readonly ratios: Readonly<Record<RatioName, number>>;
  readonly below: readonly RatioName[];
  readonly figures: {
    readonly machine: Machine & { readonly pinned: boolean };
    readonly rounds: number;
    /** Variants that something else held back: their ratios flatter or slander, and the floors also judge the ratios by processor time. */
    readonly disturbed: readonly VariantName[];
    /** Lowest and highest ratio of any round. */
    readonly spread: Readonly<Record<RatioName, readonly [number, number]>>;
    /** The same comparison in processor time per request: other programs on the machine disturb it less. */
    readonly cpu_ratios: Readonly<Record<RatioName, number>>;
    readonly variants: Readonly<Record<VariantName, VariantFigures>>;
    readonly fdatasync_ms: SyncTimes;
    readonly resident_mb: { readonly bare: number; readonly gateway: number };
  };
}

type Figures = Summary["figures"];

interface VariantFigures {
  readonly per_s: number;
  readonly p50_ms: number;
  readonly p99_ms: number;
  readonly cpu_us: number;
  /** Share of the window in which the measured process was on its core; well below 1, something else was the limit. */
  readonly busy: number;
}

export function summarize(on: {
  readonly machine: Machine;
  readonly pinned: boolean;
  readonly sync: SyncTimes;
  readonly rounds: Rounds;
}): Summary {
  const { rounds, residentBytes } = on.rounds;
  const perRatio = <T>(make: (over: VariantName, under: VariantName) => T) =>
    Object.fromEntries(ratioNames.map((name) => [name, make(comparisons[name][0], comparisons[name][1])])) as Record<
      RatioName,
      T
    >; // all names
  const of = (over: VariantName, under: VariantName) =>
    rounds.map((round) => ratesOf(round, over) / ratesOf(round, under));
  const ratios = perRatio((over, under) => rounded(median(of(over, under)), 3));
  // All names.
  const variants = Object.fromEntries(
    variantNames.map((name) => [name, figuresOf(rounds, name)]),
  ) as Figures["variants"];
  const disturbed = variantNames.filter((name) => variants[name].busy < busyEnough);
  const cpuRatios = perRatio((over, under) =>
    rounded(median(rounds.map((round) => cpuOf(round[under]) / cpuOf(round[over]))), 3),
  );
  const judged = (name: RatioName) => (disturbed.length > 0 ? Math.min(ratios[name], cpuRatios[name]) : ratios[name]);
  return {
    ratios,
    below: floors.filter(([name, floor]) => judged(name) < floor).map(([name]) => name),
    figures: {
      machine: { ...on.machine, pinned: on.pinned },
      rounds: rounds.length,
      disturbed,
      spread: perRatio((over, under) => {
        const all = of(over, under);
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

function figuresOf(rounds: readonly Round[], name: VariantName): VariantFigures {
  const over = (read: (measured: Measured) => number, digits: number) =>
    rounded(median(rounds.map((round) => read(round[name]))), digits);
  return {
    per_s: over((one) => (one.answers * 1000) / one.elapsedMs, 0),
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
    ...variantNames.map((name) => {
      const { per_s, p50_ms, p99_ms, cpu_us, busy } = variants[name];
      return name.padEnd(14) + [per_s, p50_ms, p99_ms, cpu_us, busy].map((value) => String(value).padStart(9)).join("");
    }),
    "",
    ...(figures.disturbed.length === 0
      ? []
      : [`DISTURBED: the core was not busy with ${figures.disturbed.join(", ")}; trust the ratios by CPU time`]),
    ...floors.map(([name, floor]) => {
      const [low, high] = spread[name];
      const verdict = below.includes(name) ? `BELOW the floor of ${floor}` : `floor ${floor}`;
      return `${name.padEnd(20)} ${ratios[name]}  (${low} to ${high} over ${figures.rounds} rounds; by CPU time ${cpu[name]})  ${verdict}`;
    }),
  ];
  process.stdout.write(`${lines.join("\n")}\n${JSON.stringify({ bench: "gateway", ratios, figures })}\n`);
}
