// A tail over a real index: every record once, whoever stops reading is told where to go on, and nobody can hold more of them than allowed.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { deflateRawSync, inflateRawSync } from "node:zlib";
import { AdminFault } from "../../admin/actions.ts";
import { crossing, originOf, recordsOf } from "./records.test-support.ts";
import { parseTailCursor, printTailCursor, type Where } from "./records-request.ts";
import { SearchFold } from "./search-fold.ts";
import { ports } from "./search-index.test-support.ts";
import { SqliteIndex } from "./sqlite-index.ts";
import { Tail, type TailLine, type TailPorts, Tails, type TailTimes, tailsMax, tailsOfOperatorMax } from "./tail.ts";

const folder = mkdtempSync(join(tmpdir(), "tail-"));
after(() => rmSync(folder, { recursive: true, force: true }));
let folds = 0;
const bounded = { timeout: 120_000 };
const calm: TailTimes = { heartbeatMs: 60_000, lifeMs: 60_000, slowMs: 60_000, awayMs: 60_000 };

async function openFold(): Promise<SearchFold> {
  const directory = join(folder, String(folds++));
  const options = { directory, owner: "control-1", now: ports.now, bytesMax: 1e12, keepMs: 1e12 };
  return SearchFold.open(new SqliteIndex(options), ports);
}

const take = (fold: SearchFold, from: number, to: number) =>
  fold.take({
    origin: originOf("gw-1"),
    records: recordsOf(
      Array.from({ length: to - from }, (_, n) => crossing(from + n)),
      from,
    ),
  });

interface Opened {
  readonly tail: Tail;
  readonly reader: ReadableStreamDefaultReader<Uint8Array>;
  next(): Promise<TailLine | null>;
}

/** Opens a tail after a cursor; null: from now on. */
async function opened(fold: SearchFold, cursor: string | null, changes: Partial<TailPorts> = {}): Promise<Opened> {
  const tail = new Tail({
    after: cursor === null ? null : parseTailCursor({ where: {}, cursor }),
    reader: { actor: "operator:ada", permitted: async () => true },
    times: calm,
    follow: async (place, hint) => {
      const answer = await fold.answer({ ask: "follow", follow: { filters: [], after: place, hint, limit: 200 } });
      assert.ok(answer.kind === "followed");
      return answer.followed;
    },
    behind: async () => 0,
    print: async ({ hits }) => ({ hits: hits.map((hit) => ({ ...hit, leafHash: "" })), names: {} }),
    cursor: (places) => printTailCursor({}, places),
    left: () => undefined,
    ...changes,
  });
  await tail.begin();
  const reader = tail.stream().getReader();
  return {
    ...{ tail, reader },
    next: async () => {
      const step = await reader.read();
      return step.done ? null : (JSON.parse(Buffer.from(step.value).toString("utf8")) as TailLine);
    },
  };
}

/** Reads until so many records came, or the end. */
async function read(from: Opened, records: number): Promise<{ readonly seen: number[]; readonly last: TailLine }> {
  const seen: number[] = [];
  for (;;) {
    const line = await from.next();
    assert.ok(line !== null, "every tail ends with a line that says so");
    if (line.t === "records") seen.push(...line.hits.map(({ index }) => index));
    if (line.t === "end" || seen.length >= records) return { seen, last: line };
  }
}

const numbers = (from: number, to: number) => Array.from({ length: to - from }, (_, n) => from + n);

test(
  "a tail that is as old as a token ends with a cursor, and the next one goes on there without loss or repetition",
  bounded,
  async () => {
    const fold = await openFold();
    await take(fold, 0, 100);
    const first = await opened(fold, null, { times: { ...calm, lifeMs: 400 } });
    assert.equal((await first.next())?.t, "begin");
    await take(fold, 100, 700);
    const { seen, last } = await read(first, Number.POSITIVE_INFINITY);
    assert.ok(last.t === "end" && last.code === "renew");
    assert.equal(await first.next(), null);
    await take(fold, 700, 1_000);
    const second = await opened(fold, last.cursor);
    const rest = await read(second, 900 - seen.length);
    assert.deepEqual([...seen, ...rest.seen], numbers(100, 1_000));
    await second.reader.cancel();
    await fold.close();
  },
);

test(
  "tail attack: a reader that stops reading is given up with a last line that says where to go on; the index goes on meanwhile",
  bounded,
  async () => {
    const fold = await openFold();
    let asked = 0;
    let left = 0;
    const follow: TailPorts["follow"] = async (place, hint) => {
      asked += 1;
      const answer = await fold.answer({ ask: "follow", follow: { filters: [], after: place, hint, limit: 200 } });
      assert.ok(answer.kind === "followed");
      return answer.followed;
    };
    const given = Promise.withResolvers<void>();
    const slow = await opened(fold, null, {
      follow,
      times: { ...calm, slowMs: 300 },
      left: () => {
        left += 1;
        given.resolve();
      },
    });
    // Before anything is read: from the first line on, a pause is a reader that stopped reading.
    await take(fold, 0, 1_000);
    await slow.next();
    const line = await slow.next();
    assert.ok(line?.t === "records");
    const before = asked;
    // Nothing is read now.
    await take(fold, 1_000, 2_000);
    await given.promise;
    assert.equal(asked, before, "a reader that does not read asks nothing of the index");
    assert.equal(left, 1);
    const last = await slow.next();
    assert.ok(last?.t === "end" && last.code === "slow-reader");
    assert.equal(await slow.next(), null);
    const again = await opened(fold, last.cursor);
    const rest = await read(again, 2_000 - line.hits.length);
    assert.deepEqual([...line.hits.map(({ index }) => index), ...rest.seen], numbers(0, 2_000));
    await again.reader.cancel();
    await fold.close();
  },
);

