// What an index promises wherever it lies, once per kind of store.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { testServer } from "@sallyport/kernel/store/for-each-dialect.ts";
import { makePool } from "@sallyport/kernel/store/postgres-open.ts";
import { parsePostgresUrl } from "@sallyport/kernel/store/postgres-url.ts";
import type { Leaf } from "@sallyport/protocol/audit/leaf.ts";
import type { IndexStore } from "./index-store.ts";
import { PostgresIndex } from "./postgres-index.ts";
import {
  crossing,
  idOf,
  intent,
  originOf,
  outcome,
  pseudonymOf,
  recordsOf,
  seeded,
  startMs,
  trafficLeaf,
} from "./records.test-support.ts";
import { runFollow } from "./run-follow.ts";
import { runSearch } from "./run-search.ts";
import { SearchFold } from "./search-fold.ts";
import { everything, keys, pagesOf, ports, takeAll } from "./search-index.test-support.ts";
import { SearchIndex } from "./search-index.ts";
import { comparePositions, type Filter, type Followed, type Hit, type Page, type Places } from "./search-question.ts";
import { SqliteIndex } from "./sqlite-index.ts";

/** A place of an index: opened as often as wanted. */
interface IndexPlace {
  open(): Promise<IndexStore>;
}

function contract(freshPlace: () => IndexPlace): void {
  const openIn = async (place: IndexPlace) => SearchIndex.open(await place.open(), ports.now);

  test("a search over three gateways gives exactly the records that match, newest first, whatever page size and restarts in between", async () => {
    const place = freshPlace();
    const random = seeded(7);
    let index = await openIn(place);
    const all: { origin: string; index: number; at: number; leaf: Leaf }[] = [];
    for (const node of ["gw-1", "gw-2", "gw-3"]) {
      const leaves = Array.from({ length: 6_000 }, (_, n) => trafficLeaf(n, random, node));
      await takeAll(index, node, leaves);
      all.push(...leaves.map((leaf, n) => ({ origin: originOf(node).origin, index: n, at: leaf.at, leaf })));
      await index.close();
      index = await openIn(place);
    }
    const has = (leaf: Leaf, field: string, value: string) =>
      (leaf as unknown as Record<string, unknown>)[field] === value;
    const cases: readonly (readonly [readonly Filter[], (leaf: Leaf) => boolean])[] = [
      [[], () => true],
      [
        [{ field: "caller", values: [pseudonymOf("caller-3")] }],
        (leaf) => has(leaf, "caller", pseudonymOf("caller-3")),
      ],
      [
        [
          { field: "caller", values: [pseudonymOf("caller-1"), pseudonymOf("caller-2")] },
          { field: "outcome", values: ["denied"] },
          { field: "node", values: ["gw-2"] },
        ],
        (leaf) =>
          leaf.node === "gw-2" &&
          has(leaf, "outcome", "denied") &&
          (has(leaf, "caller", pseudonymOf("caller-1")) || has(leaf, "caller", pseudonymOf("caller-2"))),
      ],
      [
        [{ field: "address", values: [pseudonymOf("10.0.3.77")] }],
        (leaf) => has(leaf, "address", pseudonymOf("10.0.3.77")),
      ],
      [[{ field: "id", values: [idOf("gw-3", 4_321)] }], (leaf) => has(leaf, "id", idOf("gw-3", 4_321))],
      [[{ field: "caller", values: [pseudonymOf("nobody")] }], () => false],
    ];
    for (const [filters, wanted] of cases) {
      const from = startMs + 500;
      const to = startMs + 5_500;
      const right = all
        .filter(({ leaf, at }) => at >= from && at < to && wanted(leaf))
        .sort(comparePositions)
        .map((one) => `${one.origin}#${one.index}`);
      for (const limit of [7, 1_000]) {
        if (right.length / limit > 50) continue;
        assert.deepEqual(keys(await pagesOf(index, { filters, from, to, limit })), right, JSON.stringify(filters));
      }
    }
    await index.close();
  });

  test("pages stay what they were while newer records come in", async () => {
    const index = await openIn(freshPlace());
    await takeAll(
      index,
      "gw-1",
      Array.from({ length: 2_500 }, (_, n) => crossing(n)),
    );
    const first = await runSearch(index, { ...everything, limit: 100 }, ports);
    await takeAll(
      index,
      "gw-1",
      Array.from({ length: 2_500 }, (_, n) => crossing(2_500 + n)),
      2_500,
    );
    const second = await runSearch(index, { ...everything, limit: 100, after: first.next }, ports);
    assert.deepEqual(
      [...first.hits, ...second.hits].map((hit) => hit.index),
      Array.from({ length: 200 }, (_, n) => 2_499 - n),
    );
    await index.close();
  });

  test("the outcome of an effect is found by what its intent said, also over a restart, and never by another node's intent", async () => {
    const place = freshPlace();
    let index = await openIn(place);
    await takeAll(index, "gw-1", [intent(1, { caller: "shop" }), intent(2, { caller: "shop" }), outcome(2)]);
    await takeAll(index, "gw-2", [outcome(1)]);
    await index.close();
    index = await openIn(place);
    await takeAll(index, "gw-1", [outcome(1, { outcome: "system-error" })], 3);
    const filters = [
      { field: "caller", values: [pseudonymOf("shop")] },
      { field: "kind", values: ["outcome"] },
    ] as const;
    const hits = await pagesOf(index, { filters });
    assert.deepEqual(
      hits.map((hit) => [hit.node, JSON.parse(hit.leaf).outcome, JSON.parse(hit.intent ?? "null").caller]),
      [
        ["gw-1", "success", pseudonymOf("shop")],
        ["gw-1", "system-error", pseudonymOf("shop")],
      ],
    );
    await index.close();
  });

  test("what was taken twice is there once, and places say where to go on", async () => {
    const place = freshPlace();
    let index = await openIn(place);
    const leaves = Array.from({ length: 3_000 }, (_, n) => crossing(n));
    await takeAll(index, "gw-1", leaves);
    await takeAll(index, "gw-1", leaves);
    await index.take(originOf("gw-1"), recordsOf([crossing(2_999), crossing(3_000)], 2_999));
    assert.deepEqual([...index.places()], [[originOf("gw-1").origin, 3_001]]);
    await index.close();
    index = await openIn(place);
    assert.deepEqual([...index.places()], [[originOf("gw-1").origin, 3_001]]);
    assert.equal((await pagesOf(index, {})).length, 3_001);
    await index.close();
  });

  test("poisoned record attack: bytes that are no leaf, and leaves that claim another node, environment or the far future, stop nothing and hide nowhere", async () => {
    const index = await openIn(freshPlace());
    const now = startMs + 86_400_000;
    const poisoned = [
      { index: 0, leaf: Buffer.from('{"v":9,"t":"crossing"}'), reference: null },
      { index: 1, leaf: Buffer.from([0, 255, 10, 34, 92]), reference: null },
      ...recordsOf([crossing(1, { node: "gw-2" }), crossing(2, { environment: "staging" })], 2),
      ...recordsOf([crossing(3, { at: 9_999_999_999_999 }), crossing(4)], 4),
    ];
    await index.take(originOf("gw-1"), poisoned);
    const odd = await pagesOf(index, { filters: [{ field: "odd", values: ["unreadable", "foreign-place"] }] });
    assert.deepEqual(odd.map((hit) => [hit.index, hit.odd]).sort(), [
      [0, "unreadable"],
      [1, "unreadable"],
      [2, "foreign-place"],
      [3, "foreign-place"],
    ]);
    assert.deepEqual(await pagesOf(index, { filters: [{ field: "node", values: ["gw-2"] }] }), []);
    assert.deepEqual(await pagesOf(index, { filters: [{ field: "environment", values: ["staging"] }] }), []);
    const [future] = await pagesOf(index, { filters: [{ field: "id", values: [idOf("gw-1", 3)] }] });
    assert.equal(future?.at, now);
    await index.close();
  });

  /** Follows until nothing more is there. */
  async function followAll(
    index: SearchIndex,
    after: Places | null,
    {
      filters,
      limit,
      hinted,
    }: { readonly filters: readonly Filter[]; readonly limit: number; readonly hinted: boolean },
  ): Promise<{ readonly seen: readonly string[]; readonly places: Places; readonly missing: number }> {
    const seen: string[] = [];
    let missing = 0;
    let last: Followed | null = null;
    do {
      const hint = hinted ? (last?.hint ?? null) : null;
      last = await runFollow(index, { filters, after: last?.places ?? after, hint, limit });
      seen.push(...keys(last.hits));
      missing += last.missing;
      assert.ok(seen.length < 100_000, "it comes to an end");
    } while (last.more);
    return { seen, places: last.places, missing };
  }
  const denied = [{ field: "outcome", values: ["denied"] }] as const;
  const mixed = (node: string, from: number, to: number) =>
    Array.from({ length: to - from }, (_, n) =>
      crossing(from + n, { node, outcome: (from + n) % 3 === 0 ? "denied" : "success" }),
    );
  const deniedOf = (node: string, from: number, to: number) =>
    mixed(node, from, to).flatMap((_, n) => ((from + n) % 3 === 0 ? [`${originOf(node).origin}#${from + n}`] : []));

  test("whoever follows gets what matches in the order it came, each once, over blocks, restarts and what waits", async () => {
    for (const hinted of [true, false]) {
      const place = freshPlace();
      let index = await openIn(place);
      const follow = { filters: denied, limit: 50, hinted };
      const start = await followAll(index, null, follow);
      assert.deepEqual(start, { seen: [], places: {}, missing: 0 });
      const seen: string[] = [];
      let places = start.places;
      const more = async () => {
        const found = await followAll(index, places, follow);
        seen.push(...found.seen);
        places = found.places;
      };
      await takeAll(index, "gw-1", mixed("gw-1", 0, 100));
      await more();
      await takeAll(index, "gw-1", mixed("gw-1", 100, 5_000), 100);
      await more();
      await index.close();
      index = await openIn(place);
      await takeAll(index, "gw-1", mixed("gw-1", 5_000, 7_000), 5_000);
      await more();
      assert.deepEqual(seen, deniedOf("gw-1", 0, 7_000));
      assert.deepEqual(places, { [originOf("gw-1").origin]: 7_000 });
      const again = await followAll(index, places, follow);
      assert.deepEqual(again.seen, []);
      await index.close();
    }
  });

  test("a follower that begins now sees nothing older, and one with a place sees all that came since, of origins it never heard of too", async () => {
    const index = await openIn(freshPlace());
    await takeAll(index, "gw-1", mixed("gw-1", 0, 4_000));
    const { places } = await followAll(index, null, { filters: denied, limit: 500, hinted: false });
    await takeAll(index, "gw-2", mixed("gw-2", 0, 300));
    await takeAll(index, "gw-1", mixed("gw-1", 4_000, 4_100), 4_000);
    const { seen } = await followAll(index, places, { filters: denied, limit: 500, hinted: false });
    assert.deepEqual(seen, [...deniedOf("gw-2", 0, 300), ...deniedOf("gw-1", 4_000, 4_100)]);
    await index.close();
  });

  test("a place outlives a rebuild that took the records in another order: nothing is lost and nothing comes twice", async () => {
    const index = await openIn(freshPlace());
    await takeAll(index, "gw-1", mixed("gw-1", 0, 3_000));
    await takeAll(index, "gw-2", mixed("gw-2", 0, 3_000));
    const { places } = await followAll(index, null, { filters: denied, limit: 500, hinted: false });
    await index.rebuild();
    await takeAll(index, "gw-2", mixed("gw-2", 0, 2_000));
    // Not there yet: nothing to say, and nothing forgotten.
    assert.deepEqual((await followAll(index, places, { filters: denied, limit: 500, hinted: false })).seen, []);
    await takeAll(index, "gw-2", mixed("gw-2", 2_000, 5_000), 2_000);
    await takeAll(index, "gw-1", mixed("gw-1", 0, 4_500));
    const found = await followAll(index, places, { filters: denied, limit: 100, hinted: true });
    assert.deepEqual(
      [...found.seen].sort(),
      [...deniedOf("gw-1", 3_000, 4_500), ...deniedOf("gw-2", 3_000, 5_000)].sort(),
    );
    assert.equal(found.missing, 0);
    await index.close();
  });

  test("forged place attack: numbers that no index has, negative ones and origins that are none show nothing that does not match", async () => {
    const index = await openIn(freshPlace());
    await takeAll(index, "gw-1", mixed("gw-1", 0, 2_500));
    const { origin } = originOf("gw-1");
    for (const places of [
      { [origin]: Number.MAX_SAFE_INTEGER },
      { [origin]: 2_500.5 },
      { ["__proto__"]: 3, [origin]: 2_500 },
    ]) {
      const { seen } = await followAll(index, places, { filters: denied, limit: 500, hinted: false });
      assert.deepEqual(seen, [], JSON.stringify(places));
    }
    const { seen } = await followAll(index, { "nobody/x": 7 }, { filters: denied, limit: 500, hinted: false });
    assert.deepEqual(seen, deniedOf("gw-1", 0, 2_500));
    await index.close();
  });

  test("injection attack: what SQL, LIKE or a regular expression would take for more than a value is compared whole, and finds nothing", async () => {
    const index = await openIn(freshPlace());
    await takeAll(index, "gw-1", mixed("gw-1", 0, 2_300));
    // Records that wait for their block are judged one by one.
    await index.take(originOf("gw-1"), recordsOf(mixed("gw-1", 2_300, 2_310), 2_300));
    // No origin is called so; one that were must be a name to the store, and nothing else.
    const evilOrigin = originOf("gw-1", { origin: 'x/\'); DELETE FROM origin; --/"$1"' });
    await index.take(evilOrigin, recordsOf([crossing(0, { outcome: "success" })]));
    const evil = [
      ...["' OR 1=1 --", "x'; DROP TABLE origin; --", "%", "_%", "den%", "denie_", ".*", "^denied$", "denied|success"],
      ...["{denied,success}", '"denied"', "denied\n", "$1", "?", "denied/*", "DENIED", "denied "],
    ];
    for (const field of ["outcome", "caller", "id", "node", "operation", "object"] as const)
      for (const value of evil)
        assert.deepEqual(await pagesOf(index, { filters: [{ field, values: [value] }] }), [], `${field} ${value}`);
    assert.equal((await pagesOf(index, { filters: denied })).length, deniedOf("gw-1", 0, 2_310).length);
    assert.deepEqual(index.places().get(evilOrigin.origin), 1);
    await index.close();
  });

  test("a rebuild forgets everything and asks for it from the beginning", async () => {
    const place = freshPlace();
    const fold = await SearchFold.open(await place.open(), ports);
    await fold.take({ origin: originOf("gw-1"), records: recordsOf([crossing(0), crossing(1)]) });
    const before = fold.restarts;
    assert.deepEqual(await fold.answer({ ask: "rebuild" }), { kind: "rebuilding" });
    assert.notEqual(fold.restarts, before);
    assert.deepEqual([...(await fold.places())], []);
    await fold.take({ origin: originOf("gw-1"), records: recordsOf([crossing(0)]) });
    const answer = await fold.answer({ ask: "search", search: everything });
    assert.ok(answer.kind === "page" && answer.page.hits.length === 1);
    await fold.close();
  });

  test("a search that meets its bound says how far back it reached, and its next page goes on there without a gap", async () => {
    const index = await openIn(freshPlace());
    await takeAll(
      index,
      "gw-1",
      Array.from({ length: 20_000 }, (_, n) => crossing(n, { outcome: n === 3 ? "denied" : "success" })),
    );
    // Both terms are in every block, and only one record has both: nothing but reading tells.
    const filters = [{ field: "caller", values: [pseudonymOf("orders")] }] as const;
    let now = 0;
    const slow = { monotonic: () => (now += 700), turn: ports.turn };
    const found: Hit[] = [];
    let bounded = 0;
    let page: Page | null = null;
    do {
      page = await runSearch(index, { ...everything, filters, limit: 30_000, after: page?.next ?? null }, slow);
      found.push(...page.hits);
      if (page.bounded) bounded += 1;
      if (page.bounded) assert.ok(page.searchedTo > startMs && page.searchedTo < startMs + 20_000);
    } while (page.next !== null);
    assert.ok(bounded > 1);
    assert.deepEqual(
      found.map((hit) => hit.index),
      Array.from({ length: 20_000 }, (_, n) => 19_999 - n),
    );
    await index.close();
  });
}

