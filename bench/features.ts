// `npm run bench -- gateway --features`: promises what each control costs a request of the gateway, switched on one after another, as medians of rounds in
// turns. Trusts the same processes as gateway.ts; holds no floors. Explained in RESULTS.md.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { median, rounded } from "./figures.ts";
import { expectedOf, methodOf, rungs } from "./gateway/features.ts";
import { canPin, type RunningProcess, startProcess, startProduct } from "./gateway/process.ts";
import type { Target, Usage, WindowResult } from "./gateway/roles.ts";
import { describeMachine } from "./machine.ts";

const usage = `usage: npm run bench -- gateway --features [--quick] [--rounds n] [--window-ms n]

  Each row is the row before it with one control more; "effect" begins anew. --quick: 5 rounds of 300 ms (default 7 of 1,500 ms).
`;
const connections = 64;
const warmUps = 3;

interface Side {
  readonly name: string;
  readonly gateway: RunningProcess;
  readonly target: Target;
}

interface Figures {
  readonly perS: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly cpuUs: number;
}

async function start(
  at: number,
  on: { upstream: number; issuer: object; directory: string; core: number | null },
): Promise<Side> {
  const gateway = startProduct("measured-gateway.ts", { core: on.core });
  const directory = join(on.directory, String(at));
  const port = await gateway.ask<number>({ ask: "start", ...on, directory, rung: at });
  const { name = "", keys } = rungs[at] ?? {};
  const target = { port, method: methodOf(at), credential: "cached-bearer" as const };
  const expected = expectedOf(at);
  const more = { ...(keys === undefined ? {} : { keys }), ...(expected === undefined ? {} : { expected }) };
  return { name, gateway, target: { ...target, ...more } };
}

async function measure(load: RunningProcess, { name, gateway, target }: Side, durationMs: number): Promise<Figures> {
  const window = { target, durationMs, connections };
  await load.ask({ ask: "prepare", ...window });
  const before = await gateway.ask<Usage>({ ask: "usage" });
  const result = await load.ask<WindowResult>({ ask: "run", ...window });
  const after = await gateway.ask<Usage>({ ask: "usage" });
  if (result.errors > 0) throw new Error(`${name}: ${result.firstError}`);
  return {
    perS: (result.answers * 1_000) / result.elapsedMs,
    p50Ms: result.p50Ms,
    p99Ms: result.p99Ms,
    cpuUs: ((after.cpuMs - before.cpuMs) * 1_000) / result.answers,
  };
}

async function bench({ rounds, windowMs }: { readonly rounds: number; readonly windowMs: number }): Promise<void> {
  const machine = describeMachine();
  const isPinned = canPin(machine.cores);
  const directory = mkdtempSync(join(tmpdir(), "sallyport-bench-features-"));
  const [upstream, load] = ["upstream.ts", "load.ts"].map((file) => startProcess(file, { core: isPinned ? 1 : null }));
  if (upstream === undefined || load === undefined) throw new Error("two programs were started");
  const sides: Side[] = [];
  try {
    const issuer = await load.ask<object>({ ask: "issuer" });
    const on = { upstream: await upstream.ask<number>({ ask: "port" }), issuer, directory, core: isPinned ? 0 : null };
    for (const at of rungs.keys()) sides.push(await start(at, on));
    for (const side of sides) for (let n = 0; n < warmUps; n += 1) await measure(load, side, windowMs);
    const all = new Map(sides.map(({ name }) => [name, [] as Figures[]]));
    for (let n = 0; n < rounds; n += 1)
      for (const side of n % 2 === 0 ? sides : sides.toReversed())
        all.get(side.name)?.push(await measure(load, side, windowMs));
    print(all, { machine, rounds });
  } finally {
    await Promise.all([upstream, load, ...sides.map(({ gateway }) => gateway)].map((one) => one.stop()));
    rmSync(directory, { recursive: true, force: true });
  }
}

function print(all: ReadonlyMap<string, readonly Figures[]>, about: object): void {
  process.stdout.write(`${"control".padEnd(46)} req/s   p50 ms   p99 ms   CPU us    more\n`);
  const rows: object[] = [];
  let last = 0;
  for (const [control, figures] of all) {
    const of = (read: (one: Figures) => number, digits: number) => rounded(median(figures.map(read)), digits);
    const cpuUs = of((one) => one.cpuUs, 1);
    const row = {
      ...{
        control,
        perS: of((one) => one.perS, 0),
        p50Ms: of((one) => one.p50Ms, 2),
        p99Ms: of((one) => one.p99Ms, 2),
      },
      ...{ cpuUs, moreUs: control.startsWith("+") ? rounded(cpuUs - last, 1) : 0 },
    };
    last = cpuUs;
    rows.push(row);
    const cells = [row.perS, row.p50Ms, row.p99Ms, row.cpuUs, row.moreUs].map((cell) => String(cell).padStart(8));
    process.stdout.write(`${control.padEnd(44)}${cells.join(" ")}\n`);
  }
  process.stdout.write(`${JSON.stringify({ bench: "features", ...about, rows })}\n`);
}

const { values } = parseArgs({
  options: {
    features: { type: "boolean", default: true },
    quick: { type: "boolean", default: false },
    rounds: { type: "string" },
    "window-ms": { type: "string" },
    help: { type: "boolean", short: "h", default: false },
  },
});
if (values.help) process.stdout.write(usage);
else
  await bench({
    rounds: Number(values.rounds ?? (values.quick ? 5 : 7)),
    windowMs: Number(values["window-ms"] ?? (values.quick ? 300 : 1_500)),
  });
