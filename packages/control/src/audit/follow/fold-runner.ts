// Promises that one fold gets every record of every origin in order and each once after its place, that an origin that cannot be read or taken waits
// by itself with growing pauses, and that nothing it does stops another fold. Trusts the fold to keep its place. Described in docs/audit.md.
import type { HeldOrigin } from "@sallyport/kernel/log/held-records.ts";
import type { Leaf } from "@sallyport/protocol/audit/leaf.ts";
import type { Fold, FoldBatch, FoldStanding } from "./fold.ts";
import type { OriginWatch } from "./origin-watch.ts";
import type { ReadBatch, SharedBatches } from "./shared-batches.ts";

/** Records handed over at once. */
const batchMax = 2_048;
const pauseMsMin = 500;
const pauseMsMax = 60_000;

export interface RunnerPorts {
  readonly batches: SharedBatches;
  readonly watch: OriginWatch;
  readonly now: () => number;
  /** Resolves after so many milliseconds, or at once when the signal aborts. */
  readonly pause: (ms: number, signal: AbortSignal) => Promise<void>;
  /** Resolves when everybody else in this thread had a turn: a fold that never waits would keep the answers of others from arriving. */
  readonly turn: () => Promise<void>;
}

interface OriginState {
  next: number;
  tries: number;
  /** Milliseconds since the epoch before which it is not tried again. */
  notBefore: number;
  fault: string | null;
  behindSince: number | null;
}

export class FoldRunner {
  readonly #fold: Fold;
  readonly #ports: RunnerPorts;
  readonly #states = new Map<string, OriginState>();
  readonly #ending = new AbortController();
  readonly #done: Promise<void>;
  #startFault: string | null = null;
  #restarts = 0;

  constructor(fold: Fold, ports: RunnerPorts) {
    this.#fold = fold;
    this.#ports = ports;
    this.#done = this.#run();
  }

  get fold(): Fold {
    return this.#fold;
  }

  standing(): FoldStanding {
    let behind = 0;
    let behindSince: number | null = null;
    let fault = this.#startFault;
    for (const origin of this.#wanted()) {
      const state = this.#states.get(origin.origin);
      behind += Math.max(0, origin.size - (state?.next ?? 0));
      if (state?.behindSince != null) behindSince = Math.min(behindSince ?? state.behindSince, state.behindSince);
      fault ??= state?.fault ?? null;
    }
    return { id: this.#fold.id, behind, behindSince: behind === 0 ? null : behindSince, fault };
  }

  /** Resolves when the batch in hand is done and the fold is closed. */
  async close(): Promise<void> {
    this.#ending.abort();
    await this.#done;
    this.#ports.batches.leave(this.#fold.id);
    await this.#fold.close();
  }

  async #run(): Promise<void> {
    const { signal } = this.#ending;
    await this.#begin();
    while (!signal.aborted) {
      if ((this.#fold.restarts ?? 0) !== this.#restarts) await this.#begin();
      const { version } = this.#ports.watch;
      const origins = this.#wanted();
      let isMoving = false;
      for (const origin of origins) {
        if (signal.aborted) return;
        // What is read now would lie behind a gap.
        if ((this.#fold.restarts ?? 0) !== this.#restarts) break;
        if (await this.#step(origin)) isMoving = true;
        else continue;
        await this.#ports.turn();
      }
      if (!isMoving && (this.#fold.restarts ?? 0) === this.#restarts) await this.#rest(version);
    }
  }

  #wanted(): readonly HeldOrigin[] {
    return this.#ports.watch.origins.filter((origin) => this.#fold.wants?.(origin) ?? true);
  }

  /** The places, asked until the fold answers. */
  async #begin(): Promise<void> {
    for (let tries = 0; !this.#ending.signal.aborted; tries++) {
      try {
        this.#restarts = this.#fold.restarts ?? 0;
        const places = await this.#fold.places();
        this.#states.clear();
        for (const [origin, next] of places) this.#states.set(origin, freshState(next));
        this.#startFault = null;
        return;
      } catch (error) {
        this.#startFault = textOf(error);
        await this.#ports.pause(pauseAfter(tries), this.#ending.signal);
      }
    }
  }

  /** One batch of one origin; false when there was none to take. */
  async #step(origin: HeldOrigin): Promise<boolean> {
    const state = this.#stateOf(origin.origin);
    if (state.next >= origin.size) return false;
    state.behindSince ??= this.#ports.now();
    if (this.#ports.now() < state.notBefore) return false;
    try {
      const at = { origin: origin.origin, from: state.next, max: batchMax };
      const batch = await this.#ports.batches.read(this.#fold.id, at);
      const { records } = batch;
      const [first] = records;
      if (first === undefined)
        throw new Error(`no record ${state.next} in ${origin.origin}, though its checkpoint covers it`);
      if (first.index !== state.next)
        throw new Error(`record ${first.index} of ${origin.origin} came where ${state.next} is due`);
      await this.#fold.take(new TakenBatch(origin, batch));
      state.next += records.length;
      state.tries = 0;
      state.fault = null;
      if (state.next >= origin.size) state.behindSince = null;
      return true;
    } catch (error) {
      this.#ports.batches.leave(this.#fold.id);
      state.fault = textOf(error);
      state.notBefore = this.#ports.now() + pauseAfter(state.tries);
      state.tries += 1;
      return false;
    }
  }

  /** Until an origin has grown, or one that waits is due. */
  async #rest(version: number): Promise<void> {
    this.#ports.batches.leave(this.#fold.id);
    const due = Math.min(
      ...[...this.#states.values()].filter(({ fault }) => fault !== null).map(({ notBefore }) => notBefore),
    );
    const either = new AbortController();
    const signal = AbortSignal.any([either.signal, this.#ending.signal]);
    const waits = [this.#ports.watch.after(version, signal)];
    if (Number.isFinite(due)) waits.push(this.#ports.pause(Math.max(1, due - this.#ports.now()), signal));
    await Promise.race(waits);
    either.abort();
  }

  #stateOf(origin: string): OriginState {
    let state = this.#states.get(origin);
    if (state === undefined) {
      state = freshState(0);
      this.#states.set(origin, state);
    }
    return state;
  }
}

/** Parses nothing before a fold asks. */
class TakenBatch implements FoldBatch {
  readonly origin: HeldOrigin;
  readonly records: FoldBatch["records"];
  readonly #batch: ReadBatch;

  constructor(origin: HeldOrigin, batch: ReadBatch) {
    this.origin = origin;
    this.records = batch.records;
    this.#batch = batch;
  }

  get leaves(): readonly (Leaf | null)[] {
    return this.#batch.leaves;
  }
}

const freshState = (next: number): OriginState => ({ next, tries: 0, notBefore: 0, fault: null, behindSince: null });
const pauseAfter = (tries: number) => Math.min(pauseMsMax, pauseMsMin * 2 ** Math.min(tries, 10));
const textOf = (error: unknown) => (error instanceof Error ? error.message : "unknown");
