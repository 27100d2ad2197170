// Promises counts, bytes and latencies of every edge (integration, operation, outcome) by minute, hour and day, from the records alone. Trusts the
// follower for order. Specified in docs/audit-edges.md.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { type Fold, type FoldBatch, type FoldHost, leavesOf } from "../follow/fold.ts";
import type { EdgeStep } from "./edge-figures.ts";
import { EdgeStore } from "./edge-store.ts";
import { GatheredFigures } from "./gathered-figures.ts";
import { type EdgeReport, reportEdges } from "./report-edges.ts";

export interface EdgesQuestion {
  readonly step: EdgeStep;
  /** Milliseconds since the epoch, from inclusive, to exclusive. */
  readonly from: number;
  readonly to: number;
  readonly environment: string | null;
  readonly integration: string | null;
}

const trimEveryMs = 600_000;
/** Records that are counted and not written down yet: a busy edge is written once for all of them. After a crash they come again. */
const unwrittenMax = 16_384;
/** A smaller batch is the newest there is: it is written down at once. */
const fullBatch = 2_048;

export async function makeFold(_id: string, _options: unknown, host: FoldHost): Promise<EdgesFold> {
  const owner = readFileSync(join(host.dataDirectory, "node-id"), "utf8").trim();
  return new EdgesFold({ directory: join(host.dataDirectory, "edges"), owner, now: host.now });
}

export class EdgesFold implements Fold {
  readonly id = "edges";
  readonly #store: EdgeStore;
  readonly #now: () => number;
  readonly #next: Map<string, number>;
  #gathered: GatheredFigures;
  #intents: ReturnType<EdgeStore["intents"]["begin"]> | null = null;
  /** Origins that moved since what was counted was written down. */
  readonly #moved = new Set<string>();
  #unwritten = 0;
  #trimmedAt = 0;
  #restarts = 0;

  constructor({
    directory,
    owner,
    now,
  }: { readonly directory: string; readonly owner: string; readonly now: () => number }) {
    this.#store = new EdgeStore(directory, owner);
    this.#now = now;
    this.#next = new Map(this.#store.places());
    this.#gathered = new GatheredFigures((key) => this.#store.bounded(key));
  }

  get restarts(): number {
    return this.#restarts;
  }

  async places(): Promise<ReadonlyMap<string, number>> {
    if (this.#next.size === 0) for (const [origin, next] of this.#store.places()) this.#next.set(origin, next);
    return this.#next;
  }

  async take(batch: FoldBatch): Promise<void> {
    const { origin, records } = batch;
    const leaves = leavesOf(batch);
    const begin = this.#next.get(origin.origin) ?? 0;
    // What was counted was lost with a transaction since this batch was read.
    if ((records[0]?.index ?? begin) > begin) throw new Error(`record ${begin} of ${origin.origin} is due`);
    const now = this.#now();
    this.#intents ??= this.#store.intents.begin();
    let next = begin;
    for (const [n, { index, leaf: bytes }] of records.entries()) {
      if (index < begin) continue;
      next = index + 1;
      const leaf = leaves[n] ?? null;
      if (leaf === null) continue;
      const intent = this.#store.intents.follow(origin.node, leaf, bytes)?.leaf ?? null;
      this.#gathered.add({ leaf, intent, place: origin, now });
    }
    this.#next.set(origin.origin, next);
    this.#moved.add(origin.origin);
    this.#unwritten += next - begin;
    if (records.length < fullBatch || this.#unwritten >= unwrittenMax) this.#write();
    if (now - this.#trimmedAt < trimEveryMs) return;
    this.#trimmedAt = now;
    this.#store.trim(now);
  }

  /** Figures, and the places behind them. */
  #write(): void {
    if (this.#moved.size === 0) return;
    const places = [...this.#moved].map((origin) => ({ origin, next: this.#next.get(origin) ?? 0 }));
    const intents = this.#intents?.end() ?? { opened: [], ended: [] };
    const figures = this.#gathered.take(this.#now());
    this.#intents = null;
    this.#moved.clear();
    this.#unwritten = 0;
    try {
      this.#store.add(places, figures, intents);
    } catch (error) {
      // What was counted is gone with the transaction: it comes again from where the file is.
      this.#next.clear();
      this.#restarts += 1;
      throw error;
    }
  }

  /** Null: more than one answer may have. */
  async answer(question: unknown): Promise<EdgeReport | null> {
    // Asked by control itself (edge-actions.ts), which has judged what an operator sent.
    const asked = question as EdgesQuestion;
    this.#write();
    const rows = this.#store.read(asked);
    return rows === null ? null : reportEdges(rows, asked);
  }

  async close(): Promise<void> {
    try {
      this.#write();
    } finally {
      this.#store.close();
    }
  }
}
