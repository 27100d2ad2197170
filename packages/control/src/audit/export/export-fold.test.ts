// At least once, in order, a place that lasts; rejected events written down; nothing endless.
import assert from "node:assert/strict";
import { existsSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import type { EncodedRecord } from "./encode.ts";
import { type Delivery, type Sink, SinkFault } from "./sink.ts";
import { callerPseudonym, sampleOrigin } from "./testing/every-leaf.ts";
import { crossings, foldOnDisk, heldOrigin, temporaryFolder } from "./testing/fold-on-disk.ts";

type Answer = (batch: readonly EncodedRecord[]) => Delivery | Promise<Delivery>;
const taken: Delivery = { kind: "taken", rejected: [] };

/** What was given to the receiver, by index, in order. */
function recording(answer: Answer): Sink & { readonly seen: number[]; readonly events: EncodedRecord[] } {
  const seen: number[] = [];
  const events: EncodedRecord[] = [];
  return {
    seen,
    events,
    async send(batch) {
      const delivery = await answer(batch);
      if (delivery.kind === "taken") {
        seen.push(...batch.map(({ record }) => record.index));
        events.push(...batch);
      }
      return delivery;
    },
    close: () => Promise.resolve(),
  };
}
const origin = heldOrigin(10_000);
const upTo = (n: number) => Array.from({ length: n }, (_none, at) => at);
const lettersIn = (folder: string) =>
  readFileSync(join(folder, "dead-letters.ndjson"), "utf8")
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line));

test("every record arrives in order, and a new start goes on behind the last that was taken", async (t) => {
  const folder = temporaryFolder();
  t.after(() => folder.remove());
  const sink = recording(() => taken);
  const fold = foldOnDisk(folder.path, sink);
  assert.deepEqual(await fold.places(), new Map());
  await fold.take({ origin, records: crossings(0, 1_200) });
  const again = foldOnDisk(folder.path, sink);
  assert.deepEqual(await again.places(), new Map([[sampleOrigin, 1_200]]));
  await again.take({ origin, records: crossings(1_200, 1_300) });
  assert.deepEqual(sink.seen, upTo(1_300));
  assert.deepEqual(
    sink.events.map(({ record }) => record.previous),
    [null, ...upTo(1_299)],
    "each names the one before it, across a new start too",
  );
  assert.equal(statSync(join(folder.path, "place.json")).mode & 0o777, 0o600);
});

test("a receiver that fails halfway gets the rest when the same batch comes again, and what it has is not sent twice", async (t) => {
  const folder = temporaryFolder();
  t.after(() => folder.remove());
  let asks = 0;
  const sink = recording(() => {
    asks += 1;
    if (asks === 2) throw new SinkFault("the receiver answered 503");
    return taken;
  });
  const fold = foldOnDisk(folder.path, sink);
  await assert.rejects(fold.take({ origin, records: crossings(0, 1_200) }), /503/);
  assert.equal((await foldOnDisk(folder.path, sink).places()).get(sampleOrigin), sink.seen.length);
  assert.ok(sink.seen.length > 100 && sink.seen.length <= 500);
  await fold.take({ origin, records: crossings(0, 1_200) });
  assert.deepEqual(sink.seen, upTo(1_200));
});

test("a crash between delivery and place sends the batch again, with the same origin, index and record before", async (t) => {
  const folder = temporaryFolder();
  t.after(() => folder.remove());
  const sink = recording(() => taken);
  await foldOnDisk(folder.path, sink).take({ origin, records: crossings(0, 10) });
  const place = readFileSync(join(folder.path, "place.json"));
  await foldOnDisk(folder.path, sink).take({ origin, records: crossings(10, 20) });
  writeFileSync(join(folder.path, "place.json"), place);
  await foldOnDisk(folder.path, sink).take({ origin, records: crossings(10, 20) });
  assert.deepEqual(sink.seen, [...upTo(20), ...upTo(20).slice(10)]);
  assert.deepEqual(
    sink.events.slice(20).map(({ json }) => json),
    sink.events.slice(10, 20).map(({ json }) => json),
  );
});

