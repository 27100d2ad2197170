// Promises the search index as a fold: takes records, answers searches and says when it had to begin anew. Trusts the follower for order and the
// index for durability. Described in docs/audit-search.md.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { type Fold, type FoldBatch, type FoldHost, leavesOf } from "../follow/fold.ts";
import type { IndexStore } from "./index-store.ts";
import { PostgresIndex } from "./postgres-index.ts";
import { runFollow } from "./run-follow.ts";
import { IndexUnreadable, runSearch, type SearchPorts, SearchTooWide } from "./run-search.ts";
import { SearchIndex } from "./search-index.ts";
import type { Follow, Followed, Page, Search } from "./search-question.ts";
import { SqliteIndex } from "./sqlite-index.ts";

/** All files of the index together; beyond it the oldest go. At some 60 bytes per record this is 250 million records. */
const indexBytesMax = 16 * 1024 * 1024 * 1024;
/** What is older is found in the log itself. */
const indexKeepMs = 400 * 86_400_000;

/** Where the index lies: null is files of this node, else a schema in the PostgreSQL of the control store, shared by its nodes. */
export type IndexPlaceOptions = { readonly url: string; readonly schema: string } | null;

export async function makeFold(_id: string, options: unknown, host: FoldHost): Promise<SearchFold> {
  // Ordered by control itself (follow/orders.ts).
  const place = options as IndexPlaceOptions;
  const bounds = { now: host.now, bytesMax: indexBytesMax, keepMs: indexKeepMs };
  const ports = {
    now: host.now,
    monotonic: () => performance.now(),
    turn: () => new Promise<void>((resolve) => setImmediate(resolve)),
  };
  if (place !== null) return SearchFold.later(new PostgresIndex({ ...place, ...bounds }), ports);
  // Named after this control plane, so that another one's index copied here is not taken for ours.
  const owner = readFileSync(join(host.dataDirectory, "node-id"), "utf8").trim();
  return SearchFold.open(new SqliteIndex({ directory: join(host.dataDirectory, "search"), owner, ...bounds }), ports);
}

export type SearchQuestion =
  | { readonly ask: "search"; readonly search: Search }
  | { readonly ask: "follow"; readonly follow: Follow }
  | { readonly ask: "rebuild" };

export type SearchAnswer =
  | { readonly kind: "page"; readonly page: Page }
  | { readonly kind: "followed"; readonly followed: Followed }
  | { readonly kind: "rebuilding" }
  /** The index was damaged: it is being made again, and until then answers know less. */
  | { readonly kind: "damaged" }
  | { readonly kind: "too-wide"; readonly message: string };

export class SearchFold implements Fold {
  readonly id = "search";
  readonly #index: SearchIndex;
  readonly #ports: SearchPorts;

  private constructor(index: SearchIndex, ports: SearchPorts) {
    this.#index = index;
    this.#ports = ports;
  }

  static async open(store: IndexStore, ports: SearchPorts & { readonly now: () => number }): Promise<SearchFold> {
    return new SearchFold(await SearchIndex.open(store, ports.now), ports);
  }

  /** Opens the index when it is first asked: a database that is away keeps no control plane from starting. */
  static later(store: IndexStore, ports: SearchPorts & { readonly now: () => number }): SearchFold {
    return new SearchFold(SearchIndex.later(store, ports.now), ports);
  }

  get restarts(): number {
    return this.#index.restarts;
  }

  async places(): Promise<ReadonlyMap<string, number>> {
    await this.#index.refresh();
    return this.#index.places();
  }

  async take(batch: FoldBatch): Promise<void> {
    await this.#index.take(batch.origin, batch.records, leavesOf(batch));
  }

  async answer(question: unknown): Promise<SearchAnswer> {
    // Asked by control itself (search-actions.ts), which has judged what an operator sent.
    const asked = question as SearchQuestion;
    try {
      switch (asked.ask) {
        case "search":
          return { kind: "page", page: await runSearch(this.#index, asked.search, this.#ports) };
        case "follow":
          return { kind: "followed", followed: await runFollow(this.#index, asked.follow) };
        case "rebuild":
          await this.#index.rebuild();
          return { kind: "rebuilding" };
      }
    } catch (error) {
      if (error instanceof SearchTooWide) return { kind: "too-wide", message: error.message };
      if (!(error instanceof IndexUnreadable)) throw error;
      // Made again since the reading began: what was met is not there any more.
      if (error.restarts === this.#index.restarts) await this.#index.giveUp(error.shelf);
      return { kind: "damaged" };
    }
  }

  async close(): Promise<void> {
    await this.#index.close();
  }
}
