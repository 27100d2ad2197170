import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { test } from "node:test";
import { createRecipientKeyPair } from "@sallyport/kernel/seal/recipient.ts";
import type { Leaf } from "@sallyport/protocol/audit/leaf.ts";
import { parseLeaf } from "@sallyport/protocol/audit/leaf-format.ts";
import { createIssuanceRecorder, refusalsPerWindowMax, refusalWindowMs } from "./issuance-record.ts";

const random = { bytes: (length: number) => new Uint8Array(randomBytes(length)) };

function recorder() {
  const leaves: Leaf[] = [];
  const state = { now: 1_700_000_000_000, id: 0 };
  const record = createIssuanceRecorder({
    tenant: "main",
    environment: "production",
    region: "eu",
    node: "control-1",
    clock: { now: () => state.now, monotonic: () => state.now },
    random,
    recipient: createRecipientKeyPair(random).publicKey,
    log: {
      append: async (leaf) => {
        leaves.push(parseLeaf(Buffer.from(leaf)));
        return { index: leaves.length - 1 };
      },
    },
    pseudonym: (domain) => `2026:${domain.padEnd(21, "x")}A`,
    nextId: () => `control-1-01ARZ3NDEKTSV4RRFFQ69G${String(state.id++).padStart(4, "0")}`,
  });
  return { leaves, state, record };
}

test("a flood of a stranger's refusals gets eight leaves and one counted leaf per window; other sources keep their own", async () => {
  const { leaves, state, record } = recorder();
  for (let n = 0; n < 1_000; n += 1)
    await record.refused({ client: null, code: "client-unknown", address: `203.0.113.${n % 250}` });
  await record.refused({ client: null, code: "client-unknown", address: "198.51.100.1" });
  assert.equal(leaves.length, refusalsPerWindowMax + 1);
  state.now += refusalWindowMs;
  await record.flush();
  const last = leaves.at(-1);
  assert.ok(last?.t === "denials" && last.count === 1_000 - refusalsPerWindowMax);
  await record.flush();
  assert.equal(leaves.length, refusalsPerWindowMax + 2);
});

test("refusals of authenticated clients are all written, and ten thousand sources cost bounded memory but lose no count", async () => {
  const { leaves, state, record } = recorder();
  for (let n = 0; n < 20; n += 1)
    await record.refused({ client: "orders", code: "scope-not-granted", address: "203.0.113.1" });
  assert.equal(leaves.length, 20);
  for (let n = 0; n < 10_000; n += 1)
    await record.refused({ client: null, code: "client-unknown", address: `10.${n >> 8}.${n & 255}.1` });
  state.now += refusalWindowMs;
  await record.flush();
  const counted = leaves.slice(20).reduce((sum, leaf) => sum + (leaf.t === "denials" ? leaf.count : 1), 0);
  assert.equal(counted, 10_000);
});
