import assert from "node:assert/strict";
import { test } from "node:test";
import { openHeldLogs } from "@sallyport/kernel/log/held-log.ts";
import { sha256 } from "@sallyport/kernel/log/log-crypto.ts";
import { sampleLeaf } from "@sallyport/kernel/log/sample-leaves.ts";
import { key, lossyLog } from "@sallyport/kernel/log/sample-log.test-support.ts";
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
