// Promises what a rule would have found in the records that are held: the rule's own code, over the same records, in the order of their times, with no effect.
// Bounded in time; says how far it came. Trusts the records. Specified in docs/findings.md "Backtest".
import type { HeldOrigin, HeldRecords } from "@sallyport/kernel/log/held-records.ts";
import type { FoundRecord } from "@sallyport/kernel/log/port.ts";
import { parseLeaf } from "@sallyport/protocol/audit/leaf-format.ts";
import type { Evidence, Severity, Subject, WatchedRecord } from "./detector.ts";
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
const examplesMax = 10;
const subjectsMax = 10_000;
/** The follower gives an answer up after 30 s. */
const timeMsMax = 20_000;

/** Throws when there is no such rule or a record cannot be read. */
export async function backtest(
  { rule: id, sinceMs }: BacktestQuestion,
  { records, now }: BacktestPorts,
): Promise<BacktestReport> {
  const rule = ruleById(id);
  if (rule === undefined) throw new Error(`there is no rule ${id}`);
  const detector = rule.run();
  const found = new Map<string, BacktestExample[]>();
  const until = now() + timeMsMax;
  let [count, findings, untilMs, whole] = [0, 0, sinceMs, true];
  for await (const record of inOrderOfTime(records, sinceMs)) {
    if (count % batchMax === 0 && now() > until) {
      whole = false;
      break;
    }
    count += 1;
    untilMs = Math.max(untilMs, record.leaf.at);
    for (const { environment, subject, firstAt, lastAt, count: times, evidence } of detector.step(record)) {
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
    findings,
    examples,
  };
}

/** Records of every origin since a time, merged by their own times: rules see them as they came. */
async function* inOrderOfTime(
  records: BacktestPorts["records"],
  sinceMs: number,
): AsyncGenerator<WatchedRecord, void, undefined> {
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

const timeOf = ({ head }: OriginReader) => head?.leaf.at ?? Number.POSITIVE_INFINITY;

class OriginReader {
  readonly #records: BacktestPorts["records"];
  readonly #origin: HeldOrigin;
  #waiting: FoundRecord[] = [];
  #next = 0;
  head: WatchedRecord | null = null;

  constructor(records: BacktestPorts["records"], origin: HeldOrigin) {
    this.#records = records;
    this.#origin = origin;
  }

  /** At the first record since a time, found by halves: times of one origin rise but for a clock that was set. */
  async begin(sinceMs: number): Promise<void> {
    let [low, high] = [0, this.#origin.size];
    while (low < high) {
      const middle = Math.floor((low + high) / 2);
      const [record] = await this.#records.read(this.#origin.origin, middle, 1);
      if (record === undefined || parseLeaf(record.leaf).at >= sinceMs) high = middle;
      else low = middle + 1;
    }
    this.#next = low;
    await this.advance();
  }

  async advance(): Promise<void> {
    if (this.#waiting.length === 0 && this.#next < this.#origin.size) {
      const read = await this.#records.read(this.#origin.origin, this.#next, batchMax);
      this.#waiting = [...read];
      this.#next += read.length;
    }
    const record = this.#waiting.shift();
    this.head =
      record === undefined ? null : { origin: this.#origin.origin, index: record.index, leaf: parseLeaf(record.leaf) };
  }
}