test("what a filter leaves out moves the place, and the next event names the last that was sent", async (t) => {
  const folder = temporaryFolder();
  t.after(() => folder.remove());
  const sink = recording(() => taken);
  const filter = { environments: ["staging"], kinds: null, verdicts: null, severity: 1 } as const;
  await foldOnDisk(folder.path, sink).take({ origin, records: crossings(0, 2) });
  const fold = foldOnDisk(folder.path, sink, { filter });
  await fold.take({ origin, records: crossings(2, 30) });
  assert.equal((await fold.places()).get(sampleOrigin), 30);
  await foldOnDisk(folder.path, sink).take({ origin, records: crossings(30, 31) });
  assert.deepEqual(
    sink.events.map(({ record }) => [record.index, record.previous]),
    [
      [0, null],
      [1, 0],
      [30, 1],
    ],
  );
});

test("an event that the receiver rejects is a dead letter with its reason and leaf, and the others go on", async (t) => {
  const folder = temporaryFolder();
  t.after(() => folder.remove());
  const sink = recording((batch) => ({
    kind: "taken",
    rejected: batch.flatMap(({ record }, at) => (record.index === 7 ? [{ at, reason: "400 no date" }] : [])),
  }));
  const fold = foldOnDisk(folder.path, sink);
  await fold.take({ origin, records: crossings(0, 20) });
  assert.equal((await fold.places()).get(sampleOrigin), 20);
  const [letter, ...others] = lettersIn(folder.path);
  assert.equal(others.length, 0);
  assert.deepEqual([letter.reason, letter.sallyport.index, JSON.parse(letter.leaf).t], ["400 no date", 7, "crossing"]);
  assert.equal(statSync(join(folder.path, "dead-letters.ndjson")).mode & 0o777, 0o600);
});

test("attack: one poisonous event in a batch that is refused whole is found by halves, and holds up no other", async (t) => {
  const folder = temporaryFolder();
  t.after(() => folder.remove());
  let asks = 0;
  const sink = recording((batch) => {
    asks += 1;
    return batch.some(({ record }) => record.index === 333)
      ? { kind: "refused", reason: "400 Invalid data format" }
      : taken;
  });
  const fold = foldOnDisk(folder.path, sink);
  await fold.take({ origin, records: crossings(0, 500) });
  assert.deepEqual(
    sink.seen,
    upTo(500).filter((index) => index !== 333),
  );
  assert.ok(asks <= 20, `${asks} requests`);
  assert.deepEqual(
    lettersIn(folder.path).map(({ sallyport }) => sallyport.index),
    [333],
  );
});

test("attack: a receiver that refuses everything does not empty the log into dead letters: the place stays", async (t) => {
  const folder = temporaryFolder();
  t.after(() => folder.remove());
  let asks = 0;
  const sink = recording(() => {
    asks += 1;
    return { kind: "refused", reason: "400 no" };
  });
  const fold = foldOnDisk(folder.path, sink);
  await assert.rejects(fold.take({ origin, records: crossings(0, 500) }), /refuses one event after the other/);
  assert.deepEqual(await fold.places(), new Map());
  assert.equal(existsSync(join(folder.path, "dead-letters.ndjson")), false);
  assert.ok(asks < 60, `${asks} requests`);
});

test("a receiver that asks for time is left alone for it, and the fold says why it waits", async (t) => {
  const folder = temporaryFolder();
  t.after(() => folder.remove());
  let nowMs = 1_795_305_600_000;
  let asks = 0;
  const sink = recording(() => {
    asks += 1;
    if (asks === 1) throw new SinkFault("the receiver answered 429", 30_000);
    return taken;
  });
  const fold = foldOnDisk(folder.path, sink, { now: () => nowMs });
  const records = crossings(0, 5);
  await assert.rejects(fold.take({ origin, records }), /429/);
  nowMs += 29_000;
  await assert.rejects(fold.take({ origin, records }), /429/);
  assert.equal(asks, 1);
  nowMs += 1_000;
  await fold.take({ origin, records });
  assert.deepEqual(sink.seen, upTo(5));
});

test("paused, nothing is sent and the place stays, across a new start; resumed, it goes on", async (t) => {
  const folder = temporaryFolder();
  t.after(() => folder.remove());
  const sink = recording(() => taken);
  await foldOnDisk(folder.path, sink).answer({ kind: "pause" });
  const fold = foldOnDisk(folder.path, sink);
  await assert.rejects(fold.take({ origin, records: crossings(0, 5) }), /paused by an operator/);
  await fold.answer({ kind: "resume" });
  await fold.take({ origin, records: crossings(0, 5) });
  assert.deepEqual(sink.seen, upTo(5));
});

