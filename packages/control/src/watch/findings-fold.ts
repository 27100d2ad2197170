// Promises that every record passes every rule once, and that what the rules noticed is in the store before the next records are taken. Rules keep their
// state across restarts: it is read again as of the last save, and what was counted since is not counted again. A record that cannot be read stops
// nothing, and is a finding itself. Trusts the follower for the records and control for the store. Specified in docs/findings.md.
import { type Fold, type FoldBatch, type FoldHost, type FoldMaker, leavesOf } from "../audit/follow/fold.ts";
import { type BacktestQuestion, backtest } from "./backtest.ts";
import type { RunningDetector, Signal, WatchedRecord } from "./detector.ts";
import { rules } from "./rules.ts";
import type { StoredRule, Taken, WatchPlaces } from "./store.ts";
import { unreadableSignal } from "./unreadable-records.ts";

/** Records after which the states of the rules are saved; as many are read again at most after a crash. */
const saveEvery = 10_000;
/** Signals that wait for the store; beyond, nothing more is read until it takes them. */
const pendingMax = 10_000;

export const findingsFold = "findings";

export class FindingsFold implements Fold {
  readonly id: string;
  readonly #host: Pick<FoldHost, "call" | "fault" | "records" | "now">;
  readonly #detectors: readonly RunningDetector[];
  /** Per origin, behind the last record that passed the rules in this run. */
  readonly #passed = new Map<string, number>();
  /** Origins that moved since the store was told. */
  readonly #moved = new Set<string>();
  #pending: Signal[] = [];
  #unsaved = 0;

  constructor(
    id: string,
    host: Pick<FoldHost, "call" | "fault" | "records" | "now">,
    detectors: readonly RunningDetector[] = rules.map((rule) => rule.run()),
  ) {
    this.id = id;
    this.#host = host;
    this.#detectors = detectors;
  }

  async places(): Promise<ReadonlyMap<string, number>> {
    // The service answers with this and nothing else.
    const { places, states } = (await this.#host.call("watch.read", null)) as WatchPlaces;
    for (const detector of this.#detectors) {
      const stored = states.find(({ rule }) => rule === detector.id);
      // A rule that is new, or another version, begins here with nothing: the past is for its backtest.
      if (stored?.version === detector.version) detector.load(stored.state);
    }
    for (const { origin, saved } of places) this.#passed.set(origin, saved);
    return new Map(this.#passed);
  }

  async take(batch: FoldBatch): Promise<void> {
    const { origin, records } = { origin: batch.origin.origin, records: batch.records };
    if (this.#pending.length > pendingMax)
      throw new Error(`${this.#pending.length} signals wait for the store, which does not take them`);
    // What comes again after a refusal of the store has passed the rules already.
    const passed = this.#passed.get(origin) ?? 0;
    const leaves = leavesOf(batch);
    for (const [n, { index }] of records.entries()) {
      if (index < passed) continue;
      const leaf = leaves[n] ?? null;
      if (leaf === null) this.#pending.push(unreadableSignal(batch.origin, { origin, index }, this.#host.now()));
      else this.#step({ origin, index, leaf });
      this.#passed.set(origin, index + 1);
      this.#unsaved += 1;
    }
    this.#moved.add(origin);
    const saves = this.#unsaved >= saveEvery;
    if (saves || this.#pending.length > 0) await this.#tell(saves);
  }

  #step(record: WatchedRecord): void {
    for (const detector of this.#detectors) {
      const signals = detector.step(record);
      if (signals.length > 0) this.#pending.push(...signals);
    }
  }

  async #tell(saves: boolean): Promise<void> {
    const moved = saves ? this.#passed.keys() : this.#moved;
    const taken: Taken = {
      places: [...moved].map((origin) => ({ origin, next: this.#passed.get(origin) ?? 0 })),
      signals: this.#pending,
      states: saves ? this.#detectors.map(stateOf) : null,
    };
    await this.#host.call("watch.take", taken);
    this.#pending = [];
    this.#moved.clear();
    if (saves) this.#unsaved = 0;
  }

  async answer(question: unknown): Promise<unknown> {
    // Only finding-actions.ts asks.
    return backtest(question as BacktestQuestion, this.#host);
  }

  async close(): Promise<void> {
    if (this.#unsaved > 0) await this.#tell(true).catch(this.#host.fault);
  }
}

const stateOf = (detector: RunningDetector): StoredRule => ({
  rule: detector.id,
  version: detector.version,
  state: detector.save(),
});

export const makeFold: FoldMaker = async (id, _options, host) => new FindingsFold(id, host);
