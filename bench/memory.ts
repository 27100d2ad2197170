// `npm run bench -- memory`: promises what `serve` in role all holds in memory when nobody calls, and how much a gateway's memory grows over a
// million crossings. Trusts the operating system's count of resident pages. Specified in RESULTS.md.
import { readFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { Installation } from "sallyport/installation.test-support.ts";
import { rounded } from "./figures.ts";
import { measureGrowth, withCrossedGateway } from "./gateway/growth.ts";
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

async function bench(crossings: number): Promise<boolean> {
  const idleMb = await measureIdle();
  const grown = await withCrossedGateway(null, (crossed) => measureGrowth(crossed, crossings));
  const growth = grown.lateMb / grown.earlyMb - 1;
  const figures = {
    machine: describeMachine(),
    all_idle_mb: rounded(idleMb, 0),
    crossings: grown.crossings,
    gateway_early_mb: rounded(grown.earlyMb, 0),
    gateway_late_mb: rounded(grown.lateMb, 0),
    growth: rounded(growth, 3),
    tenths_mb: grown.tenthsMb,
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
