// Promises that what a start left behind in memory is given back once, in a quiet moment, and never while there is work to do: collecting stops
// the main thread for some hundred milliseconds. Trusts the runtime to say how busy its event loop was. Described in docs/cli/serve.md.
import { Session } from "node:inspector/promises";
import { type EventLoopUtilization, performance } from "node:perf_hooks";

/** So long the event loop must have been quiet. */
const quietMs = 1_000;
/** Share of that time, 0 to 1, which counts as quiet. */
const quietShareMax = 0.05;
/** Looks for a quiet moment; after these the garbage of the start has long been collected with that of the work. */
const looksMax = 60;

export interface SettlePorts {
  /** Share of the time since the former call in which the event loop worked, 0 to 1. */
  utilization(): number;
  /** Resolves after that many milliseconds, false: stopped meanwhile. */
  pause(ms: number): Promise<boolean>;
  /** Collects all garbage of this thread and gives the memory back. */
  collect(): Promise<void>;
}

/** True: collected; false: stopped, or there was no quiet moment. Never rejects for want of memory to give back. */
export async function settleMemory({ utilization, pause, collect }: SettlePorts): Promise<boolean> {
  utilization();
  for (let look = 0; look < looksMax; look++) {
    if (!(await pause(quietMs))) return false;
    if (utilization() > quietShareMax) continue;
    await collect();
    return true;
  }
  return false;
}

/** The ports of this process; its pauses keep nothing alive and end with the signal. */
export function settlePorts(signal: AbortSignal): SettlePorts {
  let before: EventLoopUtilization | undefined;
  return {
    utilization() {
      const now = performance.eventLoopUtilization();
      const { utilization } = before === undefined ? now : performance.eventLoopUtilization(now, before);
      before = now;
      return utilization;
    },
    pause: (ms) =>
      new Promise((resolve) => {
        if (signal.aborted) return resolve(false);
        const stopped = () => resolve(false);
        signal.addEventListener("abort", stopped, { once: true });
        setTimeout(() => {
          signal.removeEventListener("abort", stopped);
          resolve(true);
        }, ms).unref();
      }),
    async collect() {
      const session = new Session();
      session.connect();
      try {
        await session.post("HeapProfiler.collectGarbage");
      } finally {
        session.disconnect();
      }
    },
  };
}