test("replay moves the place back, never forward, and what comes again says that nothing came before", async (t) => {
  const folder = temporaryFolder();
  t.after(() => folder.remove());
  const sink = recording(() => taken);
  const fold = foldOnDisk(folder.path, sink);
  await fold.take({ origin, records: crossings(0, 10) });
  await fold.answer({ kind: "replay", origin: null, fromIndex: 99 });
  assert.equal((await fold.places()).get(sampleOrigin), 10);
  await fold.answer({ kind: "replay", origin: sampleOrigin, fromIndex: 8 });
  assert.equal((await fold.places()).get(sampleOrigin), 8);
  await fold.take({ origin, records: crossings(8, 10) });
  assert.deepEqual(
    sink.events.slice(10).map(({ record }) => [record.index, record.previous]),
    [
      [8, null],
      [9, 8],
    ],
  );
});

test("a test event is no record: it says what it is, and the place stays", async (t) => {
  const folder = temporaryFolder();
  t.after(() => folder.remove());
  const sink = recording(() => taken);
  const fold = foldOnDisk(folder.path, sink);
  assert.deepEqual(await fold.answer({ kind: "test" }), { taken: true, why: null });
  assert.equal(sink.events[0]?.record.origin, "test/copy");
  assert.deepEqual(await fold.places(), new Map());
  const failing = recording(() =>
    Promise.reject(new SinkFault("the receiver answered 401: it does not accept the credential")),
  );
  assert.deepEqual(await foldOnDisk(folder.path, failing).answer({ kind: "test" }), {
    taken: false,
    why: "the receiver answered 401: it does not accept the credential",
  });
});

test("names are asked for before anything is sent, and again after ten seconds", async (t) => {
  const folder = temporaryFolder();
  t.after(() => folder.remove());
  const sink = recording(() => taken);
  let nowMs = 1_795_305_600_000;
  let asked = 0;
  const names = async () => {
    asked += 1;
    if (asked === 1) throw new Error("control has no export-names for what follows the log");
    return new Map([[callerPseudonym, `orders-${asked}`]]);
  };
  const fold = foldOnDisk(folder.path, sink, { names, now: () => nowMs });
  await assert.rejects(fold.take({ origin, records: crossings(0, 1) }), /export-names/);
  nowMs += 1_000;
  await fold.take({ origin, records: crossings(0, 1) });
  await fold.take({ origin, records: crossings(1, 2) });
  nowMs += 10_000;
  await fold.take({ origin, records: crossings(2, 3) });
  assert.deepEqual(
    sink.events.map(({ json }) => /"app_name":"([^"]+)"/.exec(json)?.[1]),
    ["orders-2", "orders-2", "orders-3"],
  );
});

test("a place that was moved back is never jumped over by what the reader has in hand", async (t) => {
  const folder = temporaryFolder();
  t.after(() => folder.remove());
  const sink = recording(() => taken);
  const fold = foldOnDisk(folder.path, sink);
  await fold.take({ origin, records: crossings(0, 10) });
  await fold.answer({ kind: "replay", origin: null, fromIndex: 3 });
  await assert.rejects(fold.take({ origin, records: crossings(10, 12) }), /record 3 of .* is due/);
  assert.equal((await fold.places()).get(sampleOrigin), 3);
});

test("a place that cannot be read stops the sink and says so: nothing is sent again unasked", async (t) => {
  const folder = temporaryFolder();
  t.after(() => folder.remove());
  for (const text of [
    "",
    "{}",
    '{"v":1,"paused":null,"origins":{"a/b":{"next":3,"last":9}}}',
    '{"v":2,"paused":null,"origins":{}}',
  ]) {
    writeFileSync(join(folder.path, "place.json"), text);
    await assert.rejects(
      foldOnDisk(
        folder.path,
        recording(() => taken),
      ).places(),
      /is not the place of a sink: put it back/,
    );
  }
});

test("a leaf of a later version is a dead letter that says to upgrade, not the end of the sink", async (t) => {
  const folder = temporaryFolder();
  t.after(() => folder.remove());
  const sink = recording(() => taken);
  const fold = foldOnDisk(folder.path, sink);
  const [first, second] = crossings(0, 2);
  if (first === undefined || second === undefined) assert.fail();
  await fold.take({ origin, records: [{ ...first, leaf: Buffer.from('{"v":9,"t":"crossing"}') }, second] });
  assert.deepEqual(sink.seen, [1]);
  assert.match(lettersIn(folder.path)[0].reason, /upgrade control, then replay/);
});
