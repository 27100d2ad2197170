// `npm run bench -- cost`: promises what one request costs the measured process in processor time, for the variants asked for, and beside another
// checkout of this repository where one is given, in turns. Trusts the same processes as bench/gateway.ts; holds no floors. Explained in RESULTS.md.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { median, rounded } from "./figures.ts";
import { canPin, type RunningProcess, startProcess, startProduct } from "./gateway/process.ts";
import type { BarePorts, Usage, WindowResult } from "./gateway/roles.ts";
import { createVariants, type Variant } from "./gateway/variants.ts";
import { describeMachine } from "./machine.ts";

const usage = `usage: npm run bench -- cost [--variants name,name] [--rounds n] [--window-ms n] [--warm-up n] [--against folder] [--estate n] [--profile dir]

  --variants     of bare_get, gateway_get, bare_verify, gateway_cold, gateway_dpop, bare_post, gateway_post (default: gateway_get)
  --warm-up      windows per variant before the first counts (default 4)
  --against dir  another checkout, whose gateway is measured in turns with this one
  --estate n     a third gateway of this checkout, which serves n systems and integrations more
  --profile dir  write a CPU profile of this checkout's gateway there
`;

interface Side {
  readonly name: string;
  readonly process: RunningProcess;
  readonly variants: readonly Variant[];
}

async function measure(load: RunningProcess, side: Side, on: { variant: Variant; durationMs: number }) {
  const window = { target: on.variant.target, durationMs: on.durationMs, connections: 64 };
  await load.ask({ ask: "prepare", ...window });
  const before = await side.process.ask<Usage>({ ask: "usage" });
  const result = await load.ask<WindowResult>({ ask: "run", ...window });
  const after = await side.process.ask<Usage>({ ask: "usage" });
  if (result.errors > 0) throw new Error(`${side.name} ${on.variant.name}: ${result.firstError}`);
  return {
    cpuUs: ((after.cpuMs - before.cpuMs) * 1000) / result.answers,
    systemUs: ((after.systemMs - before.systemMs) * 1000) / result.answers,
    perS: (result.answers * 1000) / result.elapsedMs,
    p50Ms: result.p50Ms,
    p99Ms: result.p99Ms,
  };
}

type Figures = Awaited<ReturnType<typeof measure>>;

function print(rows: ReadonlyMap<string, readonly Figures[]>): void {
  const figures: Record<string, object> = {};
  for (const [name, all] of rows) {
    const of = (read: (one: Figures) => number, digits: number) => rounded(median(all.map(read)), digits);
    const lowest = rounded(Math.min(...all.map((one) => one.cpuUs)), 1);
    figures[name] = {
      cpu_us: of((one) => one.cpuUs, 1),
      cpu_us_lowest: lowest,
      system_us: of((one) => one.systemUs, 1),
      per_s: of((one) => one.perS, 0),
      p50_ms: of((one) => one.p50Ms, 2),
      p99_ms: of((one) => one.p99Ms, 2),
    };
    process.stdout.write(`${name.padEnd(24)} ${JSON.stringify(figures[name])}\n`);
  }
  process.stdout.write(`${JSON.stringify({ bench: "cost", figures: { machine: describeMachine(), ...figures } })}\n`);
}

async function startGateway(
  file: string,
  on: { upstream: number; issuer: object; directory: string; flags: string[]; estate: number },
) {
  const { flags, ...start } = on;
  const core = canPin(describeMachine().cores) ? 0 : null;
  const gateway = startProduct(file, { core, flags });
  return { gateway, port: await gateway.ask<number>({ ask: "start", ...start }) };
}

function readOptions() {
  const { values } = parseArgs({
    options: {
      variants: { type: "string", default: "gateway_get" },
      rounds: { type: "string", default: "9" },
      "window-ms": { type: "string", default: "700" },
      "warm-up": { type: "string", default: "4" },
      against: { type: "string" },
      estate: { type: "string" },
      profile: { type: "string" },
      help: { type: "boolean", short: "h", default: false },
    },
  });
  return values;
}

async function bench(): Promise<void> {
  const values = readOptions();
  if (values.help) {
    process.stdout.write(usage);
    return;
  }
  const directory = mkdtempSync(join(tmpdir(), "sallyport-bench-cost-"));
  const pinned = canPin(describeMachine().cores);
  const started: RunningProcess[] = [];
  const start = (file: string, core: number) => {
    const one = startProcess(file, { core: pinned ? core : null });
    started.push(one);
    return one;
  };
  try {
    const [upstream, load, bare] = [start("upstream.ts", 1), start("load.ts", 1), start("bare-proxy.ts", 0)];
    const port = await upstream.ask<number>({ ask: "port" });
    const issuer = await load.ask<{ jwk: object }>({ ask: "issuer" });
    const ports = await bare.ask<BarePorts>({ ask: "start", upstream: port, jwk: issuer.jwk });
    const flags =
      values.profile === undefined
        ? []
        : ["--cpu-prof", "--cpu-prof-interval", "250", "--cpu-prof-dir", resolve(values.profile)];
    const sides: Side[] = [{ name: "bare", process: bare, variants: createVariants({ bare: ports, gateway: 0 }) }];
    const own = "measured-gateway.ts";
    const gateways = [
      { name: "this", file: own, flags, estate: 0 },
      ...(values.estate === undefined ? [] : [{ name: "large", file: own, flags: [], estate: Number(values.estate) }]),
      ...(values.against === undefined
        ? []
        : [{ name: "that", file: resolve(values.against, "bench/gateway", own), flags: [], estate: 0 }]),
    ];
    for (const { name, file, ...on } of gateways) {
      const where = { upstream: port, issuer, directory: join(directory, name) };
      const { gateway, port: at } = await startGateway(file, { ...on, ...where });
      started.push(gateway);
      sides.push({ name, process: gateway, variants: createVariants({ bare: ports, gateway: at }) });
    }
    const rows = await rounds(load, sides, {
      names: values.variants.split(","),
      rounds: Number(values.rounds),
      warmUp: Number(values["warm-up"]),
      durationMs: Number(values["window-ms"]),
    });
    print(rows);
  } finally {
    await Promise.all(started.map((one) => one.stop()));
    rmSync(directory, { recursive: true, force: true });
  }
}

async function rounds(
  load: RunningProcess,
  sides: readonly Side[],
  on: { names: readonly string[]; rounds: number; warmUp: number; durationMs: number },
): Promise<Map<string, Figures[]>> {
  const all = sides.flatMap((side) =>
    side.variants
      .filter((variant) => on.names.includes(variant.name) && (variant.side === "bare") === (side.name === "bare"))
      .map((variant) => ({ side, variant, key: `${side.name} ${variant.name}` })),
  );
  const rows = new Map<string, Figures[]>(all.map(({ key }) => [key, []]));
  for (let n = -on.warmUp; n < on.rounds; n++) {
    for (const { side, variant, key } of n % 2 === 0 ? all : all.toReversed()) {
      const figures = await measure(load, side, { variant, durationMs: on.durationMs });
      if (n >= 0) rows.get(key)?.push(figures);
    }
  }
  return rows;
}

await bench();
