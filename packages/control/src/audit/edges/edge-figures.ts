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

export interface Counted {
  readonly key: EdgeKey;
  readonly at: number;
  readonly figures: Figures;
}

/** What a leaf adds; null: it ends no crossing. `intent` says of an outcome whose it was. */
export function countLeaf(leaf: Leaf, intent: Leaf | null, place: OriginPlace): Counted | null {
  // Only gateways have crossings, and only those of their own environment.
  if (place.role === "control" || (place.role === "gateway" && leaf.environment !== place.environment)) return null;
  const { environment } = leaf;
  const figures = noFigures();
  if (leaf.t === "denials") {
    figures.count = leaf.count;
    return { key: { environment, integration: "", operation: "", outcome: "denied" }, at: leaf.at, figures };
  }
  if (leaf.t !== "crossing" && leaf.t !== "outcome") return null;
  const decided = leaf.t === "crossing" ? leaf : intent?.t === "intent" ? intent : null;
  figures.count = 1;
  figures.bytesIn = leaf.bytesIn;
  figures.bytesOut = leaf.bytesOut;
  figures.latency[bucketOf(leaf.totalUs)] = 1;
  const key = {
    environment,
    integration: decided?.integration ?? "",
    operation: decided?.operation ?? "",
    outcome: leaf.outcome,
  };
  return { key, at: leaf.at, figures };
}

/** Start of the step it falls into; null: too old to be kept at this step, or of the future. */
export function stepOf(at: number, step: EdgeStep, now: number): number | null {
  if (at > now + aheadMsMax || at < now - keepStepMs[step]) return null;
  return Math.floor(at / stepMs[step]) * stepMs[step];
}
