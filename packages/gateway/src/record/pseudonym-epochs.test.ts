// Pseudonyms over the turn of an epoch: what was written under the key before is still told, and nothing older.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { test } from "node:test";
import type { LogHandle } from "@sallyport/kernel/log/port.ts";
import { environment, group, referenceRecipient, region, tenant } from "../testing/test-estate.ts";
import { Recorder } from "./recorder.ts";

const keysOf = (epoch: string) => ({
  epoch,
  pseudonymKey: new Uint8Array(randomBytes(32)),
  referenceRecipient: referenceRecipient(),
  referenceKeyId: "test",
});

test("a pseudonym of the epoch before is known after the turn, one of an epoch further back is nobody's", () => {
  const recorder = new Recorder({
    identity: { tenant, environment, region, group, node: "gw-test" },
    // Nothing is appended here.
    log: {} as LogHandle,
    clock: { now: () => Date.now(), monotonic: () => performance.now() },
    random: { bytes: (length) => randomBytes(length) },
    newId: () => "gw-test-01KAMZZZZZ0000000000000000",
    tallies: { told: () => {} },
  });
  const isOrders = (pseudonym: string) => recorder.isPseudonymOf(pseudonym, "caller", "orders");
  assert.equal(isOrders("2026:abcdefghijklmnopqrstuQ"), false, "without any key");
  recorder.useKeys(keysOf("2026"));
  const of2026 = recorder.pseudonym("caller", "orders");
  assert.deepEqual([isOrders(of2026), recorder.isPseudonymOf(of2026, "caller", "portal")], [true, false]);
  assert.equal(recorder.isPseudonymOf(of2026, "subject", "orders"), false, "a caller is no subject of the same name");
  recorder.useKeys(keysOf("2027"));
  const of2027 = recorder.pseudonym("caller", "orders");
  assert.deepEqual([isOrders(of2026), isOrders(of2027)], [true, true]);
  recorder.useKeys(keysOf("2028"));
  assert.deepEqual([isOrders(of2026), isOrders(of2027)], [false, true]);
});
