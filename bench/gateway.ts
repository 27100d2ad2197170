// `npm run bench -- gateway`: promises what the gateway with everything on costs beside a bare proxy on the same core, as ratios of one run.
// Trusts neither side's own count: the load generator judges every answer, the upstream counts what reached it, the log its leaves.
// What each ratio means, and its floor, is specified in RESULTS.md.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { haproxyVersion, startHaproxy } from "./gateway/haproxy.ts";
import { measureRounds } from "./gateway/measure.ts";
import { canPin, type RunningProcess, startProcess, startProduct } from "./gateway/process.ts";
import { floors, printReport, summarize } from "./gateway/report.ts";
import type { BarePorts } from "./gateway/roles.ts";
import { createVariants, type Variant } from "./gateway/variants.ts";
import { describeMachine, isInMemory, measureSync } from "./machine.ts";

const usage = `usage: npm run bench -- gateway [--quick] [--rounds n] [--window-ms n] [--warm-up-ms n] [--connections n]
                                [--data dir] [--estate n] [--enforce] [--profile dir]

  --quick        short windows: ends within 45 s (default: about four minutes)
  --features     in place of that: what each control costs, switched on one after another (--features --help)
  --data dir     where the gateway keeps its log; on a real disk (default: a new folder in the system's temporary directory)
  --estate n     the gateway serves n systems and integrations more than the three it is asked for; routing must not notice
  --enforce      exit 1 when a ratio is below its floor: ${floors.map(([name, floor]) => `${name} ${floor}`).join(", ")}
  --profile dir  write a CPU profile of the gateway there (its own figures are then worth nothing)
`;

function readOptions() {
  const { values } = parseArgs({
    options: {
      quick: { type: "boolean", default: false },
      rounds: { type: "string" },
      "window-ms": { type: "string" },
      "warm-up-ms": { type: "string" },
      connections: { type: "string" },
      data: { type: "string" },
      estate: { type: "string" },
      enforce: { type: "boolean", default: false },
      profile: { type: "string" },
      help: { type: "boolean", short: "h", default: false },
    },
  });
  const whole = (text: string | undefined, otherwise: number): number => {
    const value = text === undefined ? otherwise : Number(text);
    if (!Number.isSafeInteger(value) || value < 1) throw new RangeError(`"${text}" is not a whole number above 0`);
    return value;
  };
  return {
    help: values.help,
    enforce: values.enforce,
    data: values.data ?? tmpdir(),
    profile: values.profile,
    estate: values.estate === undefined ? 0 : whole(values.estate, 1),
    rounds: whole(values.rounds, values.quick ? 5 : 9),
    windowMs: whole(values["window-ms"], values.quick ? 300 : 2_500),
    warmUpMs: whole(values["warm-up-ms"], values.quick ? 600 : 3_000),
    warmUpAnswers: values.quick ? 2_000 : 20_000,
    connections: whole(values.connections, 64),
  };
}

type Options = ReturnType<typeof readOptions>;

interface Processes {
  readonly upstream: RunningProcess;
  readonly load: RunningProcess;
  readonly bare: RunningProcess;
  readonly gateway: RunningProcess;
}

function startProcesses(pinned: boolean, profile: string | undefined): Processes {
  const measured = pinned ? 0 : null;
  const around = pinned ? 1 : null;
  const flags = profile === undefined ? [] : ["--cpu-prof", "--cpu-prof-dir", profile];
  return {
    upstream: startProcess("upstream.ts", { core: around }),
    load: startProcess("load.ts", { core: around }),
    bare: startProcess("bare-proxy.ts", { core: measured }),
    gateway: startProduct("measured-gateway.ts", { core: measured, flags }),
  };
}

interface Started {
  readonly variants: readonly Variant[];
  readonly haproxy?: RunningProcess;
}

async function connectProcesses(
  processes: Processes,
  on: { directory: string; estate: number; core: number | null; haproxy: boolean },
): Promise<Started> {
  const { directory, estate } = on;
  const upstream = await processes.upstream.ask<number>({ ask: "port" });
  const issuer = await processes.load.ask<{ jwk: Record<string, string> }>({ ask: "issuer" });
  const bare = await processes.bare.ask<BarePorts>({ ask: "start", upstream, jwk: issuer.jwk });
  const gateway = await processes.gateway.ask<number>({
    ask: "start",
    upstream,
    directory: join(directory, "gateway"),
    issuer,
    estate,
  });
  if (!on.haproxy) return { variants: createVariants({ bare, gateway }) };
  const opponent = { directory: join(directory, "haproxy"), core: on.core, upstream, jwk: issuer.jwk };
  const { process: haproxy, port } = await startHaproxy(opponent);
  return { variants: createVariants({ bare, gateway, haproxy: port }), haproxy };
}

async function bench(options: Options): Promise<boolean> {
  const machine = describeMachine();
  const pinned = canPin(machine.cores);
  const directory = mkdtempSync(join(options.data, "sallyport-bench-gateway-"));
  const processes = startProcesses(pinned, options.profile);
  const haproxy = haproxyVersion();
  let started: Started | null = null;
  try {
    if (isInMemory(directory))
      throw new Error("the log would lie in memory, where nothing is durable: give --data a folder on a disk");
    const sync = measureSync(directory);
    const { estate } = options;
    started = await connectProcesses(processes, {
      directory,
      estate,
      core: pinned ? 0 : null,
      haproxy: haproxy !== null,
    });
    const rounds = await measureRounds({ ...options, ...processes, ...started });
    const summary = summarize({ machine, pinned, sync, rounds, haproxy });
    printReport(summary);
    return !options.enforce || summary.below.length === 0;
  } finally {
    await started?.haproxy?.stop();
    await Promise.all(Object.values(processes).map((one) => one.stop()));
    rmSync(directory, { recursive: true, force: true });
  }
}

try {
  const options = readOptions();
  if (options.help) process.stdout.write(usage);
  else process.exitCode = (await bench(options)) ? 0 : 1;
} catch (fault) {
  const isUse = fault instanceof RangeError || (fault instanceof TypeError && "code" in fault);
  process.stderr.write(`${fault instanceof Error ? fault.message : fault}\n${isUse ? usage : ""}`);
  process.exitCode = isUse ? 2 : 1;
}
