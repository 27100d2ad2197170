// A replay over logs that are not all of them as this version writes them.
import assert from "node:assert/strict";
import { test } from "node:test";
import type { HeldOrigin } from "@sallyport/kernel/log/held-records.ts";
import { sampleId, sampleLeaf } from "@sallyport/kernel/log/sample-leaves.ts";
import { parseLeaf } from "@sallyport/protocol/audit/leaf-format.ts";
import { replayRecords } from "./replay-records.ts";

const origin: HeldOrigin = {
  origin: "sallyport.local/main/production/gw-1/gateway/2026",
  ...{ size: 3, tenant: "main", environment: "production", node: "gw-1", role: "gateway", year: 2026 },
  ...{ checkpoint: "", verifierKey: "" },
};

test("a crossing with a word of a later version is counted as undecided with its id, and the replay goes on behind it", async () => {
  const leaves = [1, 2, 3].map((n) => sampleLeaf("crossing", n));
  const { at } = parseLeaf(leaves[0] ?? assert.fail());
  const later = Buffer.from(leaves[1] ?? assert.fail())
    .toString()
    .replace('"kind":"api"', '"kind":"a-later-kind"');
  leaves.splice(1, 1, Buffer.from(later));
  assert.throws(() => parseLeaf(leaves[1] ?? assert.fail()));
  const held = {
    origins: async () => [origin],
    read: async (_name: string, from: number, max: number) =>
      leaves.slice(from, from + max).map((leaf, n) => ({ index: from + n, leaf, reference: null })),
    grown: async () => undefined,
    close: async () => undefined,
  };
  const replay = async (from: number) => {
    const question = { from, to: at + 60_000, integrations: [], environments: [] };
    for await (const step of replayRecords(question, { held, candidates: new Map(), open: () => null }))
      if (step.t === "result") return step.report;
    return assert.fail("no result");
  };
  const { records, undecided, faults } = await replay(0);
  assert.deepEqual([records, faults], [3, []]);
  const unread = undecided.find(({ why }) => /cannot read/.test(why));
  assert.deepEqual([unread?.count, unread?.example], [1, sampleId(2)]);
  assert.equal((await replay(at + 30_000)).records, 0, "of another time");
});
