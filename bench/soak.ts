// Promises long checks that end in one JSON line and exit 1 when they do not hold: `npm run soak -- <name> --seed N --minutes M [--rounds R]`.
// Trusts each check to judge itself by what callers saw. Specified in docs/control.md "Soaks".
import { randomInt } from "node:crypto";
import { parseArgs } from "node:util";
import { runCrashes } from "@sallyport/kernel/log/crashes.ts";
import { runKills } from "@sallyport/kernel/log/kills.test-support.ts";
import { runHammer } from "./soak-hammer.ts";
import type { SoakOptions } from "./soak-installation.ts";
import { runKeys } from "./soak-keys.ts";
import { runRevocation } from "./soak-revocation.ts";
import { runSwaps } from "./soak-swaps.ts";

const crashSeedsPerMinute = 600;
const killsPerMinute = 120;

const soaks: Readonly<Record<string, (options: SoakOptions) => Promise<{ readonly ok: boolean }>>> = {
  swaps: runSwaps,
  revocation: runRevocation,
  keys: runKeys,
  hammer: runHammer,
  crashes: async ({ seed, minutes, rounds }) => {
    const report = runCrashes({ seeds: rounds ?? Math.ceil(minutes * crashSeedsPerMinute), from: seed });
    return { soak: "crashes", ...report, ok: report.lost === 0 && report.failures.length === 0 };
  },
  kills: async ({ seed, minutes, rounds }) => {
    const report = await runKills({ kills: rounds ?? Math.ceil(minutes * killsPerMinute), seed });
    return { soak: "kills", ...report, ok: report.lost === 0 && report.failures.length === 0 };
  },
};

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    seed: { type: "string", default: String(randomInt(1_000_000)) },
    minutes: { type: "string", default: "5" },
    rounds: { type: "string" },
  },
});
const [name = ""] = positionals;
const soak = soaks[name];
const [seed, minutes, rounds] = [values.seed, values.minutes, values.rounds].map(Number);
if (soak === undefined || !Number.isSafeInteger(seed) || !(Number(minutes) > 0)) {
  process.stderr.write(
    `usage: npm run soak -- <name> [--seed N] [--minutes M] [--rounds R]\nnames: ${Object.keys(soaks).join(", ")}\n`,
  );
  process.exitCode = 2;
} else {
  const report = await soak({
    seed: seed ?? 0,
    minutes: minutes ?? 0,
    rounds: values.rounds === undefined ? null : (rounds ?? 0),
  });
  process.stdout.write(`${JSON.stringify(report)}\n`);
  process.exitCode = report.ok ? 0 : 1;
}
