// Promises that a key ring of one (tenant, environment) has at most one active and one next key, and one of each per legacy algorithm that is wanted, and
// that no key signs before every live gateway knows it.
// Trusts the clock value, the acknowledged sequence and the rows it is given. Life cycle: docs/identity.md, docs/formats/join.md "Keys before first use".
import { type LegacyAlgorithm, legacyAlgorithms, type SigningAlgorithm } from "@sallyport/protocol/token/claims.ts";
import { isLegacyAlgorithm } from "@sallyport/protocol/token/jws.ts";

export type RingAlgorithm = SigningAlgorithm | LegacyAlgorithm;
export type RingState = "next" | "active" | "retiring" | "gone";

/** One key of the ring, without its private half. */
export interface RingEntry {
  /** RFC 7638 thumbprint. */
  readonly kid: string;
  readonly alg: RingAlgorithm;
  readonly jwk: Readonly<Record<string, string>>;
  readonly state: RingState;
  /** Ring sequence at which its public half entered the key stream. */
  readonly seq: number;
  /** Milliseconds since the epoch. */
  readonly activatedAt: number | null;
  /** Milliseconds since the epoch; set on retiring keys: the last token it signed is dead by then. */
  readonly verifiableUntil: number | null;
}

export type RingEvent =
  | { readonly kind: "tick" }
  | { readonly kind: "rotate" }
  | { readonly kind: "kill"; readonly kid: string };

export interface RingContext {
  /** Milliseconds since the epoch. */
  readonly now: number;
  /** The lowest ring sequence any live gateway has acknowledged; Infinity when no gateway lives. */
  readonly acknowledgedSeq: number;
  /** Longest life of a token plus the clock skew verifiers allow. */
  readonly retireAfterMs: number;
  /** What keys are made for from now on; a ring of another algorithm moves to it as a rotation does. */
  readonly alg: SigningAlgorithm;
  /** What some audience wants besides; keys of another one sign no more and retire. */
  readonly legacy: readonly LegacyAlgorithm[];
  /** Age at which the active key is rotated without being asked; Infinity switches that off. */
  readonly rotateEveryMs: number;
}

/** What the edge must write, in this order, in one transaction. */
export type RingStep =
  | { readonly kind: "create-next"; readonly alg: RingAlgorithm }
  | { readonly kind: "move"; readonly kid: string; readonly to: RingState; readonly verifiableUntil: number | null }
  | { readonly kind: "revoke"; readonly kid: string };

export type RingPlan =
  | { readonly kind: "plan"; readonly steps: readonly RingStep[] }
  /** The order cannot be followed yet or at all; nothing is written. */
  | { readonly kind: "refused"; readonly code: "next-not-acknowledged" | "unknown-kid"; readonly waitsForSeq: number };

/**
 * What has to happen to a ring now. Pure; a ring that is in order gives no steps. Keys of each legacy algorithm live by the rules of all, among themselves.
 * `rotate` is refused while a next key is not acknowledged by every live gateway; `kill` never waits.
 */
export function decideRing(ring: readonly RingEntry[], event: RingEvent, context: RingContext): RingPlan {
  const steps: RingStep[] = [];
  const victim = event.kind === "kill" ? ring.find(({ kid }) => kid === event.kid) : undefined;
  for (const slot of ["own", ...legacyAlgorithms] as const) {
    const entries = ring.filter(({ alg }) => slotOf(alg) === slot);
    if (event.kind === "kill") {
      if (slotOf(victim?.alg ?? context.alg) === slot)
        return decideKill(entries, event.kid, slotContext(slot, context));
      continue;
    }
    if (slot !== "own" && !context.legacy.includes(slot)) {
      steps.push(...windDown(entries, context));
      continue;
    }
    const plan = decideSlot(entries, event, slotContext(slot, context));
    if (plan.kind === "refused") return plan;
    steps.push(...plan.steps);
  }
  return { kind: "plan", steps };
}

type Slot = "own" | LegacyAlgorithm;
interface SlotContext extends Omit<RingContext, "alg" | "legacy"> {
  readonly alg: RingAlgorithm;
  /** Whether a key that goes is followed by another. */
  readonly isWanted: boolean;
}

