import assert from "node:assert/strict";
import { test } from "node:test";
import { openHeldLogs } from "@sallyport/kernel/log/held-log.ts";
import { sha256 } from "@sallyport/kernel/log/log-crypto.ts";
import { sampleLeaf } from "@sallyport/kernel/log/sample-leaves.ts";
import { key, lossyLog, november } from "@sallyport/kernel/log/sample-log.test-support.ts";
import { parseCheckpointBody } from "@sallyport/protocol/audit/checkpoint.ts";
import { parseNote, printVerifierKey } from "@sallyport/protocol/audit/note.ts";
import { type ShipperOptions, startShipping } from "./shipper.ts";
import { ShownCheckpoints } from "./shown-checkpoints.ts";

const sizeOf = (note: string) => parseCheckpointBody(parseNote(note)?.text ?? "")?.size ?? assert.fail(note);

/** Control as docs/formats/join.md has it: it holds what was shipped, and has signed what a checkpoint over exactly that says. */
function controlSide(shipped: () => Promise<void>) {
  const shown: number[] = [];
  let held = 0;
  let signed = 0;
  const post: ShipperOptions["post"] = async (path, body) => {
    const shipment = /^\/channel\/v1\/archive\/(\d+)\/(\d+)\?/.exec(path);
    if (shipment !== null) {
      held = Number(shipment[1]) + Number(shipment[2]);
      await shipped();
    } else {
      const size = sizeOf(JSON.parse(String(body)).note);
      shown.push(size);
      if (size === held) signed = size;
    }
    return Buffer.from(JSON.stringify({ t: "held", size: held, signed }));
  };
  return { shown, post, signed: () => signed };
}

test("a checkpoint shown while records are shipped is not followed by the older one: that would be a log put back", async () => {
  const { disk, open } = lossyLog();
  const log = open();
  disk.open("/log/log.vkey", "write").write(0, Buffer.from(printVerifierKey(sha256, log.origin, key.publicKey)));
  const append = (count: number) =>
    log.append(Array.from({ length: count }, (_, i) => ({ leaf: sampleLeaf("crossing", log.size + i, null) })));
  append(20);
  log.checkpoint();
  const shown = new ShownCheckpoints();
  const grown = 3;
  let shipments = 0;
  // As the timer does that shows the newest one: in the middle of a shipment.
  const control = controlSide(async () => {
    if (++shipments > grown) return;
    append(5);
    const note = log.checkpoint();
    await shown.show({ origin: log.origin, size: sizeOf(note) }, () => control.post("up", JSON.stringify({ note })));
  });
  const records = openHeldLogs({ directories: () => ["/log"], disk });
  const shipper = startShipping({
    ...{ records, shown, post: control.post },
    node: { tenant: "main", environment: "production", node: "gw-1" },
    random: { bytes: (count) => new Uint8Array(count) },
    fault: (error) => assert.fail(String(error)),
  });
  await shipper.stop();
  await records.close();
  assert.equal(shipments, grown + 1);
  assert.deepEqual(
    control.shown,
    control.shown.toSorted((a, b) => a - b),
  );
  assert.equal(control.signed(), log.size);
  log.close();
});

test("checkpoints are shown one at a time, and one that fails keeps no other from its turn", async () => {
  const shown = new ShownCheckpoints();
  const told: string[] = [];
  const answer = Promise.withResolvers<void>();
  const first = shown.show({ origin: "log", size: 1 }, async () => {
    told.push("first begins");
    await answer.promise;
    throw new Error("control is away");
  });
  const second = shown.show({ origin: "log", size: 2 }, async () => told.push("second"));
  const older = shown.show({ origin: "log", size: 1 }, async () => told.push("older"));
  const other = shown.show({ origin: "another log", size: 1 }, async () => told.push("other"));
  told.push("asked");
  answer.resolve();
  await assert.rejects(first, /control is away/);
  await second;
  assert.equal(await older, null);
  await other;
  assert.deepEqual(told, ["asked", "first begins", "second", "other"]);
});

