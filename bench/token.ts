// `npm run bench -- token`: promises what our token endpoint gives beside a stock oidc-provider with its memory adapter: the same requests
// (client_credentials, private_key_jwt, DPoP, TLS), in turns, each on the same core. Ours is the whole control plane, with SQLite and its log.
// Trusts neither's own count. Specified in RESULTS.md.
import { parseArgs } from "node:util";
import { median, rounded } from "./figures.ts";
import { canPin } from "./gateway/process.ts";
import { describeMachine } from "./machine.ts";
import { openBoth, type Row } from "./token/both.ts";
import type { TokenResult } from "./token/load.ts";

const usage = `usage: npm run bench -- token [--quick] [--enforce]

  --quick    short windows: ends within 45 s (default: about two minutes)
  --enforce  exit 1 when ours is below 0.8 of stock
`;
const floor = 0.8;
const connections = 32;

/** The median of each kind of thread. */
function cpuOf(all: readonly Row[]): Record<string, number> {
  const names = Object.keys(all[0]?.cpuUs ?? {});
  return Object.fromEntries(names.map((name) => [name, rounded(median(all.map(({ cpuUs }) => cpuUs[name] ?? 0)), 0)]));
}

const perS = (one: TokenResult): number => (one.answers * 1000) / one.elapsedMs;

function report(rows: Readonly<Record<"ours" | "stock", readonly Row[]>>): number {
  const ratios = rows.ours.map((one, n) => perS(one) / perS(rows.stock[n] ?? one));
  const ratio = rounded(median(ratios), 3);
  const figuresOf = (all: readonly Row[]) => ({
    per_s: rounded(median(all.map(perS)), 0),
    p50_ms: rounded(median(all.map((one) => one.p50Ms)), 2),
    p99_ms: rounded(median(all.map((one) => one.p99Ms)), 2),
    cpu_us: cpuOf(all),
  });
  const figures = {
    machine: describeMachine(),
    rounds: ratios.length,
    spread: [rounded(Math.min(...ratios), 3), rounded(Math.max(...ratios), 3)],
    ours: figuresOf(rows.ours),
    stock: figuresOf(rows.stock),
  };
  process.stdout.write(
    `vs_stock ${ratio} (floor ${floor})\n${JSON.stringify({ bench: "token", ratios: { vs_stock: ratio }, figures })}\n`,
  );
  return ratio;
}

async function bench(quick: boolean): Promise<number> {
  const both = await openBoth(canPin(describeMachine().cores));
  const [rounds, warmUps, durationMs] = quick ? [5, 2, 1_000] : [7, 4, 4_000];
  try {
    return report(await both.measure({ rounds, warmUps, durationMs, connections }));
  } finally {
    await both.close();
  }
}

const { values } = parseArgs({
  options: {
    quick: { type: "boolean", default: false },
    enforce: { type: "boolean", default: false },
    help: { type: "boolean", short: "h", default: false },
  },
});
if (values.help) process.stdout.write(usage);
else {
  const ratio = await bench(values.quick);
  process.exitCode = values.enforce && ratio < floor ? 1 : 0;
}
