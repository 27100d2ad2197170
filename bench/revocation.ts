// `npm run bench -- revocation`: promises the time from an order to revoke until a gateway process refuses, for every kind of revocation, with 200 other
// subscribers of the channel beside it. Trusts the callers' answers. Specified in RESULTS.md.
import { parseArgs } from "node:util";
import { percentile, rounded } from "./figures.ts";
import { describeMachine } from "./machine.ts";
import { measureRevocation, type RevocationResult } from "./revocation/measure.ts";
import { revokedBy } from "./revocation/words.ts";

const usage = `usage: npm run bench -- revocation [--quick] [--rounds n] [--subscribers n] [--enforce]

  --quick          2 rounds of the six kinds (default 10)
  --rounds n       of each kind
  --subscribers n  beside the gateway (default 200)
  --enforce        exit 1 when the 99th percentile is 1 s or more
`;
const floorMs = 1_000;
const defaults = { rounds: 10, quickRounds: 2, subscribers: 200 };

function figuresOf({ rounds, subscribers, wrong }: RevocationResult) {
  const times = (of: readonly { readonly refusedMs: number | null }[]) =>
    of.map(({ refusedMs }) => refusedMs ?? Number.POSITIVE_INFINITY);
  const summary = (values: readonly number[]) => ({
    p50_ms: rounded(percentile(values, 0.5), 1),
    p99_ms: rounded(percentile(values, 0.99), 1),
    max_ms: rounded(Math.max(...values), 1),
  });
  return {
    machine: describeMachine(),
    subscribers: subscribers.subscribers,
    subscriber_faults: subscribers.faults,
    revocations: rounds.length,
    ...summary(times(rounds)),
    by: Object.fromEntries(revokedBy.map((by) => [by, summary(times(rounds.filter((one) => one.by === by)))])),
    every_subscriber: summary(rounds.map(({ everywhereMs }) => everywhereMs)),
    wrong,
  };
}

async function bench(run: { readonly subscribers: number; readonly rounds: number }): Promise<{
  readonly isSound: boolean;
  readonly isFast: boolean;
}> {
  const figures = figuresOf(await measureRevocation(run));
  process.stdout.write(
    `${figures.revocations} revocations beside ${figures.subscribers} subscribers: p50 ${figures.p50_ms} ms, p99 ${figures.p99_ms} ms ` +
      `(floor ${floorMs} ms), ${figures.wrong.length} wrong answers\n${JSON.stringify({ bench: "revocation", figures })}\n`,
  );
  return { isSound: figures.wrong.length === 0, isFast: figures.p99_ms < floorMs };
}

const { values } = parseArgs({
  options: {
    quick: { type: "boolean", default: false },
    rounds: { type: "string" },
    subscribers: { type: "string", default: String(defaults.subscribers) },
    enforce: { type: "boolean", default: false },
    help: { type: "boolean", short: "h", default: false },
  },
});
const rounds = Number(values.rounds ?? (values.quick ? defaults.quickRounds : defaults.rounds));
const subscribers = Number(values.subscribers);
if (values.help) process.stdout.write(usage);
else if (!(Number.isSafeInteger(rounds) && rounds > 0 && Number.isSafeInteger(subscribers) && subscribers > 0)) {
  process.stderr.write(usage);
  process.exitCode = 2;
} else {
  const { isSound, isFast } = await bench({ rounds, subscribers });
  // A wrong answer makes the figures worthless, whatever they are.
  process.exitCode = isSound && (isFast || !values.enforce) ? 0 : 1;
}
