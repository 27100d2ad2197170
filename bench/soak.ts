// Promises long checks that end in one JSON line and exit 1 when they do not hold: `npm run soak -- <name> --seed N --minutes M [--rounds R]`.
// Trusts each check to judge itself by what callers saw. Specified in docs/control.md "Soaks".
import { randomInt } from "node:crypto";
import { parseArgs } from "node:util";
import { runPairs } from "@sallyport/gateway/smuggling-pairs.test-support.ts";
import { runCrashes } from "@sallyport/kernel/log/crashes.ts";
import { runKills } from "@sallyport/kernel/log/kills.test-support.ts";
import { runDifferential } from "@sallyport/kernel/policy/differential.test-support.ts";
import { runChaos } from "./soak-chaos.ts";
import { runGateway } from "./soak-gateway.ts";
import { runHammer } from "./soak-hammer.ts";
import { runHedging } from "./soak-hedging.ts";
import { runHttp1 } from "./soak-http1.ts";
import { runIdempotency } from "./soak-idempotency.ts";
import type { SoakOptions } from "./soak-installation.ts";
import { runKeys } from "./soak-keys.ts";
import { runRevocation } from "./soak-revocation.ts";
import { runSwaps } from "./soak-swaps.ts";

const crashSeedsPerMinute = 600;
const killsPerMinute = 120;
const pairsPerMinute = 60_000;
const streamsPerMinute = 600;

interface Soak {
  /** What it shows, for the usage. */
  readonly what: string;
  readonly run: (options: SoakOptions) => Promise<{ readonly ok: boolean }>;
}

const soaks: Readonly<Record<string, Soak>> = {
  swaps: { what: "requests that fail while the configuration changes 1,000 times under load", run: runSwaps },
  revocation: { what: "milliseconds from an operator's order to the first refused request", run: runRevocation },
  keys: { what: "every answer explained while signing keys rotate under load and one is killed", run: runKeys },
  hammer: { what: "16 writers at the log, and a reader who proves what was acknowledged", run: runHammer },
  chaos: { what: "what callers see while providers die, hang, cut and refuse; --rounds: ms a window", run: runChaos },
  hedging: { what: "what second attempts spare callers and cost providers; --rounds: ms a window", run: runHedging },
  gateway: { what: "memory over a million crossings (--rounds), then under hostile clients", run: runGateway },
  idempotency: { what: "effects with a key while their gateway is killed; --rounds: kills", run: runIdempotency },
  http1: { what: "bent requests and answers, read by us and by Node; --rounds: streams of each", run: runHttp1 },
  crashes: {
    what: "records lost over crashes of a seeded disk that drops what was not synced; --rounds: crashes",
    run: async ({ seed, minutes, rounds }) => {
      const report = runCrashes({ seeds: rounds ?? Math.ceil(minutes * crashSeedsPerMinute), from: seed });
      return { soak: "crashes", ...report, ok: report.lost === 0 && report.failures.length === 0 };
    },
  },
  policies: {
    what: "compiled policies beside Cedar's own evaluator; --rounds: pairs of a set and a request",
    run: async ({ seed, minutes, rounds }) => {
      const report = runDifferential({ seed, pairs: rounds ?? Math.ceil(minutes * pairsPerMinute), requestsOfSet: 50 });
      return { soak: "policies", ...report, ok: report.differences.length === 0 };
    },
  },
  smuggling: {
    what: "connections through a gateway to node:http and nginx, read alike or refused; --rounds: connections",
    run: async ({ seed, minutes, rounds }) => {
      const report = await runPairs({ seed, count: rounds ?? Math.ceil(minutes * streamsPerMinute) });
      return { soak: "smuggling", seed, ...report, ok: report.differences.length === 0 };
    },
  },
  kills: {
    what: "acknowledged records lost over kill -9 of a process that appends; --rounds: kills",
    run: async ({ seed, minutes, rounds }) => {
      const report = await runKills({ kills: rounds ?? Math.ceil(minutes * killsPerMinute), seed });
      return { soak: "kills", ...report, ok: report.lost === 0 && report.failures.length === 0 };
    },
  },
};

const usage = `usage: npm run soak -- <name> [--seed N] [--minutes M] [--rounds R]

${Object.entries(soaks)
  .map(([name, { what }]) => `  ${name.padEnd(12)} ${what}`)
  .join("\n")}

  --seed N       what is random goes by it (default: any)
  --minutes M    how long, or how much work (default 5)
  --rounds R     how much work instead, in the unit of the soak

The last line is one JSON object; exit 1 when its \`ok\` is false. What each shows and when it holds: docs/control.md "Soaks".
`;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    seed: { type: "string", default: String(randomInt(1_000_000)) },
    minutes: { type: "string", default: "5" },
    rounds: { type: "string" },
    help: { type: "boolean", short: "h", default: false },
  },
});
const [name = ""] = positionals;
const soak = Object.hasOwn(soaks, name) ? soaks[name] : undefined;
const [seed, minutes, rounds] = [values.seed, values.minutes, values.rounds].map(Number);
if (values.help) process.stdout.write(usage);
else if (soak === undefined || !Number.isSafeInteger(seed) || !(Number(minutes) > 0)) {
  process.stderr.write(usage);
  process.exitCode = 2;
} else {
  const report = await soak.run({
    seed: seed ?? 0,
    minutes: minutes ?? 0,
    rounds: values.rounds === undefined ? null : (rounds ?? 0),
  });
  process.stdout.write(`${JSON.stringify(report)}\n`);
  process.exitCode = report.ok ? 0 : 1;
}