test("what was shipped is counted, what waits is said with the time of the oldest record, and failures are counted while control is away", async () => {
  const { disk, clock, open } = lossyLog();
  const log = open();
  disk.open("/log/log.vkey", "write").write(0, Buffer.from(printVerifierKey(sha256, log.origin, key.publicKey)));
  const append = (from: number, count: number) =>
    log.append(Array.from({ length: count }, (_, i) => ({ leaf: sampleLeaf("crossing", from + i, null) })));
  append(0, 7);
  log.checkpoint();
  const first = log.size;
  let isAway = false;
  let bytes = 0;
  const control = controlSide(async () => undefined);
  const records = openHeldLogs({ directories: () => ["/log"], disk });
  const failed = Promise.withResolvers<void>();
  const shipper = startShipping({
    ...{ records, shown: new ShownCheckpoints() },
    post: async (path, body) => {
      if (isAway) throw new Error("control is away");
      if (path.includes("/archive/")) bytes += body.length;
      return control.post(path, body);
    },
    node: { tenant: "main", environment: "production", node: "gw-1" },
    random: { bytes: (count) => new Uint8Array(count) },
    fault: () => failed.resolve(),
    pauses: { round: 1, first: 1 },
  });
  while (shipper.standing().records < first) await new Promise((resolve) => setImmediate(resolve));
  isAway = true;
  append(1_000, 4);
  clock.now += 1_000;
  log.checkpoint();
  await failed.promise;
  while (shipper.standing().behind === 0) await new Promise((resolve) => setImmediate(resolve));
  const away = shipper.standing();
  assert.ok(away.failures > 0);
  assert.deepEqual(
    { ...away, failures: 0 },
    // As sampleLeaf has it: the time of the first that is missing, and not of the checkpoint.
    { shipments: 1, records: first, bytes, failures: 0, behind: 4, oldestAt: november + 1_000 },
  );
  isAway = false;
  while (shipper.standing().records < first + 4) await new Promise((resolve) => setImmediate(resolve));
  const { behind, oldestAt, shipments } = shipper.standing();
  assert.deepEqual({ behind, oldestAt, shipments }, { behind: 0, oldestAt: null, shipments: 2 });
  await shipper.stop();
  await records.close();
  log.close();
});

test("a gateway that waited long for control ships at once when it is back, and keeps to what control said itself", {
  timeout: 120_000,
}, async () => {
  const { disk, open } = lossyLog();
  const log = open();
  disk.open("/log/log.vkey", "write").write(0, Buffer.from(printVerifierKey(sha256, log.origin, key.publicKey)));
  log.append(Array.from({ length: 7 }, (_, i) => ({ leaf: sampleLeaf("crossing", i, null) })));
  log.checkpoint();
  const control = controlSide(async () => undefined);
  const records = openHeldLogs({ directories: () => ["/log"], disk });
  const hourMs = 3_600_000;
  type Answer = (path: string, body: Uint8Array | string) => Promise<Uint8Array>;
  const later: Answer = async () => Buffer.from(JSON.stringify({ t: "later", code: "busy", afterMs: hourMs }));
  const away: Answer = async () => {
    throw new Error("control is away");
  };
  let answer: Answer = away;
  const failed = Promise.withResolvers<void>();
  const start = () =>
    startShipping({
      ...{ records, shown: new ShownCheckpoints() },
      post: (path, body) => answer(path, body),
      node: { tenant: "main", environment: "production", node: "gw-1" },
      random: { bytes: (count) => new Uint8Array(count) },
      fault: () => failed.resolve(),
      pauses: { round: 1, first: hourMs, longest: hourMs, back: 1 },
    });
  const turn = () => new Promise((resolve) => setImmediate(resolve));
  const shipper = start();
  await failed.promise;
  answer = control.post;
  shipper.reachable();
  while (shipper.standing().records < log.size) await turn();
  await shipper.stop();
  answer = later;
  const refused = start();
  while (refused.standing().failures === 0) await turn();
  answer = controlSide(async () => undefined).post;
  refused.reachable();
  // That nothing comes can only be watched for a while; a slow machine sees less of it, and never something else.
  for (const watched = performance.now() + 200; performance.now() < watched; ) await turn();
  assert.equal(refused.standing().records, 0);
  await refused.stop();
  await records.close();
  log.close();
});
