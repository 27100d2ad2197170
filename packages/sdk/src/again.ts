// Promises when something is tried again: as the answer asks, else after a pause that doubles and is drawn at random, and never once its caller has left.
// Trusts its caller to bound how often. Specified in docs/sdk.md; Retry-After: RFC 9110 §10.2.3, whole seconds as a gateway sends them.
import { setTimeout as sleep } from "node:timers/promises";

export interface AgainPorts {
  /** Milliseconds to wait; default: of this process, which it does not keep alive. Rejects when `signal` aborts. */
  readonly wait?: (ms: number, signal: AbortSignal | null) => Promise<void>;
  /** 0 to 1. */
  readonly random?: () => number;
}

const pauseMsMin = 200;
const pauseMsMax = 10_000;

/** `tried`: how often in a row, at least 1. `response`: null where there was none. */
export function pauseMs(response: Response | null, tried: number, random: () => number = Math.random): number {
  const asked = response?.headers.get("retry-after") ?? "";
  const jittered = random() * Math.min(pauseMsMax, pauseMsMin * 2 ** (tried - 1));
  // What everybody was told, nobody should do at the same moment.
  return /^\d{1,6}$/.test(asked) ? Number(asked) * 1_000 + jittered : jittered;
}

export async function waitFor(ms: number, signal: AbortSignal | null): Promise<void> {
  await sleep(ms, undefined, { ref: false, ...(signal === null ? {} : { signal }) });
}
