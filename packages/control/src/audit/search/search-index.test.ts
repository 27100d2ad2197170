import assert from "node:assert/strict";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import type { Leaf } from "@sallyport/protocol/audit/leaf.ts";
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
import { SearchIndex } from "./search-index.ts";
import { comparePositions, type Filter, type Hit, type Page, type Search } from "./search-question.ts";

const directories: string[] = [];
after(() => {
  for (const directory of directories) rmSync(directory, { recursive: true, force: true });
});

function freshDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), "search-index-"));
  directories.push(directory);
  return directory;
}

const ports = { monotonic: () => performance.now(), turn: () => new Promise<void>((resolve) => setImmediate(resolve)) };
const everything: Search = { from: 0, to: Number.MAX_SAFE_INTEGER, filters: [], after: null, limit: 1_000 };
const optionsOf = (directory: string, changes: object = {}) => ({
  directory,
  owner: "control-1",
  now: () => startMs + 86_400_000,
  bytesMax: 1e12,
  keepMs: 1e12,
  ...changes,
});
const openIn = (directory: string, changes: object = {}) => new SearchIndex(optionsOf(directory, changes));

function takeAll(index: SearchIndex, node: string, leaves: readonly Leaf[], from = 0): void {
  const records = recordsOf(leaves, from);
  for (let at = 0; at < records.length; at += 1_500) index.take(originOf(node), records.slice(at, at + 1_500));
}

async function pagesOf(index: SearchIndex, search: Partial<Search>): Promise<Hit[]> {
  const hits: Hit[] = [];
  let page: Page | null = null;
  do {
    page = await runSearch(index, { ...everything, ...search, after: page?.next ?? null }, ports);
    hits.push(...page.hits);
  } while (page.next !== null);
  return hits;
}

const readBytes = (path: string) => readFileSync(path);
const keys = (hits: readonly Hit[]) => hits.map(({ origin, index }) => `${origin}#${index}`);

