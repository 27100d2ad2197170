// Promises rounds in which every variant has its window, one after the other, in turns forwards and backwards, so that drift hits all alike;
// and that nothing counts unless upstream, log and load generator agree on what happened. Trusts the processes to answer honestly about CPU time.
// Specified in RESULTS.md.
import { tallyWindowMs } from "@sallyport/protocol/audit/tally.ts";
import type { RunningProcess } from "./process.ts";
import type { Usage, WindowResult } from "./roles.ts";
import type { OptionalVariant, Variant, VariantName } from "./variants.ts";

export interface Measured extends WindowResult {
  /** Milliseconds of processor time the measured process spent in the window, all threads. */
  readonly cpuMs: number;
}

const warmUpWindowsMax = 3;

export type Round = Readonly<
  Record<Exclude<VariantName, OptionalVariant>, Measured> & Partial<Record<OptionalVariant, Measured>>
>;

export interface Rounds {
  readonly rounds: readonly Round[];
  readonly residentBytes: { readonly bare: number; readonly gateway: number };
}

export interface MeasureOptions {
  readonly variants: readonly Variant[];
  readonly upstream: RunningProcess;
  readonly load: RunningProcess;
  readonly bare: RunningProcess;
  readonly gateway: RunningProcess;
  readonly haproxy?: RunningProcess;
  readonly rounds: number;
  readonly windowMs: number;
  readonly warmUpMs: number;
  /** A variant is warm after so many answers; on a crowded machine that takes up to three windows of `warmUpMs`. */
  readonly warmUpAnswers: number;
  readonly connections: number;
}

/** What ought to have happened, by the load generator's count. */
interface Tally {
  answers: number;
  leaves: number;
  /** Refusals that taught a nonce: a leaf at most each. */
  refusals: number;
}

export async function measureRounds(options: MeasureOptions): Promise<Rounds> {
  const { variants, rounds, windowMs, warmUpMs } = options;
  const tally: Tally = { answers: 0, leaves: 0, refusals: 0 };
  const before = await options.gateway.ask<Usage>({ ask: "usage" });
  const since = performance.now();
  for (const variant of variants) await warmUp(variant, { options, tally, durationMs: warmUpMs });
  const done: Round[] = [];
  for (let n = 0; n < rounds; n++) {
    const results: Partial<Record<VariantName, Measured>> = {};
    for (const variant of n % 2 === 0 ? variants : variants.toReversed())
      results[variant.name] = await measureWindow(variant, { options, tally, durationMs: windowMs });
    done.push(results as Round); // every variant was in the list
  }
  const bare = await options.bare.ask<Usage>({ ask: "usage" });
  const gateway = await options.gateway.ask<Usage>({ ask: "usage" });
  const reached = await options.upstream.ask<number>({ ask: "requests" });
  const elapsedMs = performance.now() - since;
  refuseDoubt(tally, { reached, leaves: gateway.leaves - before.leaves, elapsedMs });
  return { rounds: done, residentBytes: { bare: bare.residentBytes, gateway: gateway.residentBytes } };
}

interface Windows {
  readonly options: MeasureOptions;
  readonly tally: Tally;
  readonly durationMs: number;
}

async function warmUp(variant: Variant, windows: Windows): Promise<void> {
  let answers = 0;
  for (let n = 0; n < warmUpWindowsMax && answers < windows.options.warmUpAnswers; n++)
    answers += (await measureWindow(variant, windows)).answers;
}

async function measureWindow(
  { name, side, target }: Variant,
  { options, tally, durationMs }: Windows,
): Promise<Measured> {
  const window = { target, durationMs, connections: options.connections };
  await options.load.ask({ ask: "prepare", ...window });
  const measured = options[side];
  if (measured === undefined) throw new Error(`${name}: there is no ${side}`);
  const before = await measured.ask<Usage>({ ask: "usage" });
  const result = await options.load.ask<WindowResult>({ ask: "run", ...window });
  const after = await measured.ask<Usage>({ ask: "usage" });
  if (result.errors > 0 || result.answers === 0)
    throw new Error(
      `${name}: ${result.errors} of ${result.answers + result.errors} failed, first: ${result.firstError}`,
    );
  tally.answers += result.answers;
  if (side === "gateway") tally.leaves += result.answers * (target.method === "POST" ? 2 : 1);
  if (target.credential === "fresh-dpop") tally.refusals++;
  return { ...result, cpuMs: after.cpuMs - before.cpuMs };
}

/** Three counts that do not know of each other must fit; otherwise something was answered without being forwarded or recorded. */
function refuseDoubt(
  tally: Tally,
  counted: { readonly reached: number; readonly leaves: number; readonly elapsedMs: number },
): void {
  if (counted.reached !== tally.answers)
    throw new Error(`the upstream saw ${counted.reached} requests, the load generator ${tally.answers} answers`);
  const surplus = counted.leaves - tally.leaves;
  // Every window of the log's own count of crossings may have ended in a leaf, the one under way at the start included.
  const told = Math.ceil(counted.elapsedMs / tallyWindowMs) + 1;
  if (surplus < 0 || surplus > tally.refusals + told)
    throw new Error(`the log has ${counted.leaves} new leaves, ${tally.leaves} crossings' worth were expected`);
}
