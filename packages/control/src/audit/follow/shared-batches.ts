// Promises that folds which are at one place read and parse its records once together, and that one which is ahead waits for others a bounded moment,
// never for one that has stopped. Trusts the records behind it; gives every fold the very same objects, which none may change. Used by fold-runner.ts.
import type { HeldRecords } from "@sallyport/kernel/log/held-records.ts";
import type { FoundRecord } from "@sallyport/kernel/log/port.ts";
import type { Leaf } from "@sallyport/protocol/audit/leaf.ts";
import { readLeaf } from "../search/record-terms.ts";

/** Batches kept for folds that come after. */
const keptMax = 8;
/** Their leaves together; one that alone is larger is kept alone. */
const keptBytesMax = 16_777_216;
/** So long a fold that is ahead waits before it drops a batch that another has in hand: 2,048 records in 100 ms are more than 20,000 a second. */
const waitMsMax = 100;

/** Consecutive records, and each one's leaf, parsed when the first fold asks. */
export class ReadBatch {
  readonly records: readonly FoundRecord[];
  readonly bytes: number;
  #leaves: readonly (Leaf | null)[] | null = null;

  constructor(records: readonly FoundRecord[]) {
    this.records = records;
    this.bytes = records.reduce((sum, { leaf }) => sum + leaf.length, 0);
  }

  /** In the order of the records; null: bytes that are no leaf of a version known here. */
  get leaves(): readonly (Leaf | null)[] {
    this.#leaves ??= this.records.map(({ leaf }) => readLeaf(leaf));
    return this.#leaves;
  }
}

interface Kept {
  readonly origin: string;
  readonly from: number;
  readonly batch: ReadBatch;
}

interface Reader {
  origin: string;
  /** Where it read last. */
  from: number;
}

export class SharedBatches {
  readonly #records: Pick<HeldRecords, "read">;
  readonly #pause: (ms: number, signal: AbortSignal) => Promise<void>;
  /** The oldest first. */
  readonly #kept: Kept[] = [];
  readonly #readers = new Map<string, Reader>();
  #moved = Promise.withResolvers<void>();

  constructor(
    records: Pick<HeldRecords, "read">,
    pause: (ms: number, signal: AbortSignal) => Promise<void> = async () => undefined,
  ) {
    this.#records = records;
    this.#pause = pause;
  }

  /** Records from `from` on, as HeldRecords.read gives them: fewer than `max` where others have read fewer. Throws as that does. */
  async read(reader: string, { origin, from, max }: { origin: string; from: number; max: number }): Promise<ReadBatch> {
    this.#move(reader, { origin, from });
    const kept = this.#find(origin, from) ?? (await this.#awaited(reader, { origin, from }));
    if (kept !== undefined && kept.batch.records.length <= max) return kept.batch;
    const batch = new ReadBatch(await this.#records.read(origin, from, max));
    this.#keep({ origin, from, batch });
    return batch;
  }

  /** A reader that rests or ended is not waited for. */
  leave(reader: string): void {
    if (this.#readers.delete(reader)) this.#wake();
  }

  #move(reader: string, at: Reader): void {
    this.#readers.set(reader, at);
    this.#wake();
  }

  #wake(): void {
    this.#moved.resolve();
    this.#moved = Promise.withResolvers();
  }

  #find(origin: string, from: number): Kept | undefined {
    return this.#kept.find((kept) => kept.from === from && kept.origin === origin);
  }

  /** Waits while the batch that would go next is in somebody's hand; what was read meanwhile is found. */
  async #awaited(reader: string, at: Reader): Promise<Kept | undefined> {
    const late = new AbortController();
    let isLate = false;
    let timer: Promise<void> | null = null;
    while (!isLate && this.#isFull() && this.#isOldestInHand(reader)) {
      timer ??= this.#pause(waitMsMax, late.signal).then(() => {
        isLate = true;
      });
      await Promise.race([timer, this.#moved.promise]);
    }
    late.abort();
    return this.#find(at.origin, at.from);
  }

  #isFull(): boolean {
    return this.#kept.length >= keptMax || this.#kept.reduce((sum, { batch }) => sum + batch.bytes, 0) > keptBytesMax;
  }

  #isOldestInHand(but: string): boolean {
    const [oldest] = this.#kept;
    for (const [reader, { origin, from }] of this.#readers)
      if (reader !== but && from === oldest?.from && origin === oldest.origin) return true;
    return false;
  }

  #keep(kept: Kept): void {
    while (this.#kept.length > 0 && this.#isFull()) this.#kept.shift();
    if (kept.batch.records.length > 0) this.#kept.push(kept);
  }
}
