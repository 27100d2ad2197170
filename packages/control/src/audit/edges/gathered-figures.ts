// Promises the figures of many records by edge and minute, without an object per record, and from the minutes those of hours and days. Pure but for what it
// holds. Trusts edge-figures.ts for what a record adds. Specified in docs/audit-edges.md.
import type { Leaf } from "@sallyport/protocol/audit/leaf.ts";
import type { OriginPlace } from "../search/record-terms.ts";
import {
  addCounted,
  addFigures,
  countLeaf,
  type EdgeKey,
  edgeSteps,
  type Figures,
  isCountable,
  noFigures,
  stepMs,
  stepOf,
} from "./edge-figures.ts";
import type { StoredFigures } from "./edge-store.ts";

interface Minute {
  readonly t: number;
  readonly figures: Figures;
}

interface Edge {
  readonly key: EdgeKey;
  readonly minutes: Map<number, Minute>;
  /** The minute counted last: records of one minute follow one another. */
  last: Minute | null;
}

export class GatheredFigures {
  readonly #bounded: (key: EdgeKey) => EdgeKey;
  #edges = new Map<string, Edge>();

  /** `bounded` says under which edge one is kept. */
  constructor(bounded: (key: EdgeKey) => EdgeKey) {
    this.#bounded = bounded;
  }

  add({
    leaf,
    intent,
    place,
    now,
  }: {
    readonly leaf: Leaf;
    readonly intent: Leaf | null;
    readonly place: OriginPlace;
    /** Milliseconds since the epoch. */
    readonly now: number;
  }): void {
    const counted = countLeaf(leaf, intent, place);
    if (counted === null || !isCountable(counted.at, now)) return;
    addCounted(this.#minute(this.#edge(counted.key), counted.at).figures, counted);
  }

  #edge(key: EdgeKey): Edge {
    // No value holds a space.
    const name = `${key.environment} ${key.integration} ${key.operation} ${key.outcome}`;
    let edge = this.#edges.get(name);
    if (edge === undefined) {
      edge = { key: this.#bounded(key), minutes: new Map(), last: null };
      this.#edges.set(name, edge);
    }
    return edge;
  }

  #minute(edge: Edge, at: number): Minute {
    const t = Math.floor(at / stepMs.minute) * stepMs.minute;
    if (edge.last?.t === t) return edge.last;
    let minute = edge.minutes.get(t);
    if (minute === undefined) {
      minute = { t, figures: noFigures() };
      edge.minutes.set(t, minute);
    }
    edge.last = minute;
    return minute;
  }

  /** Everything since it was asked last, at every step that is still kept. */
  take(now: number): readonly StoredFigures[] {
    const edges = this.#edges;
    this.#edges = new Map();
    const rows = new Map<string, StoredFigures>();
    for (const { key, minutes } of edges.values()) {
      const { environment, integration, operation, outcome } = key;
      for (const { t: minute, figures } of minutes.values()) {
        for (const step of edgeSteps) {
          const t = stepOf(minute, step, now);
          if (t === null) continue;
          // Two edges beyond the bound are one.
          const name = `${step} ${t} ${environment} ${integration} ${operation} ${outcome}`;
          let row = rows.get(name);
          if (row === undefined) {
            row = { step, t, key, figures: noFigures() };
            rows.set(name, row);
          }
          addFigures(row.figures, figures);
        }
      }
    }
    return [...rows.values()];
  }
}