describe("sqlite", () => {
  const folder = mkdtempSync(join(tmpdir(), "search-contract-"));
  after(() => rmSync(folder, { recursive: true, force: true }));
  let places = 0;
  contract(() => {
    const directory = join(folder, String(places++));
    const options = { directory, owner: "control-1", now: ports.now, bytesMax: 1e12, keepMs: 1e12 };
    return { open: async () => new SqliteIndex(options) };
  });
});

describe("postgres", () => {
  let server: Awaited<ReturnType<typeof testServer>> | null = null;
  const schemas: string[] = [];
  before(async () => {
    server = await testServer();
  });
  after(async () => {
    const url = server?.url ?? "";
    for (const schema of schemas) await dropSchema(url, schema);
    await server?.stop();
  });
  const freshPlace = () => {
    const url = server?.url ?? assert.fail("the server has started");
    const schema = `test_${randomBytes(8).toString("hex")}_search`;
    schemas.push(schema);
    const options = { url, schema, now: ports.now, bytesMax: 1e12, keepMs: 1e12 };
    return { ...options, open: async () => new PostgresIndex(options) };
  };
  contract(freshPlace);

  test("two control nodes write one index: what each holds is found at both, and what both hold is there once", async () => {
    const place = freshPlace();
    const [a, b] = [await SearchFold.open(await place.open(), ports), await SearchFold.open(await place.open(), ports)];
    const batch = (node: string, from: number, to: number) => ({
      origin: originOf(node),
      records: recordsOf(
        Array.from({ length: to - from }, (_, n) => crossing(from + n, { node })),
        from,
      ),
    });
    await Promise.all([
      ...Array.from({ length: 6 }, (_, n) => n).map(async (n) => {
        await a.take(batch("gw-1", n * 500, n * 500 + 500));
      }),
      ...Array.from({ length: 6 }, (_, n) => n).map(async (n) => {
        await b.take(batch("gw-2", n * 500, n * 500 + 500));
      }),
    ]);
    // An archive that moved: both have it.
    await Promise.all([a.take(batch("gw-3", 0, 700)), b.take(batch("gw-3", 0, 400))]);
    await b.take(batch("gw-3", 300, 900));
    for (const node of [a, b]) {
      const answer = await node.answer({ ask: "search", search: { ...everything, limit: 10_000 } });
      assert.ok(answer.kind === "page");
      assert.equal(answer.page.hits.length, 6_900);
      assert.equal(new Set(keys(answer.page.hits)).size, 6_900);
      assert.deepEqual(
        [...(await node.places()).values()].sort((x, y) => x - y),
        [900, 3_000, 3_000],
      );
    }
    // One rebuilds: the other notices that it has to begin anew.
    const before = b.restarts;
    await a.answer({ ask: "rebuild" });
    await assert.rejects(b.take(batch("gw-2", 3_000, 3_100)), /is at record 0/);
    assert.notEqual(b.restarts, before);
    assert.deepEqual([...(await b.places())], []);
    await b.take(batch("gw-2", 0, 100));
    const answer = await a.answer({ ask: "search", search: everything });
    assert.ok(answer.kind === "page" && answer.page.hits.length === 100);
    await a.close();
    await b.close();
  });

  test("the index can be dropped under the running control plane: it is made anew, and asked for from the beginning", async () => {
    const place = freshPlace();
    const fold = await SearchFold.open(await place.open(), ports);
    const records = recordsOf(Array.from({ length: 2_500 }, (_, n) => crossing(n)));
    await fold.take({ origin: originOf("gw-1"), records: records.slice(0, 2_048) });
    await dropSchema(place.url, place.schema);
    const before = fold.restarts;
    await assert.rejects(fold.take({ origin: originOf("gw-1"), records: records.slice(2_048) }), /made again/);
    await assert.rejects(fold.take({ origin: originOf("gw-1"), records: records.slice(2_048) }), /is at record 0/);
    assert.notEqual(fold.restarts, before);
    assert.deepEqual([...(await fold.places())], []);
    await fold.take({ origin: originOf("gw-1"), records: records.slice(0, 2_048) });
    await fold.take({ origin: originOf("gw-1"), records: records.slice(2_048) });
    const answer = await fold.answer({ ask: "search", search: { ...everything, limit: 3_000 } });
    assert.ok(answer.kind === "page" && answer.page.hits.length === 2_500);
    await fold.close();
  });

  test("a database that is away keeps nothing from starting, and says so to whoever asks", async () => {
    const options = { url: "postgres://nobody:x@127.0.0.1:1/none", schema: "gone_search", now: ports.now };
    const fold = SearchFold.later(new PostgresIndex({ ...options, bytesMax: 1, keepMs: 1 }), ports);
    await assert.rejects(fold.places(), /PostgreSQL at 127\.0\.0\.1:1\/none/);
    await assert.rejects(fold.answer({ ask: "search", search: everything }), /PostgreSQL at/);
    await fold.close();
  });

  test("index attack: bytes turned in the database are noticed by the search that meets them, which begins anew", async () => {
    const place = freshPlace();
    const fold = await SearchFold.open(await place.open(), ports);
    await fold.take({
      origin: originOf("gw-1"),
      records: recordsOf(Array.from({ length: 2_048 }, (_, n) => crossing(n))),
    });
    await withPool(place, (query) =>
      query("UPDATE part SET bytes = set_byte(bytes, 40, (get_byte(bytes, 40) + 1) % 256) WHERE part = 16 + 7"),
    );
    const answer = await fold.answer({ ask: "search", search: everything });
    assert.equal(answer.kind, "damaged");
    assert.deepEqual([...(await fold.places())], []);
    await fold.close();
  });

  async function withPool(
    { url, schema }: { readonly url: string; readonly schema: string },
    work: (query: (sql: string) => Promise<unknown>) => Promise<unknown>,
  ): Promise<void> {
    const limits = { connectionsMax: 1, connectTimeoutMs: 5_000, statementTimeoutMs: 30_000, lockTimeoutMs: 10_000 };
    const pool = makePool(parsePostgresUrl(url), schema, limits);
    try {
      await work((sql) => pool.query(sql));
    } finally {
      await pool.end();
    }
  }

  const dropSchema = (url: string, schema: string) =>
    withPool({ url, schema }, (query) => query(`DROP SCHEMA IF EXISTS ${schema} CASCADE`));
});