test("a search over three gateways gives exactly the records that match, newest first, whatever page size and restarts in between", async () => {
  const directory = freshDirectory();
  const random = seeded(7);
  let index = openIn(directory);
  const all: { origin: string; index: number; at: number; leaf: Leaf }[] = [];
  for (const node of ["gw-1", "gw-2", "gw-3"]) {
    const leaves = Array.from({ length: 6_000 }, (_, n) => trafficLeaf(n, random, node));
    takeAll(index, node, leaves);
    all.push(...leaves.map((leaf, n) => ({ origin: originOf(node).origin, index: n, at: leaf.at, leaf })));
    index.close();
    index = openIn(directory);
  }
  const has = (leaf: Leaf, field: string, value: string) =>
    (leaf as unknown as Record<string, unknown>)[field] === value;
  const cases: readonly (readonly [readonly Filter[], (leaf: Leaf) => boolean])[] = [
    [[], () => true],
    [[{ field: "caller", values: [pseudonymOf("caller-3")] }], (leaf) => has(leaf, "caller", pseudonymOf("caller-3"))],
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
  index.close();
});

test("pages stay what they were while newer records come in", async () => {
  const index = openIn(freshDirectory());
  takeAll(
    index,
    "gw-1",
    Array.from({ length: 2_500 }, (_, n) => crossing(n)),
  );
  const first = await runSearch(index, { ...everything, limit: 100 }, ports);
  takeAll(
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
  index.close();
});

test("the outcome of an effect is found by what its intent said, also over a restart, and never by another node's intent", async () => {
  const directory = freshDirectory();
  let index = openIn(directory);
  takeAll(index, "gw-1", [intent(1, { caller: "shop" }), intent(2, { caller: "shop" }), outcome(2)]);
  takeAll(index, "gw-2", [outcome(1)]);
  index.close();
  index = openIn(directory);
  takeAll(index, "gw-1", [outcome(1, { outcome: "system-error" })], 3);
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
  index.close();
});

test("what was taken twice is there once, and places say where to go on", async () => {
  const directory = freshDirectory();
  let index = openIn(directory);
  const leaves = Array.from({ length: 3_000 }, (_, n) => crossing(n));
  takeAll(index, "gw-1", leaves);
  takeAll(index, "gw-1", leaves);
  index.take(originOf("gw-1"), recordsOf([crossing(2_999), crossing(3_000)], 2_999));
  assert.deepEqual([...index.places()], [[originOf("gw-1").origin, 3_001]]);
  index.close();
  index = openIn(directory);
  assert.deepEqual([...index.places()], [[originOf("gw-1").origin, 3_001]]);
  assert.equal((await pagesOf(index, {})).length, 3_001);
  index.close();
});

test("poisoned record attack: bytes that are no leaf, and leaves that claim another node, environment or the far future, stop nothing and hide nowhere", async () => {
  const index = openIn(freshDirectory());
  const now = startMs + 86_400_000;
  const poisoned = [
    { index: 0, leaf: Buffer.from('{"v":9,"t":"crossing"}'), reference: null },
    { index: 1, leaf: Buffer.from([0, 255, 10, 34, 92]), reference: null },
    ...recordsOf([crossing(1, { node: "gw-2" }), crossing(2, { environment: "staging" })], 2),
    ...recordsOf([crossing(3, { at: 9_999_999_999_999 }), crossing(4)], 4),
  ];
  index.take(originOf("gw-1"), poisoned);
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
  index.close();
});

test("a full file is sealed and followed by the next; what is older than wanted, or more than fits, is dropped", async () => {
  const directory = freshDirectory();
  let index = openIn(directory);
  for (let turn = 0; turn < 3; turn++) {
    takeAll(
      index,
      "gw-1",
      Array.from({ length: 3_000 }, (_, n) => crossing(turn * 3_000 + n)),
      turn * 3_000,
    );
    index.files.turn();
  }
  assert.deepEqual(
    readdirSync(directory)
      .filter((name) => name.endsWith(".sqlite"))
      .sort(),
    ["00000001.sqlite", "00000002.sqlite", "00000003.sqlite", "00000004.sqlite"],
  );
  const wanted = { filters: [{ field: "id", values: [idOf("gw-1", 4_000)] }] } as const;
  assert.equal((await pagesOf(index, wanted)).length, 1);
  assert.equal((await pagesOf(index, {})).length, 9_000);
  index.close();
  index = openIn(directory, { bytesMax: (index.files.sealed[0]?.bytes ?? 0) * 1.5 });
  index.take(originOf("gw-1"), recordsOf([crossing(9_000)], 9_000));
  assert.equal(index.files.sealed.length, 1);
  assert.equal((await pagesOf(index, wanted)).length, 0);
  index.close();
  index = openIn(directory);
  assert.equal(index.places().get(originOf("gw-1").origin), 9_001);
  index.close();
});

test("whoever follows gets what matches in the order it came, each once, over blocks, restarts and what waits", async () => {
  const directory = freshDirectory();
  let index = openIn(directory);
  const filters = [{ field: "outcome", values: ["denied"] }] as const;
  let next = runFollow(index, { filters, from: null, limit: 10 }).next;
  assert.equal(next, 0);
  const seen: string[] = [];
  const follow = () => {
    for (;;) {
      const { hits, next: after } = runFollow(index, { filters, from: next, limit: 50 });
      seen.push(...keys(hits));
      if (after === next) return;
      next = after;
    }
  };
  const leaves = Array.from({ length: 7_000 }, (_, n) => crossing(n, { outcome: n % 3 === 0 ? "denied" : "success" }));
  takeAll(index, "gw-1", leaves.slice(0, 100));
  follow();
  takeAll(index, "gw-1", leaves.slice(100, 5_000), 100);
  follow();
  index.close();
  index = openIn(directory);
  takeAll(index, "gw-1", leaves.slice(5_000), 5_000);
  follow();
  const right = leaves.flatMap((_, n) => (n % 3 === 0 ? [`${originOf("gw-1").origin}#${n}`] : []));
  assert.deepEqual(seen, right);
  index.close();
});

async function damagedBy(
  damage: (directory: string) => void,
): Promise<{ index: SearchIndex; places: number | undefined }> {
  const directory = freshDirectory();
  let index = openIn(directory);
  for (let turn = 0; turn < 3; turn++) {
    takeAll(
      index,
      "gw-1",
      Array.from({ length: 3_000 }, (_, n) => crossing(turn * 3_000 + n)),
      turn * 3_000,
    );
    index.files.turn();
  }
  index.close();
  damage(directory);
  index = openIn(directory);
  return { index, places: index.places().get(originOf("gw-1").origin) };
}

test("index attack: a file deleted, replaced by rubbish or by another installation's is noticed, and what was behind it is asked for again", async () => {
  const foreign = freshDirectory();
  const other = openIn(foreign, { owner: "control-2" });
  takeAll(
    other,
    "gw-1",
    Array.from({ length: 3_000 }, (_, n) => crossing(n, { caller: "forged" })),
  );
  other.files.turn();
  other.close();
  const cases: readonly (readonly [string, (directory: string) => void, number | undefined])[] = [
    ["the second deleted", (directory) => rmSync(join(directory, "00000002.sqlite")), 3_000],
    ["the first deleted", (directory) => rmSync(join(directory, "00000001.sqlite")), undefined],
    ["the newest deleted", (directory) => rmSync(join(directory, "00000004.sqlite")), 9_000],
    [
      "rubbish",
      (directory) => writeFileSync(join(directory, "00000003.sqlite"), "not a database at all ".repeat(400)),
      6_000,
    ],
    [
      "another installation's",
      (directory) => {
        rmSync(join(directory, "00000001.sqlite"));
        writeFileSync(join(directory, "00000001.sqlite"), readBytes(join(foreign, "00000001.sqlite")));
      },
      undefined,
    ],
    ["all deleted", (directory) => rmSync(directory, { recursive: true }), undefined],
  ];
  for (const [name, damage, expected] of cases) {
    const { index, places } = await damagedBy(damage);
    assert.equal(places, expected, name);
    takeAll(
      index,
      "gw-1",
      Array.from({ length: 9_000 - (places ?? 0) }, (_, n) => crossing((places ?? 0) + n)),
      places ?? 0,
    );
    const hits = await pagesOf(index, {});
    assert.equal(hits.length, 9_000, name);
    assert.ok(!hits.some(({ leaf }) => leaf.includes(pseudonymOf("forged"))), name);
    index.close();
  }
});

test("index attack: bytes turned inside a file are noticed by the search that meets them, which says so and begins anew", async () => {
  const directory = freshDirectory();
  let index = openIn(directory);
  takeAll(
    index,
    "gw-1",
    Array.from({ length: 6_000 }, (_, n) => crossing(n)),
  );
  index.files.turn();
  index.close();
  const path = join(directory, "00000001.sqlite");
  const bytes = readBytes(path);
  // Inside the compressed leaves, which fill most of the file.
  for (let at = 8_192; at < bytes.length - 8_192; at += 512) bytes[at] = (bytes[at] ?? 0) ^ 0x55;
  writeFileSync(path, bytes);
  index = openIn(directory);
  index.close();
  const fold = new SearchFold(optionsOf(directory), ports);
  const before = fold.restarts;
  let answer = await fold.answer({ ask: "search", search: everything });
  if (before === 0 && (await fold.places()).size > 0) answer = await fold.answer({ ask: "search", search: everything });
  assert.ok(answer.kind === "damaged" || (answer.kind === "page" && answer.page.hits.length === 0));
  assert.deepEqual([...(await fold.places())], []);
  await fold.take({ origin: originOf("gw-1"), records: recordsOf([crossing(0)]) });
  answer = await fold.answer({ ask: "search", search: everything });
  assert.ok(answer.kind === "page" && answer.page.hits.length === 1);
  await fold.close();
});

test("a rebuild forgets everything and asks for it from the beginning", async () => {
  const directory = freshDirectory();
  const fold = new SearchFold(optionsOf(directory), ports);
  await fold.take({ origin: originOf("gw-1"), records: recordsOf([crossing(0), crossing(1)]) });
  const before = fold.restarts;
  assert.deepEqual(await fold.answer({ ask: "rebuild" }), { kind: "rebuilding" });
  assert.notEqual(fold.restarts, before);
  assert.deepEqual([...(await fold.places())], []);
  assert.ok(existsSync(join(directory, "00000001.sqlite")));
  await fold.close();
});

test("a search that meets its bound says how far back it reached, and its next page goes on there without a gap", async () => {
  const index = openIn(freshDirectory());
  takeAll(
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
  index.close();
});
