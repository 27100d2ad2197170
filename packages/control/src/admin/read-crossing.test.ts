import assert from "node:assert/strict";
import { hash, randomBytes } from "node:crypto";
import { test } from "node:test";
import { sampleId, sampleLeaf } from "@sallyport/kernel/log/sample-leaves.ts";
import {
  createRecipientKeyPair,
  createRecipientOpener,
  createRecipientSealer,
} from "@sallyport/kernel/seal/recipient.ts";
import { printLeaf } from "@sallyport/protocol/audit/leaf-format.ts";
import { batchContext, referenceContext } from "@sallyport/protocol/audit/reference.ts";
import type { ControlParts } from "../control-parts.ts";
import type { AdminFault } from "./actions.ts";
import { readCrossing } from "./read-crossing.ts";

const random = { bytes: (length: number) => randomBytes(length) };
const pair = createRecipientKeyPair(random);

/** What the node `gw-1` seals for a batch of crossings, and the hash its leaves name. */
function sealBatch(batch: readonly object[], node = "gw-1"): { reference: string; inputs: string } {
  const sealer = createRecipientSealer({ recipient: pair.publicKey, random });
  const context = batchContext({ tenant: "main", environment: "production", node });
  const sealed = sealer.seal(context, Buffer.from(JSON.stringify(batch)));
  sealer.forget();
  return { reference: Buffer.from(sealed).toString("base64url"), inputs: hash("sha256", sealed, "hex") };
}

/** A control plane whose one node answers every question with these leaves. */
function partsOf(leaves: readonly Uint8Array[], reference: string | null = null): ControlParts {
  const answer = { found: true, leaves: leaves.map((leaf) => Buffer.from(leaf).toString("latin1")), reference };
  // Only what the look-up touches is there.
  return {
    tenant: "main",
    store: { run: async () => [{ node: "gw-1" }] },
    hub: { ask: async () => answer },
    archive: { directory: "/nothing-is-archived-here" },
    opener: createRecipientOpener(pair.privateKey),
  } as unknown as ControlParts;
}

test("what is read under an id is the record of that id", async () => {
  const report = await readCrossing(partsOf([sampleLeaf("intent", 1), sampleLeaf("outcome", 1)]), sampleId(1));
  assert.equal(report.leaves.length, 2);
});

test("what a crossing carried stands behind what was decided of it, wherever the log has it: its own reference is what is opened", async () => {
  const { reference, inputs } = sealBatch([{ v: 1, id: sampleId(1), path: "/private" }]);
  const unkept = printLeaf({
    ...{ t: "unkept", id: sampleId(1), at: 1, tenant: "main", environment: "production", region: "eu", node: "gw-1" },
    ...{ direction: "request", reason: "empty", bytes: 0 },
  });
  const report = await readCrossing(partsOf([unkept, sampleLeaf("crossing", 1, inputs)], reference), sampleId(1));
  assert.match(report.leaves[0] ?? "", /"t":"crossing"/);
  assert.deepEqual(report.decision, { v: 1, id: sampleId(1), path: "/private" });
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

test("of a reference that holds a whole batch only the crossing asked for is shown", async () => {
  const batch = [1, 2, 3].map((n) => ({ v: 1, id: sampleId(n), path: `/private/${n}` }));
  const { reference, inputs } = sealBatch(batch);
  const report = await readCrossing(partsOf([sampleLeaf("crossing", 2, inputs)], reference), sampleId(2));
  assert.deepEqual(report.decision, { v: 1, id: sampleId(2), path: "/private/2" });
});

test("attack: a node answers with a reference the leaf does not name, with one that does not hold the crossing, or holds it twice", async () => {
  const one = { v: 1, id: sampleId(1) };
  const named = sealBatch([one]);
  const foreign = await readCrossing(
    partsOf([sampleLeaf("crossing", 1, "5a".repeat(32))], named.reference),
    sampleId(1),
  );
  assert.equal(foreign.decision, null, "another reference than the leaf names");
  for (const batch of [[], [{ v: 1, id: sampleId(2) }], [one, { ...one, path: "/other" }]]) {
    const { reference, inputs } = sealBatch(batch);
    const report = await readCrossing(partsOf([sampleLeaf("crossing", 1, inputs)], reference), sampleId(1));
    assert.equal(report.decision, null);
  }
});

test("attack: a reference that another node sealed does not open", async () => {
  const { reference, inputs } = sealBatch([{ v: 1, id: sampleId(1) }], "gw-2");
  await assert.rejects(readCrossing(partsOf([sampleLeaf("crossing", 1, inputs)], reference), sampleId(1)), {
    code: "envelope-refused",
  });
});

test("control's own records are read from its own log, with what was sealed for operators; a reference of another record opens nothing", async () => {
  const id = `control-${sampleId(7).slice(-26)}`;
  const place = { tenant: "main", environment: "production" };
  const sealer = createRecipientSealer({ recipient: pair.publicKey, random });
  const sealFor = (of: string) =>
    Uint8Array.from(
      sealer.seal(
        referenceContext({ ...place, id: of }),
        Buffer.from(JSON.stringify({ id: of, code: "policy-denied" })),
      ),
    );
  const record = (reference: Uint8Array) => {
    const leaf = printLeaf({
      t: "issuance",
      ...place,
      id,
      at: 1,
      region: "eu",
      node: "control",
      client: null,
      audience: null,
      verdict: "deny",
      code: "policy-denied",
      token: null,
      proof: null,
      expiresAt: 0,
      grantType: "refresh_token",
      subject: null,
      grants: [],
      operations: null,
      policies: ["no-tokens"],
      inputs: hash("sha256", reference, "hex"),
    });
    return { index: 1, leaf, reference };
  };
  const partsWith = (found: readonly ReturnType<typeof record>[]) =>
    ({ ...partsOf([]), node: "control", log: { find: async () => found } }) as unknown as ControlParts;
  const good = record(sealFor(id));
  const report = await readCrossing(partsWith([good]), id);
  assert.deepEqual([report.node, report.decision?.["code"], report.leaves.length], ["control", "policy-denied", 1]);
  const swapped = await readCrossing(partsWith([{ ...good, reference: sealFor(id) }]), id);
  assert.equal(swapped.decision, null, "the leaf names another reference");
  await assert.rejects(readCrossing(partsWith([record(sealFor(sampleId(8)))]), id), "sealed for another record");
  await assert.rejects(readCrossing(partsWith([]), id), { code: "not-found" });
  sealer.forget();
});
