import assert from "node:assert/strict";
import { test } from "node:test";
import { sampleId, sampleLeaf } from "@sallyport/kernel/log/sample-leaves.ts";
import type { ControlParts } from "../control-parts.ts";
import type { AdminFault } from "./actions.ts";
import { readCrossing } from "./read-crossing.ts";

/** A control plane whose one node answers every question with these leaves. */
function partsOf(leaves: readonly Uint8Array[]): ControlParts {
  const answer = { found: true, leaves: leaves.map((leaf) => Buffer.from(leaf).toString("latin1")), reference: null };
  // Only what the look-up touches is there.
  return {
    tenant: "main",
    store: { run: async () => [{ node: "gw-1" }] },
    hub: { ask: async () => answer },
  } as unknown as ControlParts;
}

test("what is read under an id is the record of that id", async () => {
  const report = await readCrossing(partsOf([sampleLeaf("intent", 1), sampleLeaf("outcome", 1)]), sampleId(1));
  assert.equal(report.leaves.length, 2);
});

test("attack: a node answers a look-up with another crossing, with one more, with none, or with what is no leaf", async () => {
  const answers = [
    [sampleLeaf("crossing", 2)],
    [sampleLeaf("intent", 1), sampleLeaf("outcome", 2)],
    [],
    [Buffer.from("{}")],
  ];
  for (const answer of answers)
    await assert.rejects(readCrossing(partsOf(answer), sampleId(1)), (fault: AdminFault) => {
      assert.equal(fault.code, "not-found");
      assert.match(fault.message, /another record/);
      return true;
    });
});
