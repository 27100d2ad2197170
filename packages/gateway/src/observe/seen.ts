// Promises how often something alike was seen, by UTC day, since when, and which crossings were the newest. Pure. Trusts its caller for times.
// Specified in docs/observe.md.
import { observedExamplesMax } from "@sallyport/protocol/channel/messages.ts";

const dayMs = 86_400_000;
/** Days counted apart; what is older counts as one. */
const daysMax = 40;

export interface Seen {
  firstMs: number;
  lastMs: number;
  /** Newest first. */
  examples: string[];
  /** UTC day -> crossings. */
  days: [number, number][];
  older: number;
}

export function unseen(nowMs: number): Seen {
  return { firstMs: nowMs, lastMs: nowMs, examples: [], days: [], older: 0 };
}

export function see(seen: Seen, { id, nowMs }: { readonly id: string; readonly nowMs: number }): void {
  seen.lastMs = nowMs;
  seen.examples = [id, ...seen.examples.slice(0, observedExamplesMax - 1)];
  const day = Math.floor(nowMs / dayMs);
  const last = seen.days.at(-1);
  if (last?.[0] === day) last[1]++;
  else seen.days.push([day, 1]);
  if (seen.days.length > daysMax) seen.older += seen.days.shift()?.[1] ?? 0;
}

/** The start of the UTC day of that instant. */
export function dayOf(ms: number): number {
  return Math.floor(ms / dayMs) * dayMs;
}

/** Of whole UTC days, that of `sinceMs` among them. */
export function countSince({ days, older }: Pick<Seen, "days" | "older">, sinceMs: number): number {
  const sinceDay = Math.floor(sinceMs / dayMs);
  const oldest = days[0]?.[0] ?? 0;
  const recent = days.reduce((sum, [day, count]) => (day >= sinceDay ? sum + count : sum), 0);
  // Days that count as one are all counted where the oldest of the others is wanted.
  return oldest >= sinceDay ? recent + older : recent;
}
