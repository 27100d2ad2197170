// Promises what a rule would have found in the records that are held: the rule's own code, over the same records, in the order of their times, with no effect.
// Bounded in time; says how far it came. Trusts the records. Specified in docs/findings.md "Backtest".
import type { HeldOrigin, HeldRecords } from "@sallyport/kernel/log/held-records.ts";
import type { FoundRecord } from "@sallyport/kernel/log/port.ts";
import type { Leaf } from "@sallyport/protocol/audit/leaf.ts";
import { readLeaf } from "../audit/search/record-terms.ts";
import type { Evidence, Severity, Subject } from "./detector.ts";
import { evidenceMax, sameFindingMs } from "./finding.ts";
import { ruleById } from "./rules.ts";

export interface BacktestQuestion {
  readonly rule: string;
  /** Milliseconds since the epoch. */
  readonly sinceMs: number;
}

export interface BacktestReport {
  readonly rule: string;
  readonly version: number;
  readonly severity: Severity;
  readonly sinceMs: number;
  /** Time of the last record that was looked at; `sinceMs` when there was none. */
  readonly untilMs: number;
  /** False: time ran out first. */
  readonly whole: boolean;
  readonly records: number;
  /** Records among them that this version cannot read: the rule did not see them. */
  readonly unreadable: number;
  readonly findings: number;
  /** The first ones. */
  readonly examples: readonly BacktestExample[];
}

export interface BacktestExample {
  readonly environment: string;
  readonly subject: Subject;
  readonly firstAt: number;
  readonly lastAt: number;
  readonly count: number;
  readonly evidence: readonly Evidence[];
}

export interface BacktestPorts {
  readonly records: Pick<HeldRecords, "origins" | "read">;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
}

const batchMax = 2_048;
/** Records looked through for one whose time can be read. */
const timedMax = 64;
const examplesMax = 10;
const subjectsMax = 10_000;
/** The follower gives an answer up after 30 s. */
const timeMsMax = 20_000;

/** Throws when there is no such rule or a log cannot be read. */
export async function backtest(
  { rule: id, sinceMs }: BacktestQuestion,
  { records, now }: BacktestPorts,
): Promise<BacktestReport> {
  const rule = ruleById(id);
  if (rule === undefined) throw new Error(`there is no rule ${id}`);
  const detector = rule.run();
  const found = new Map<string, BacktestExample[]>();
  const until = now() + timeMsMax;
  let [count, unreadable, findings, untilMs, whole] = [0, 0, 0, sinceMs, true];
  for await (const { origin, index, leaf } of inOrderOfTime(records, sinceMs)) {
    if (count % batchMax === 0 && now() > until) {
      whole = false;
      break;
    }
    count += 1;
    if (leaf === null) {
      unreadable += 1;
      continue;
    }
    untilMs = Math.max(untilMs, leaf.at);
    const signals = detector.step({ origin, index, leaf });
    for (const { environment, subject, firstAt, lastAt, count: times, evidence } of signals) {
      const key = `${environment}/${subject.kind}/${subject.name}`;
      const earlier = found.get(key)?.at(-1);
      if (earlier !== undefined && firstAt - earlier.lastAt <= sameFindingMs) {
        const more = [...earlier.evidence, ...evidence].slice(0, evidenceMax);
        found.get(key)?.splice(-1, 1, { ...earlier, lastAt, count: earlier.count + times, evidence: more });
        continue;
      }
      findings += 1;
      if (found.size < subjectsMax)
        found.set(key, [...(found.get(key) ?? []), { environment, subject, firstAt, lastAt, count: times, evidence }]);
    }
  }
  const examples = [...found.values()].flat().slice(0, examplesMax);
  return {
    rule: id,
    version: rule.version,
    severity: rule.severity,
    sinceMs,
    untilMs,
    whole,
    records: count,
    unreadable,
    findings,
    examples,
  };
}

/** Records of every origin since a time, merged by their own times: rules see them as they came. */
async function* inOrderOfTime(
  records: BacktestPorts["records"],
  sinceMs: number,
): AsyncGenerator<Head, void, undefined> {
  const readers: OriginReader[] = [];
  for (const origin of await records.origins()) {
    const reader = new OriginReader(records, origin);
    await reader.begin(sinceMs);
    if (reader.head !== null) readers.push(reader);
  }
  while (readers.length > 0) {
    const next = readers.reduce((first, one) => (timeOf(one) < timeOf(first) ? one : first));
    if (next.head !== null) yield next.head;
    await next.advance();
    if (next.head === null) readers.splice(readers.indexOf(next), 1);
  }
}

const timeOf = ({ head }: OriginReader) => head?.at ?? Number.POSITIVE_INFINITY;

interface Head extends Evidence {
  /** Null: this version cannot read the record. */
  readonly leaf: Leaf | null;
  /** Its time; of one that cannot be read, that of the one before it, or the time from which on was asked for. */
  readonly at: number;
}

class OriginReader {
  readonly #records: BacktestPorts["records"];
  readonly #origin: HeldOrigin;
  #waiting: FoundRecord[] = [];
  #next = 0;
  #sinceMs = 0;
  head: Head | null = null;

  constructor(records: BacktestPorts["records"], origin: HeldOrigin) {
    this.#records = records;
    this.#origin = origin;
  }

  /** At the first record since a time, found by halves: times of one origin rise but for a clock that was set. */
  async begin(sinceMs: number): Promise<void> {
    let [low, high] = [0, this.#origin.size];
    while (low < high) {
      const middle = Math.floor((low + high) / 2);
      const timed = await this.#timedFrom(middle);
      if (timed === null || timed.at >= sinceMs) high = middle;
      else low = timed.index + 1;
    }
    this.#next = low;
    this.#sinceMs = sinceMs;
    await this.advance();
    // Where no time was found by halves it began too early.
    while (this.head !== null && this.head.at < sinceMs) await this.advance();
  }

  /** Of the first records from an index on, one whose time can be read; null: none. */
  async #timedFrom(index: number): Promise<{ readonly index: number; readonly at: number } | null> {
    for (const record of await this.#records.read(this.#origin.origin, index, timedMax)) {
      const at = readLeaf(record.leaf)?.at;
      if (at !== undefined) return { index: record.index, at };
    }
    return null;
  }

  async advance(): Promise<void> {
    if (this.#waiting.length === 0 && this.#next < this.#origin.size) {
      const read = await this.#records.read(this.#origin.origin, this.#next, batchMax);
      this.#waiting = [...read];
      this.#next += read.length;
    }
    const record = this.#waiting.shift();
    const leaf = record === undefined ? null : readLeaf(record.leaf);
    const at = leaf?.at ?? this.head?.at ?? this.#sinceMs;
    this.head = record === undefined ? null : { origin: this.#origin.origin, index: record.index, leaf, at };
  }
}
