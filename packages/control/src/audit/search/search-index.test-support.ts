// Promises records taken into an index, every page of a search, and an empty place in PostgreSQL, for tests on each kind of store. Trusts nothing.
import { randomBytes } from "node:crypto";
import { after, before } from "node:test";
import { testServer } from "@sallyport/kernel/store/for-each-dialect.ts";
import type { Leaf } from "@sallyport/protocol/audit/leaf.ts";
import pg from "pg";
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

/** Makes the options of an index in a schema of its own, which goes with the server after the suite. Call it in the body of the suite, what it gives inside tests. */
export function freshSchema(): () => { readonly url: string; readonly schema: string } {
  const schema = `test_${randomBytes(8).toString("hex")}_search`;
  let server: Awaited<ReturnType<typeof testServer>> | undefined;
  before(async () => {
    server = await testServer();
  });
  after(async () => {
    if (server === undefined) return;
    const client = new pg.Client({ connectionString: server.url });
    await client.connect();
    await client.query(`DROP SCHEMA IF EXISTS ${schema} CASCADE`);
    await client.end();
    await server.stop();
  });
  return () => {
    if (server === undefined) throw new Error("a schema before the suite's before hook: ask for it inside a test");
    return { url: server.url, schema };
  };
}

export const keys = (hits: readonly Hit[]) => hits.map(({ origin, index }) => `${origin}#${index}`);
