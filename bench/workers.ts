// `npm run bench -- workers`: promises throughput and processor time per request of one gateway with different numbers of worker threads, in turns, so that
// drift hits all alike. Nothing is pinned: threads, load generator and upstream share the processors there are. Specified in docs/workers.md.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { median } from "./figures.ts";
import { type RunningProcess, startProcess, startProduct } from "./gateway/process.ts";
import type { Usage, Window, WindowResult } from "./gateway/roles.ts";
import { describeMachine } from "./machine.ts";

const usage = `usage: npm run bench -- workers [--workers 1,2] [--rounds n] [--window-ms n] [--connections n] [--data dir]

  --workers list   numbers of worker threads, one gateway process for each (default 1,2)
`;

interface Measured {
  readonly workers: number;
  readonly perSecond: number[];
  readonly cpuUs: number[];
}

const { values } = parseArgs({
  options: {
    workers: { type: "string", default: "1,2" },
    rounds: { type: "string", default: "7" },
    "window-ms": { type: "string", default: "2500" },
    connections: { type: "string", default: "64" },
    data: { type: "string", default: tmpdir() },
    help: { type: "boolean", short: "h", default: false },
  },
});

async function bench(): Promise<void> {
  const directory = mkdtempSync(join(values.data, "sallyport-bench-workers-"));
  const [upstream, load] = ["upstream.ts", "load.ts"].map((file) => startProcess(file, { core: null }));
  if (upstream === undefined || load === undefined) throw new Error("both were started");
  const counts = values.workers.split(",").map(Number);
  const gateways = counts.map((workers) => ({
    measured: { workers, perSecond: [], cpuUs: [] } as Measured,
    process: startProduct("measured-gateway.ts", { core: null }),
  }));
  try {
    const port = await upstream.ask<number>({ ask: "port" });
    const issuer = await load.ask<object>({ ask: "issuer" });
    const started = await Promise.all(
      gateways.map(async ({ measured, process }) => {
        const { workers } = measured;
        const of = { upstream: port, directory: join(directory, String(workers)), issuer, workers };
        return { measured, process, port: await process.ask<number>({ ask: "start", ...of }) };
      }),
    );
    const rounds = Number(values.rounds);
    // The first round warms up.
    for (let round = 0; round <= rounds; round++)
      for (const one of round % 2 === 0 ? started : started.toReversed()) await measure(load, one, round > 0);
    report(gateways.map(({ measured }) => measured));
  } finally {
    await Promise.all([upstream, load, ...gateways.map(({ process }) => process)].map((one) => one.stop()));
    rmSync(directory, { recursive: true, force: true });
  }
}

async function measure(
  load: RunningProcess,
  { measured, process, port }: { measured: Measured; process: RunningProcess; port: number },
  counts: boolean,
): Promise<void> {
  const target = { port, method: "GET", credential: "cached-bearer" } as const;
  const window: Window = {
    target,
    durationMs: Number(values["window-ms"]),
    connections: Number(values.connections),
  };
  await load.ask({ ask: "prepare", ...window });
  const before = await process.ask<Usage>({ ask: "usage" });
  const result = await load.ask<WindowResult>({ ask: "run", ...window });
  const after = await process.ask<Usage>({ ask: "usage" });
  if (result.errors > 0 || result.answers === 0) throw new Error(`failed: ${result.firstError}`);
  if (!counts) return;
  measured.perSecond.push((result.answers / result.elapsedMs) * 1_000);
  measured.cpuUs.push(((after.cpuMs - before.cpuMs) * 1_000) / result.answers);
}

function report(all: readonly Measured[]): void {
  const rows = all.map(({ workers, perSecond, cpuUs }) => ({
    workers,
    perSecond: Math.round(median(perSecond)),
    cpuUs: Math.round(median(cpuUs)),
    rounds: perSecond.length,
  }));
  for (const { workers, perSecond, cpuUs } of rows)
    process.stdout.write(`${workers} workers: ${perSecond} answers/s, ${cpuUs} us of processor time each (medians)\n`);
  process.stdout.write(
    `${JSON.stringify({ bench: "workers", pinned: "nothing", machine: describeMachine(), rows })}\n`,
  );
}

if (values.help) process.stdout.write(usage);
else await bench();
