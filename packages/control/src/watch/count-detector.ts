// Promises a signal when something happens to one subject so many times within a time, and one for each further time until it has been quiet for as long.
// Trusts the records' own times, which differ a little between nodes. Bounded in subjects and in what is kept of each. Described in docs/findings.md "Rules".
import type { Leaf } from "@sallyport/protocol/audit/leaf.ts";
import type { Detector, Evidence, Signal, Subject, WatchedRecord } from "./detector.ts";

/** Subjects counted at once; beyond, the one heard of least recently is forgotten. */
const subjectsMax = 4_096;

/** What one record says to a rule. */
export interface Match {
  readonly subject: Subject;
  /** The reason code of the record. */
  readonly code: string;
  /** How many times at once: a counted leaf stands for many. */
  readonly count: number;
}

export interface CountRule extends Pick<Detector<unknown>, "id" | "version" | "describe" | "severity"> {
  readonly match: (leaf: Leaf) => Match | null;
  /** Times within `windowMs` that give the first signal; at most 64. */
  readonly threshold: number;
  readonly windowMs: number;
}

interface Seen extends Evidence {
  readonly at: number;
  readonly count: number;
}

interface Counted {
  seen: readonly Seen[];
  /** When it last gave a signal; null: not since it was quiet. */
  firedAt: number | null;
}

/** By `<tenant>/<environment>/<kind>/<name>`, the one heard of last at the end. */
type Counts = Map<string, Counted>;

export function countDetector(rule: CountRule): Detector<Counts> {
  const { id, version, describe, severity } = rule;
  return {
    ...{ id, version, describe, severity, act: "notify" },
    init: () => new Map(),
    step: (counts, record) => step(rule, counts, record),
    save: (counts) => JSON.stringify([...counts]),
    load,
  };
}

function step(rule: CountRule, counts: Counts, record: WatchedRecord): readonly Signal[] {
  const { leaf, origin, index } = record;
  const match = rule.match(leaf);
  if (match === null) return [];
  const { tenant, environment, at } = leaf;
  const { subject, count } = match;
  const key = `${tenant}/${environment}/${subject.kind}/${subject.name}`;
  const before = counts.get(key) ?? { seen: [], firedAt: null };
  const isLive = (time: number) => at - time <= rule.windowMs;
  const seen = [...before.seen.filter((one) => isLive(one.at)), { origin, index, at, count }];
  const isFiring = before.firedAt !== null && isLive(before.firedAt);
  const fires = isFiring || total(seen) >= rule.threshold;
  const newest = Math.max(at, before.firedAt ?? 0);
  counts.delete(key);
  counts.set(key, fires ? { seen: [], firedAt: newest } : { seen, firedAt: null });
  const [oldest] = counts.keys();
  if (counts.size > subjectsMax && oldest !== undefined) counts.delete(oldest);
  return fires ? [signalOf(rule, record, { subject, seen, code: match.code })] : [];
}

const total = (seen: readonly Seen[]) => seen.reduce((sum, { count }) => sum + count, 0);

function signalOf(
  { id, version, severity }: CountRule,
  { leaf: { tenant, environment } }: WatchedRecord,
  { subject, seen, code }: { readonly subject: Subject; readonly seen: readonly Seen[]; readonly code: string },
): Signal {
  const times = seen.map(({ at }) => at);
  return {
    ...{ rule: id, version, severity, tenant, environment, subject },
    firstAt: Math.min(...times),
    lastAt: Math.max(...times),
    count: total(seen),
    evidence: seen.map(({ origin, index }) => ({ origin, index })),
    facts: { code },
  };
}

function load(text: string): Counts | null {
  try {
    const parsed: unknown = JSON.parse(text);
    // Written by `save` of this very version; a state that is none of its own is not taken up.
    return Array.isArray(parsed) ? new Map(parsed as [string, Counted][]) : null;
  } catch {
    return null;
  }
}
