// Promises counts, bytes and latencies of every edge (integration, operation, outcome) by minute, hour and day, from the records alone. Trusts the
// follower for order. Specified in docs/audit-edges.md.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Fold, FoldBatch, FoldHost } from "../follow/fold.ts";
import { type OriginPlace, readLeaf } from "../search/record-terms.ts";
import { addFigures, countLeaf, type EdgeStep, edgeSteps, noFigures, stepOf } from "./edge-figures.ts";
import { EdgeStore, type StoredFigures } from "./edge-store.ts";
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

export async function makeFold(_id: string, _options: unknown, host: FoldHost): Promise<EdgesFold> {
  const owner = readFileSync(join(host.dataDirectory, "node-id"), "utf8").trim();
  return new EdgesFold({ directory: join(host.dataDirectory, "edges"), owner, now: host.now });
}

export class EdgesFold implements Fold {
  readonly id = "edges";
  readonly #store: EdgeStore;
  readonly #now: () => number;
  readonly #next: Map<string, number>;
  #trimmedAt = 0;

  constructor({
    directory,
    owner,
    now,
  }: { readonly directory: string; readonly owner: string; readonly now: () => number }) {
    this.#store = new EdgeStore(directory, owner);
    this.#now = now;
    this.#next = new Map(this.#store.places());
  }

  async places(): Promise<ReadonlyMap<string, number>> {
    return this.#next;
  }

  async take({ origin, records }: FoldBatch): Promise<void> {
    const begin = this.#next.get(origin.origin) ?? 0;
    const change = this.#store.intents.begin();
    const added = new Map<string, StoredFigures>();
    let next = begin;
    for (const { index, leaf } of records) {
      if (index < begin) continue;
      this.#count(leaf, origin, added);
      next = index + 1;
    }
    this.#store.add({ origin: origin.origin, next }, [...added.values()], change.end());
    this.#next.set(origin.origin, next);
    if (this.#now() - this.#trimmedAt < trimEveryMs) return;
    this.#trimmedAt = this.#now();
    this.#store.trim(this.#trimmedAt);
  }

  #count(bytes: Uint8Array, place: OriginPlace, added: Map<string, StoredFigures>): void {
    const leaf = readLeaf(bytes);
    if (leaf === null) return;
    const intent = this.#store.intents.follow(place.node, leaf, bytes)?.leaf ?? null;
    const counted = countLeaf(leaf, intent, place);
    if (counted === null) return;
    const key = this.#store.bounded(counted.key);
    for (const step of edgeSteps) {
      const t = stepOf(counted.at, step, this.#now());
      if (t === null) continue;
      const name = `${step} ${t} ${key.environment} ${key.integration} ${key.operation} ${key.outcome}`;
      let one = added.get(name);
      if (one === undefined) {
        one = { step, t, key, figures: noFigures() };
        added.set(name, one);
      }
      addFigures(one.figures, counted.figures);
    }
  }

  /** Null: more than one answer may have. */
  async answer(question: unknown): Promise<EdgeReport | null> {
    // Asked by control itself (edge-actions.ts), which has judged what an operator sent.
    const asked = question as EdgesQuestion;
    const rows = this.#store.read(asked);
    return rows === null ? null : reportEdges(rows, asked);
  }

  async close(): Promise<void> {
    this.#store.close();
  }
}
