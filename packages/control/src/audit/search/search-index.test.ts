// The index in SQLite files: how they follow one another, what goes first, and what a tampered or torn one leads to.
import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import type { IndexFiles } from "./index-files.ts";
import { crossing, idOf, originOf, pseudonymOf, recordsOf } from "./records.test-support.ts";
import { SearchFold } from "./search-fold.ts";
import { everything, pagesOf, ports, takeAll } from "./search-index.test-support.ts";
import { SearchIndex } from "./search-index.ts";
import { SqliteIndex } from "./sqlite-index.ts";

const directories: string[] = [];
after(() => {
  for (const directory of directories) rmSync(directory, { recursive: true, force: true });
});

function freshDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), "search-index-"));
  directories.push(directory);
  return directory;
}

const storeIn = (directory: string, changes: object = {}) =>
  new SqliteIndex({ directory, owner: "control-1", now: ports.now, bytesMax: 1e12, keepMs: 1e12, ...changes });
const openIn = (directory: string, changes: object = {}) => SearchIndex.open(storeIn(directory, changes), ports.now);
const openFold = (directory: string) => SearchFold.open(storeIn(directory), ports);

function filesOf({ store }: SearchIndex): IndexFiles {
  assert.ok(store instanceof SqliteIndex);
  return store.files;
}

const readBytes = (path: string) => readFileSync(path);

test("a full file is sealed and followed by the next; what is older than wanted, or more than fits, is dropped", async () => {
  const directory = freshDirectory();
  let index = await openIn(directory);
  for (let turn = 0; turn < 3; turn++) {
    await takeAll(
      index,
      "gw-1",
      Array.from({ length: 3_000 }, (_, n) => crossing(turn * 3_000 + n)),
      turn * 3_000,
    );
    filesOf(index).turn();
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
  await index.close();
  index = await openIn(directory, { bytesMax: (filesOf(index).sealed[0]?.bytes ?? 0) * 1.5 });
  await index.take(originOf("gw-1"), recordsOf([crossing(9_000)], 9_000));
  assert.equal(filesOf(index).sealed.length, 1);
  assert.equal((await pagesOf(index, wanted)).length, 0);
  await index.close();
  index = await openIn(directory);
  assert.equal(index.places().get(originOf("gw-1").origin), 9_001);
  await index.close();
});

async function damagedBy(
  damage: (directory: string) => void,
): Promise<{ index: SearchIndex; places: number | undefined }> {
  const directory = freshDirectory();
  let index = await openIn(directory);
  for (let turn = 0; turn < 3; turn++) {
    await takeAll(
      index,
      "gw-1",
      Array.from({ length: 3_000 }, (_, n) => crossing(turn * 3_000 + n)),
      turn * 3_000,
    );
    filesOf(index).turn();
  }
  await index.close();
  damage(directory);
  index = await openIn(directory);
  return { index, places: index.places().get(originOf("gw-1").origin) };
}

test("index attack: a file deleted, replaced by rubbish or by another installation's is noticed, and what was behind it is asked for again", async () => {
  const foreign = freshDirectory();
  const other = await openIn(foreign, { owner: "control-2" });
  await takeAll(
    other,
    "gw-1",
    Array.from({ length: 3_000 }, (_, n) => crossing(n, { caller: "forged" })),
  );
  filesOf(other).turn();
  await other.close();
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
    await takeAll(
      index,
      "gw-1",
      Array.from({ length: 9_000 - (places ?? 0) }, (_, n) => crossing((places ?? 0) + n)),
      places ?? 0,
    );
    const hits = await pagesOf(index, {});
    assert.equal(hits.length, 9_000, name);
    assert.ok(!hits.some(({ leaf }) => leaf.includes(pseudonymOf("forged"))), name);
    await index.close();
  }
});

test("index attack: bytes turned inside a file are noticed by the search that meets them, which says so and begins anew", async () => {
  const directory = freshDirectory();
  let index = await openIn(directory);
  await takeAll(
    index,
    "gw-1",
    Array.from({ length: 6_000 }, (_, n) => crossing(n)),
  );
  filesOf(index).turn();
  await index.close();
  const path = join(directory, "00000001.sqlite");
  const bytes = readBytes(path);
  // Inside the compressed leaves, which fill most of the file.
  for (let at = 8_192; at < bytes.length - 8_192; at += 512) bytes[at] = (bytes[at] ?? 0) ^ 0x55;
  writeFileSync(path, bytes);
  index = await openIn(directory);
  await index.close();
  const fold = await openFold(directory);
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
