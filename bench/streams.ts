// `npm run bench -- streams`: promises the time from a revocation that reached a gateway until each of a thousand WebSockets has its Close, what a new
// snapshot costs them that changes nothing, and how long anything else waited meanwhile. Trusts the callers' own sockets. Specified in RESULTS.md.
// Gateway, provider and callers share one process here: what callers cost is in the figures.
import { monitorEventLoopDelay } from "node:perf_hooks";
import { parseArgs } from "node:util";
import {
  openWebSocketBench,
  type RawEnd,
  type WebSocketBench,
} from "../packages/gateway/src/testing/websocket-bench.ts";
import { percentile, rounded } from "./figures.ts";
import { describeMachine } from "./machine.ts";

const usage = `usage: npm run bench -- streams [--streams n] [--others n] [--enforce]

  --streams n  WebSockets of the client that is revoked (default 1000)
  --others n   of another client, which must go on (default 200)
  --enforce    exit 1 when the 99th percentile is 1 s or more, or one too many or too few was closed
`;
const floorMs = 1_000;
const atOnce = 50;

const { values } = parseArgs({
  options: {
    streams: { type: "string", default: "1000" },
    others: { type: "string", default: "200" },
    enforce: { type: "boolean", default: false },
    help: { type: "boolean", short: "h", default: false },
  },
});
if (values.help) {
  process.stdout.write(usage);
  process.exit(0);
}

type Who = WebSocketBench["orders"];

async function openAll(bench: WebSocketBench, who: Who, count: number): Promise<RawEnd[]> {
  const ends: RawEnd[] = [];
  for (let i = 0; i < count; i += atOnce) {
    const some = Array.from({ length: Math.min(atOnce, count - i) }, () => bench.open({ who }));
    ends.push(...(await Promise.all(some)));
  }
  return ends;
}

/** The longest turn of the event loop while `act` runs; that of an idle loop says what the clock itself measures. */
async function longestWait(act: () => Promise<void>): Promise<number> {
  const delay = monitorEventLoopDelay({ resolution: 1 });
  delay.enable();
  await act();
  delay.disable();
  return rounded(delay.max / 1e6, 1);
}

const pause = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));

/** Milliseconds until each has its Close, and what that cost all three parts together. */
async function revoke(bench: WebSocketBench, ends: readonly RawEnd[]) {
  const startedMs = performance.now();
  const times = ends.map(
    (end) =>
      new Promise<number>((resolve) => {
        end.socket.once("data", () => resolve(performance.now() - startedMs));
      }),
  );
  const before = process.cpuUsage();
  bench.bed.feed.revoke("client", "orders");
  const closed = await Promise.all(times);
  const { user, system } = process.cpuUsage(before);
  return { closed, cpuMs: rounded((user + system) / 1e3, 0) };
}

async function measure(streams: number, others: number) {
  const bench = await openWebSocketBench();
  const going = await openAll(bench, bench.portal, others);
  const revoked = await openAll(bench, bench.orders, streams);
  const idle = await longestWait(() => pause(1_000));
  const snapshot = await longestWait(async () => {
    await bench.publish();
    await pause(2_000);
  });
  const openBefore = [...revoked, ...going].filter((end) => !end.isClosed).length;
  let result: Awaited<ReturnType<typeof revoke>> = { closed: [], cpuMs: 0 };
  const revocation = await longestWait(async () => {
    result = await revoke(bench, revoked);
  });
  const reasons = await Promise.all(revoked.map((end) => end.close()));
  const wrong =
    reasons.filter(([code, reason]) => code !== 1008 || reason !== "unauthenticated").length +
    going.filter((end) => end.isClosed || end.frames().length > 0).length +
    (streams + others - openBefore);
  await bench.close();
  const { closed, cpuMs } = result;
  return {
    machine: describeMachine(),
    streams,
    others,
    p50_ms: rounded(percentile(closed, 0.5), 1),
    p99_ms: rounded(percentile(closed, 0.99), 1),
    max_ms: rounded(Math.max(...closed), 1),
    cpu_ms: cpuMs,
    longest_wait_ms: { idle, snapshot, revocation },
    wrong,
  };
}

const figures = await measure(Number(values.streams), Number(values.others));
process.stdout.write(
  `${figures.streams} WebSockets closed after one revocation: p50 ${figures.p50_ms} ms, p99 ${figures.p99_ms} ms (floor ${floorMs} ms), ` +
    `${figures.wrong} wrong\n${JSON.stringify({ bench: "streams", figures })}\n`,
);
if (values.enforce && (figures.p99_ms >= floorMs || figures.wrong > 0)) process.exit(1);