test(
  "tail attack: an operator whose role was taken away keeps the stream open and gets nothing more",
  bounded,
  async () => {
    const fold = await openFold();
    let isPermitted = true;
    const reader = { actor: "operator:ada", permitted: async () => isPermitted };
    const from = await opened(fold, null, { reader, times: { ...calm, heartbeatMs: 0 } });
    assert.equal((await from.next())?.t, "begin");
    await take(fold, 0, 10);
    await read(from, 10);
    isPermitted = false;
    await take(fold, 10, 20);
    let line = await from.next();
    // What was said before it was looked at again.
    while (line?.t === "heartbeat") line = await from.next();
    assert.ok(line?.t === "end" && line.code === "not-permitted");
    assert.equal(await from.next(), null);
    await fold.close();
  },
);

test("a quiet tail says that it is alive, and one that is stopped says so", bounded, async () => {
  const fold = await openFold();
  await take(fold, 0, 5);
  const from = await opened(fold, null, { times: { ...calm, heartbeatMs: 1 } });
  assert.equal((await from.next())?.t, "begin");
  assert.equal((await from.next())?.t, "heartbeat");
  const pending = from.next();
  from.tail.stop();
  let line = await pending;
  while (line?.t === "heartbeat") line = await from.next();
  assert.ok(line?.t === "end" && line.code === "stopping");
  await fold.close();
});

test("an index that does not answer ends the tail with the cursor it had", bounded, async () => {
  const fold = await openFold();
  await take(fold, 0, 5);
  const gone: TailPorts["follow"] = () => Promise.reject(new Error("gone"));
  const begun = await opened(fold, null);
  const begin = await begun.next();
  assert.ok(begin?.t === "begin");
  const from = await opened(fold, begin.cursor, { follow: gone, times: { ...calm, awayMs: 200 } });
  await from.next();
  const line = await from.next();
  assert.ok(line?.t === "end" && line.code === "unavailable" && line.cursor === begin.cursor);
  await begun.reader.cancel();
  await fold.close();
});

test("tail attack: one operator opens tails until nobody else can: the fifth is refused, others still get theirs, and all together are bounded", async () => {
  const fold = await openFold();
  const tails = new Tails(calm);
  const fresh = async () => (await opened(fold, null)).tail;
  const isRefused = (error: unknown) => error instanceof AdminFault && error.code === "too-many";
  const own: Tail[] = [];
  for (let n = 0; n < tailsOfOperatorMax; n += 1) {
    const tail = await fresh();
    tails.admit("operator:eve", tail);
    own.push(tail);
  }
  const fifth = await fresh();
  assert.throws(() => tails.admit("operator:eve", fifth), isRefused);
  tails.admit("operator:ada", await fresh());
  for (let n = 0; tails.size < tailsMax; n += 1) tails.admit(`operator:o${n}`, await fresh());
  assert.throws(() => tails.admit("operator:zoe", fifth), isRefused);
  for (const tail of own) tails.leave(tail);
  tails.admit("operator:zoe", fifth);
  tails.stop();
  assert.throws(
    () => tails.admit("operator:late", fifth),
    (error) => error instanceof AdminFault,
  );
  await fold.close();
});

test("cursor attack: one of another tail, of a search, altered, or a bomb that unpacks to gigabytes is refused", async () => {
  const good = inflateRawSync(Buffer.from(printTailCursor({}, { "o/x": 7 }), "base64url")).toString("utf8");
  const cursor = printTailCursor({ caller: ["orders"] }, { "o/x": 7 });
  assert.deepEqual(parseTailCursor({ where: { caller: ["orders"] }, cursor }), { "o/x": 7 });
  const pack = (value: unknown) => deflateRawSync(JSON.stringify(value)).toString("base64url");
  const bad: readonly (readonly [string, Where])[] = [
    ["", {}],
    ["AAAA", {}],
    [`${cursor.slice(0, -4)}AAAA`, { caller: ["orders"] }],
    [cursor, { caller: ["billing"] }],
    [cursor, {}],
    [Buffer.from('["x",1,"o",2]').toString("base64url"), {}],
    [pack(["x".repeat(22), [["o", -1]]]), {}],
    [pack(["x".repeat(22), [["o", 1.5]]]), {}],
    [pack(["x".repeat(22), [["o", "1 OR 1=1"]]]), {}],
    [deflateRawSync(`${good}${" ".repeat(64 * 1024 * 1024)}`).toString("base64url"), {}],
  ];
  for (const [text, where] of bad)
    assert.throws(
      () => parseTailCursor({ where, cursor: text }),
      (error) => error instanceof AdminFault && error.code === "bad-request",
      text.slice(0, 60),
    );
});
