// Promises what one record adds to the figures of its edge, at three steps of time. Pure. Trusts the origin for the environment, not the leaf.
// Specified in docs/audit-edges.md.
import type { Leaf } from "@sallyport/protocol/audit/leaf.ts";
import type { OriginPlace } from "../search/record-terms.ts";
import { bucketCount, bucketOf } from "./latency.ts";

export const edgeSteps = ["minute", "hour", "day"] as const;
export type EdgeStep = (typeof edgeSteps)[number];
export const stepMs: Readonly<Record<EdgeStep, number>> = { minute: 60_000, hour: 3_600_000, day: 86_400_000 };
/** How long figures of each step are kept. */
export const keepStepMs: Readonly<Record<EdgeStep, number>> = {
  minute: 2 * 86_400_000,
  hour: 60 * 86_400_000,
  day: 800 * 86_400_000,
};
/** A clock may be ahead by so much. */
const aheadMsMax = 5 * 60_000;

export interface EdgeKey {
  readonly environment: string;
  /** Empty: none was found. */
  readonly integration: string;
  readonly operation: string;
  readonly outcome: string;
}

export interface Figures {
  count: number;
  bytesIn: number;
  bytesOut: number;
  readonly latency: Float64Array;
}

export const noFigures = (): Figures => ({ count: 0, bytesIn: 0, bytesOut: 0, latency: new Float64Array(bucketCount) });

export function addFigures(to: Figures, { count, bytesIn, bytesOut, latency }: Figures): void {
  to.count += count;
  to.bytesIn += bytesIn;
  to.bytesOut += bytesOut;
  for (let n = 0; n < bucketCount; n++) to.latency[n] = (to.latency[n] ?? 0) + (latency[n] ?? 0);
}

/** What a leaf adds to the figures of its edge. */
export interface Counted {
  readonly key: EdgeKey;
  readonly at: number;
  readonly count: number;
  readonly bytesIn: number;
  readonly bytesOut: number;
  /** Microseconds from receipt to the end; null: it is not known. */
  readonly totalUs: number | null;
}

export function addCounted(to: Figures, { count, bytesIn, bytesOut, totalUs }: Counted): void {
  to.count += count;
  to.bytesIn += bytesIn;
  to.bytesOut += bytesOut;
  if (totalUs === null) return;
  const bucket = bucketOf(totalUs);
  to.latency[bucket] = (to.latency[bucket] ?? 0) + 1;
}

/** What a leaf adds; null: it ends no crossing. `intent` says of an outcome whose it was. */
export function countLeaf(leaf: Leaf, intent: Leaf | null, place: OriginPlace): Counted | null {
  // Only gateways have crossings, and only those of their own environment.
  if (place.role === "control" || (place.role === "gateway" && leaf.environment !== place.environment)) return null;
  const { environment } = leaf;
  if (leaf.t === "denials") {
    const key = { environment, integration: "", operation: "", outcome: "denied" };
    return { key, at: leaf.at, count: leaf.count, bytesIn: 0, bytesOut: 0, totalUs: null };
  }
  if (leaf.t !== "crossing" && leaf.t !== "outcome") return null;
  const decided = leaf.t === "crossing" ? leaf : intent?.t === "intent" ? intent : null;
  const key = {
    environment,
    integration: decided?.integration ?? "",
    operation: decided?.operation ?? "",
    outcome: leaf.outcome,
  };
  return { key, at: leaf.at, count: 1, bytesIn: leaf.bytesIn, bytesOut: leaf.bytesOut, totalUs: leaf.totalUs };
}

/** Whether it is kept at any step: neither of the future, nor older than days are kept. */
export const isCountable = (at: number, now: number): boolean => at <= now + aheadMsMax && at >= now - keepStepMs.day;

/** Start of the step that a minute falls into, by its start; null: too old to be kept at this step. */
export function stepOf(minute: number, step: EdgeStep, now: number): number | null {
  if (minute + stepMs.minute <= now - keepStepMs[step]) return null;
  return Math.floor(minute / stepMs[step]) * stepMs[step];
}
