// Promises what a gateway holds in memory over many crossings, and then while hostile clients hold on to it in every way that is cheap for them: good
// callers are all answered meanwhile, and each hostile connection ends as the page says. Specified in docs/control.md "Soaks".
import { defaultListenBounds } from "@sallyport/gateway/listen/bounds.ts";
import type { ListenBounds } from "@sallyport/gateway/ports.ts";
import { median, rounded } from "./figures.ts";
import {
  type CrossedGateway,
  type Growth,
  measureGrowth,
  type Reading,
  tenthsOf,
  withCrossedGateway,
} from "./gateway/growth.ts";
import { startProcess } from "./gateway/process.ts";
import { type HostileEnds, type HostileKind, hostileKinds } from "./gateway/roles.ts";
import type { SoakOptions } from "./soak-installation.ts";

export interface GatewayFigures {
  readonly soak: "gateway";
  readonly crossings: number;
  readonly earlyMb: number;
  readonly lateMb: number;
  readonly growth: number;
  /** Lowest and highest reading in each tenth of the crossings. */
  readonly tenthsMb: Growth["tenthsMb"];
  /** While the hostile clients were there. */
  readonly attacked: {
    readonly seconds: number;
    readonly connections: number;
    readonly crossings: number;
    readonly failed: number;
    readonly firstFailure: string | null;
    /** Median of the second half of that time. */
    readonly mb: number;
    /** Lowest and highest reading in each tenth of that time: whether it goes on growing. */
    readonly tenthsMb: Growth["tenthsMb"];
    readonly p99Ms: number;
    readonly p99BeforeMs: number;
  };
  readonly hostile: Readonly<Record<string, HostileEnds>>;
  /** What did not hold. */
  readonly broken: readonly string[];
  readonly ok: boolean;
}

const crossingsOfSoak = 1_000_000;
const renewMs = 60_000;
/** How a connection of each kind may end; what is held when the clients stop is not too old, which is looked at apart. */
const endsOf: Readonly<Record<HostileKind, readonly string[]>> = {
  "slow-head": ["408", "held"],
  "slow-body": ["408", "held"],
  "slow-read": ["closed", "held"],
  // The answer is lost where the rest of the head comes after it: the connection is reset then.
  "huge-head": ["431", "closed", "held"],
};
/** Beyond the bound, for a machine that is busy. */
const lateMs = 10_000;
const growthMax = 0.1;

export interface GatewaySoak extends SoakOptions {
  /** Of the listener; absent: its own. */
  readonly bounds?: Partial<ListenBounds>;
  readonly each?: number;
}

export function runGateway({ minutes, rounds, bounds, each = 64 }: GatewaySoak): Promise<GatewayFigures> {
  return withCrossedGateway(bounds ?? null, async (crossed) => {
    const grown = await measureGrowth(crossed, rounds ?? crossingsOfSoak);
    const attacked = await attack(crossed, { minutes, each });
    const broken = judge({ grown, attacked, bounds: { ...defaultListenBounds, ...bounds } });
    const { mb, hostile, ...rest } = attacked;
    return {
      soak: "gateway",
      crossings: grown.crossings,
      earlyMb: rounded(grown.earlyMb, 0),
      lateMb: rounded(grown.lateMb, 0),
      growth: rounded(grown.lateMb / grown.earlyMb - 1, 3),
      tenthsMb: grown.tenthsMb,
      attacked: { ...rest, mb: rounded(mb, 0) },
      hostile,
      broken,
      ok: broken.length === 0,
    };
  });
}

type Attacked = GatewayFigures["attacked"] & { readonly hostile: Readonly<Record<string, HostileEnds>> };

async function attack(
  { port, load, cross }: CrossedGateway,
  on: { readonly minutes: number; readonly each: number },
): Promise<Attacked> {
  const before: number[] = [];
  await cross(1_000, ({ p99Ms }) => before.push(p99Ms) < 5);
  const clients = startProcess("hostile-clients.ts", { core: null });
  const token = () => load.ask<string>({ ask: "bearer" });
  try {
    await clients.ask({ ask: "begin", port, token: await token(), kinds: hostileKinds, each: on.each });
    const beganAt = performance.now();
    const endMs = beganAt + on.minutes * 60_000;
    const [sizes, tails]: [number[], number[]] = [[], []];
    const readings: Reading[] = [];
    let [crossings, failed, renewedAt] = [0, 0, beganAt];
    let firstFailure: string | null = null;
    while (performance.now() < endMs) {
      if (performance.now() - renewedAt > renewMs) {
        renewedAt = performance.now();
        await clients.ask({ ask: "renew", token: await token() });
      }
      await cross(1_000, (window) => {
        crossings += window.answers;
        failed += window.errors;
        firstFailure ??= window.firstError;
        sizes.push(window.residentMb);
        readings.push({ share: (performance.now() - beganAt) / (endMs - beganAt), mb: window.residentMb });
        tails.push(window.p99Ms);
        return false;
      });
    }
    return {
      seconds: rounded((performance.now() - beganAt) / 1_000, 1),
      connections: on.each * hostileKinds.length,
      ...{ crossings, failed, firstFailure },
      mb: median(sizes.slice(Math.floor(sizes.length / 2))),
      tenthsMb: tenthsOf(readings),
      p99Ms: rounded(median(tails), 1),
      p99BeforeMs: rounded(median(before), 1),
      hostile: await clients.ask({ ask: "stop" }),
    };
  } finally {
    await clients.stop();
  }
}

/** What did not hold, in words. Pure. */
export function judge(on: {
  readonly grown: Growth;
  readonly attacked: Attacked;
  readonly bounds: ListenBounds;
}): readonly string[] {
  const { grown, attacked, bounds } = on;
  const broken: string[] = [];
  const growth = grown.lateMb / grown.earlyMb - 1;
  if (growth > growthMax) broken.push(`memory grew by ${rounded(growth * 100, 1)} % over ${grown.crossings} crossings`);
  const more = attacked.mb / grown.lateMb - 1;
  if (more > growthMax) broken.push(`memory grew by ${rounded(more * 100, 1)} % under hostile clients`);
  if (attacked.failed > 0) broken.push(`${attacked.failed} good requests failed: ${attacked.firstFailure}`);
  if (attacked.crossings === 0) broken.push("no good request was answered");
  const longest: Readonly<Record<HostileKind, number>> = {
    "slow-head": bounds.headersTimeoutMs,
    "slow-body": bounds.requestTimeoutMs,
    "slow-read": bounds.requestTimeoutMs + bounds.keepAliveTimeoutMs,
    "huge-head": bounds.headersTimeoutMs,
  };
  for (const kind of hostileKinds) {
    const { opened = 0, ends = {}, longestMs = 0 } = attacked.hostile[kind] ?? {};
    if (opened === 0) broken.push(`no ${kind} client came`);
    for (const [end, count] of Object.entries(ends))
      if (!endsOf[kind].includes(end)) broken.push(`${count} connections of ${kind} ended with ${end}`);
    if (longestMs > longest[kind] + lateMs) broken.push(`a ${kind} client held on for ${Math.round(longestMs)} ms`);
  }
  return broken;
}
