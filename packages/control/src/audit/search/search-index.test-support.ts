// Promises records taken into an index and every page of a search, for tests on each kind of store. Trusts nothing.
import type { Leaf } from "@sallyport/protocol/audit/leaf.ts";
import { originOf, recordsOf, startMs } from "./records.test-support.ts";
import { runSearch } from "./run-search.ts";
import type { SearchIndex } from "./search-index.ts";
import type { Hit, Page, Search } from "./search-question.ts";

export const ports = {
  now: () => startMs + 86_400_000,
  monotonic: () => performance.now(),
  turn: () => new Promise<void>((resolve) => setImmediate(resolve)),
};
export const everything: Search = { from: 0, to: Number.MAX_SAFE_INTEGER, filters: [], after: null, limit: 1_000 };

export async function takeAll(index: SearchIndex, node: string, leaves: readonly Leaf[], from = 0): Promise<void> {
  const records = recordsOf(leaves, from);
  for (let at = 0; at < records.length; at += 1_500) await index.take(originOf(node), records.slice(at, at + 1_500));
}

export async function pagesOf(index: SearchIndex, search: Partial<Search>): Promise<Hit[]> {
  const hits: Hit[] = [];
  let page: Page | null = null;
  do {
    page = await runSearch(index, { ...everything, ...search, after: page?.next ?? null }, ports);
    hits.push(...page.hits);
  } while (page.next !== null);
  return hits;
}

export const keys = (hits: readonly Hit[]) => hits.map(({ origin, index }) => `${origin}#${index}`);