function slotOf(alg: RingAlgorithm): Slot {
  return isLegacyAlgorithm(alg) ? alg : "own";
}

function slotContext(slot: Slot, context: RingContext): SlotContext {
  if (slot === "own") return { ...context, isWanted: true };
  return { ...context, alg: slot, isWanted: context.legacy.includes(slot) };
}

/** No audience wants this algorithm any more: what has signed stays to the end of its tokens, what has not goes at once. */
function windDown(ring: readonly RingEntry[], { now, retireAfterMs }: RingContext): RingStep[] {
  const ended = ring.flatMap(({ kid, state }): RingStep[] => {
    if (state === "next") return [{ kind: "move", kid, to: "gone", verifiableUntil: null }];
    return state === "active" ? [{ kind: "move", kid, to: "retiring", verifiableUntil: now + retireAfterMs }] : [];
  });
  return [...expire(ring, now), ...ended];
}

function decideSlot(
  ring: readonly RingEntry[],
  event: Exclude<RingEvent, { kind: "kill" }>,
  context: SlotContext,
): RingPlan {
  const active = ring.find((entry) => entry.state === "active");
  const next = ring.find((entry) => entry.state === "next");
  const wanted = next?.alg === context.alg ? next : undefined;
  if (event.kind === "rotate" && (wanted === undefined || wanted.seq > context.acknowledgedSeq)) {
    // A next key that is none, or is about to be replaced, has its sequence still to come.
    return { kind: "refused", code: "next-not-acknowledged", waitsForSeq: wanted?.seq ?? (next?.seq ?? 0) + 1 };
  }
  return { kind: "plan", steps: [...expire(ring, context.now), ...succeed(active, next, event, context)] };
}

function expire(ring: readonly RingEntry[], now: number): RingStep[] {
  return ring
    .filter((entry) => entry.state === "retiring" && entry.verifiableUntil !== null && entry.verifiableUntil <= now)
    .map((entry) => ({ kind: "move", kid: entry.kid, to: "gone", verifiableUntil: entry.verifiableUntil }));
}

function succeed(
  active: RingEntry | undefined,
  next: RingEntry | undefined,
  event: RingEvent,
  context: SlotContext,
): RingStep[] {
  const create: RingStep = { kind: "create-next", alg: context.alg };
  if (next === undefined) return [create];
  // It never signed anything, so it can go at once.
  if (next.alg !== context.alg) return [{ kind: "move", kid: next.kid, to: "gone", verifiableUntil: null }, create];
  if (next.seq > context.acknowledgedSeq) return [];
  if (active !== undefined && event.kind !== "rotate" && !isDue(active, context)) return [];
  const steps: RingStep[] = [];
  if (active !== undefined) {
    steps.push({ kind: "move", kid: active.kid, to: "retiring", verifiableUntil: context.now + context.retireAfterMs });
  }
  steps.push({ kind: "move", kid: next.kid, to: "active", verifiableUntil: null }, create);
  return steps;
}

function isDue(active: RingEntry, { now, rotateEveryMs, alg }: SlotContext): boolean {
  return active.alg !== alg || now - (active.activatedAt ?? now) >= rotateEveryMs;
}

function decideKill(ring: readonly RingEntry[], kid: string, context: SlotContext): RingPlan {
  const victim = ring.find((entry) => entry.kid === kid && entry.state !== "gone");
  if (victim === undefined) return { kind: "refused", code: "unknown-kid", waitsForSeq: 0 };
  const steps: RingStep[] = [
    { kind: "revoke", kid },
    { kind: "move", kid, to: "gone", verifiableUntil: victim.verifiableUntil },
  ];
  if (!context.isWanted) return { kind: "plan", steps };
  const create: RingStep = { kind: "create-next", alg: context.alg };
  const next = ring.find((entry) => entry.state === "next" && entry.kid !== kid);
  // Without an acknowledged successor nothing signs until a tick promotes one: no tokens is better than tokens nobody can verify.
  if (victim.state === "active" && next !== undefined && next.seq <= context.acknowledgedSeq) {
    steps.push({ kind: "move", kid: next.kid, to: "active", verifiableUntil: null }, create);
  }
  if (victim.state === "next") steps.push(create);
  return { kind: "plan", steps };
}
