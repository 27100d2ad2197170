// `npm run bench -- memory`: promises what `serve` in role all holds in memory when nobody calls, and how much a gateway's memory grows over a
// million crossings. Trusts the operating system's count of resident pages. Specified in RESULTS.md.
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { Installation } from "sallyport/installation.test-support.ts";
import { median, rounded } from "./figures.ts";
import { startProcess } from "./gateway/process.ts";
import type { Usage, WindowResult } from "./gateway/roles.ts";
import { createVariants } from "./gateway/variants.ts";
import { describeMachine } from "./machine.ts";

const usage = `usage: npm run bench -- memory [--quick] [--crossings n] [--enforce]

  --quick        60,000 crossings (default 1,000,000)
  --crossings n
  --enforce      exit 1 over 220 MB idle or 10 % of growth
`;
const floors = { idleMb: 220, growth: 0.1 };
const idleForMs = 8_000;
const megabyte = 1_048_576;

function residentMb(pid: number): number {
  const kilobytes = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "latin1"))?.[1];
  return (Number(kilobytes) * 1024) / megabyte;
}

async function measureIdle(): Promise<number> {
  const installation = await Installation.open();
  try {
    const { identity, channel, admin, gateway } = installation.ports;
    const args = [
      ...["--config", installation.estate, "--data", installation.data("all")],
      ...["--identity-listen", `127.0.0.1:${identity}`, "--channel-listen", `127.0.0.1:${channel}`],
      ...["--admin-listen", `127.0.0.1:${admin}`, "--listen", `public=127.0.0.1:${gateway}`],
    ];
    // As the launcher starts it: with a place for compiled code, which the first start fills.
    const start = () => installation.serve("all", args, { NODE_COMPILE_CACHE: installation.data("compile-cache") });
    const first = start();
    await first.line((line) => JSON.stringify(line).includes("ready"));
    await first.signal("SIGTERM");
    const all = start();
    await all.line((line) => JSON.stringify(line).includes("ready"));
    await new Promise((resolve) => setTimeout(resolve, idleForMs));
    return residentMb(all.pid);
  } finally {
    await installation.close();
  }
}

/**
 * Resident memory in the second tenth of the crossings and in the last one, the median of what was read there every two seconds: the young
 * generation of the runtime swells and shrinks by tens of megabytes, so that single readings compare two moments of it.
 */
async function measureGrowth(crossings: number): Promise<{ earlyMb: number; lateMb: number; crossings: number }> {
  const directory = mkdtempSync(join(tmpdir(), "sallyport-bench-memory-"));
  const [upstream, load, gateway] = ["upstream.ts", "load.ts", "measured-gateway.ts"].map((file) =>
    startProcess(file, { core: null }),
  );
  if (upstream === undefined || load === undefined || gateway === undefined)
    throw new Error("three programs were started");
  try {
    const port = await upstream.ask<number>({ ask: "port" });
    const issuer = await load.ask<object>({ ask: "issuer" });
    const at = await gateway.ask<number>({ ask: "start", upstream: port, directory, issuer });
    const target = createVariants({ bare: { plain: 0, verifying: 0 }, gateway: at }).find(
      ({ name }) => name === "gateway_get",
    )?.target;
    const durationMs = Math.min(2_000, crossings / 100);
    let done = 0;
    const readings: { readonly share: number; readonly mb: number }[] = [];
    while (done < crossings) {
      const window = { target, connections: 64, durationMs };
      await load.ask({ ask: "prepare", ...window });
      const result = await load.ask<WindowResult>({ ask: "run", ...window });
      if (result.errors > 0) throw new Error(result.firstError ?? "a crossing failed");
      done += result.answers;
      const { residentBytes } = await gateway.ask<Usage>({ ask: "usage" });
      readings.push({ share: done / crossings, mb: residentBytes / megabyte });
    }
    // On a fast machine one window may leap over the second tenth: then its end is what stands for it.
    const within = (from: number, to: number) => {
      const after = readings.filter(({ share }) => share >= from);
      return median(after.filter(({ share }, n) => n === 0 || share < to).map(({ mb }) => mb));
    };
    return { earlyMb: within(0.1, 0.2), lateMb: within(0.9, Number.POSITIVE_INFINITY), crossings: done };
  } finally {
    await Promise.all([upstream, load, gateway].map((one) => one.stop()));
    rmSync(directory, { recursive: true, force: true });
  }
}

async function bench(crossings: number): Promise<boolean> {
  const idleMb = await measureIdle();
  const grown = await measureGrowth(crossings);
  const growth = grown.lateMb / grown.earlyMb - 1;
  const figures = {
    machine: describeMachine(),
    all_idle_mb: rounded(idleMb, 0),
    crossings: grown.crossings,
    gateway_early_mb: rounded(grown.earlyMb, 0),
    gateway_late_mb: rounded(grown.lateMb, 0),
    growth: rounded(growth, 3),
  };
  process.stdout.write(
    `role all, idle: ${figures.all_idle_mb} MB (floor ${floors.idleMb}); growth from the second to the last tenth of ${grown.crossings} crossings: ` +
      `${rounded(growth * 100, 1)} % (floor ${floors.growth * 100} %)\n${JSON.stringify({ bench: "memory", figures })}\n`,
  );
  return idleMb <= floors.idleMb && growth <= floors.growth;
}

const { values } = parseArgs({
  options: {
    quick: { type: "boolean", default: false },
    crossings: { type: "string" },
    enforce: { type: "boolean", default: false },
    help: { type: "boolean", short: "h", default: false },
  },
});
if (values.help) process.stdout.write(usage);
else {
  const isGood = await bench(Number(values.crossings ?? (values.quick ? 60_000 : 1_000_000)));
  process.exitCode = values.enforce && !isGood ? 1 : 0;
}
