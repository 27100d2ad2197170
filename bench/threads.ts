// Promises the processor time of a process by kind of thread, as the system counts it (in ticks of 10 ms).
// Trusts /proc of Linux; elsewhere there are no figures. Specified in proc(5), `/proc/pid/task/tid/stat`.
import { readdirSync, readFileSync } from "node:fs";

/** Milliseconds, user and system, by the name the thread has. */
export type ThreadTimes = ReadonlyMap<string, { readonly userMs: number; readonly systemMs: number }>;

/** USER_HZ of every Linux that Node runs on is 100. */
const msPerTick = 10;

/** What the threads of a process have used since they began; empty where the system does not say. */
export function threadTimes(pid: number): ThreadTimes {
  const times = new Map<string, { userMs: number; systemMs: number }>();
  for (const stat of filesOf(pid, "stat")) {
    const nameEnds = stat.lastIndexOf(")");
    const name = stat.slice(stat.indexOf("(") + 1, nameEnds);
    const fields = stat.slice(nameEnds + 2).split(" ");
    const held = times.get(name) ?? { userMs: 0, systemMs: 0 };
    held.userMs += Number(fields[11]) * msPerTick;
    held.systemMs += Number(fields[12]) * msPerTick;
    times.set(name, held);
  }
  return times;
}

/** Milliseconds all threads of a process have run, to the nanosecond; null where the system does not say. */
export function processMs(pid: number): number | null {
  const texts = filesOf(pid, "schedstat");
  return texts.length === 0 ? null : texts.reduce((sum, text) => sum + Number(text.split(" ")[0]) / 1e6, 0);
}

/** Microseconds per piece of work between two readings, by kind of thread, the busiest first, and their sum. */
export function usPerPiece(before: ThreadTimes, after: ThreadTimes, pieces: number): Record<string, number> {
  const rows = [...after].map(([name, { userMs, systemMs }]): [string, number] => {
    const held = before.get(name) ?? { userMs: 0, systemMs: 0 };
    return [name, ((userMs + systemMs - held.userMs - held.systemMs) * 1000) / Math.max(1, pieces)];
  });
  rows.sort(([, a], [, b]) => b - a);
  const all = rows.reduce((sum, [, us]) => sum + us, 0);
  return Object.fromEntries([["all", all] as const, ...rows].map(([name, us]) => [name, Math.round(us)]));
}

function filesOf(pid: number, name: "stat" | "schedstat"): string[] {
  try {
    return readdirSync(`/proc/${pid}/task`).map((thread) =>
      readFileSync(`/proc/${pid}/task/${thread}/${name}`, "latin1"),
    );
  } catch {
    // Another system, or a process that has just ended.
    return [];
  }
}
