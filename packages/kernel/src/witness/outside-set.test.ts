// Witnesses from the command line and from the estate together: which are asked, which are not and why, and that a change ends only what it changes.
import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { test } from "node:test";
import { printWitnessKey } from "@sallyport/protocol/audit/cosignature.ts";
import { createDialer } from "../dial/dialer.ts";
import { sha256 } from "../log/log-crypto.ts";
import type { OutsideWitness } from "./http-witness.ts";
import { conflictWords, mergeWitnesses, OutsideSet, outsideWitnessesMax } from "./outside-set.ts";

function rawKey(): Uint8Array {
  const { publicKey } = generateKeyPairSync("ed25519");
  return new Uint8Array(publicKey.export({ format: "der", type: "spki" }).subarray(-32));
}
const named = (name: string, url = `https://${name}/`, key = rawKey()): OutsideWitness => ({
  url,
  key: printWitnessKey(sha256, name, key),
  allowPrivate: false,
});

test("what agrees is asked once, whichever way its URL ends", () => {
  const key = rawKey();
  const [a, same] = [named("a.example", "https://a.example", key), named("a.example", "https://a.example/", key)];
  assert.deepEqual(mergeWitnesses([a], [same, named("b.example")]).asked.length, 2);
  assert.deepEqual(mergeWitnesses([a], [same]).conflicts, []);
});

test("what contradicts the command line is not asked, and named", () => {
  const key = rawKey();
  const fixed = [named("a.example", "https://a.example/", key)];
  for (const [one, why] of [
    [named("a.example", "https://elsewhere.example/", key), "other-place"],
    [named("a.example"), "other-key"],
    [named("b.example", "https://b.example/", key), "other-name"],
    [{ ...named("b.example"), key: "b.example+00000000+AAAA" }, "unreadable"],
    [named("b.example", "ftp://b.example/"), "unreadable"],
  ] as const) {
    const { asked, conflicts } = mergeWitnesses(fixed, [one]);
    assert.deepEqual([asked, conflicts.map((conflict) => conflict.why)], [fixed, [why]]);
    assert.match(conflictWords(conflicts[0] ?? assert.fail()), /^the estate's witness .* (?:is|has|cannot)/);
  }
});

test("no more are asked than a note has room for beside the gateways", () => {
  const many = Array.from({ length: outsideWitnessesMax + 2 }, (_, i) => named(`w${i}.example`));
  const { asked, conflicts } = mergeWitnesses(many.slice(0, 3), many);
  assert.equal(asked.length, outsideWitnessesMax);
  assert.deepEqual(
    conflicts.map(({ why }) => why),
    ["too-many", "too-many"],
  );
});

test("a change of the estate ends what it changes and nothing else; without any witness nothing is dialled", async () => {
  let dialled = 0;
  const set = new OutsideSet(() => {
    dialled += 1;
    return createDialer();
  }, []);
  assert.equal(dialled, 0);
  const [a, b] = [named("a.example"), named("b.example")];
  assert.deepEqual(set.take([a, b]), []);
  const before = set.asked();
  assert.deepEqual(set.take([a, b]), []);
  assert.deepEqual(set.take([a, { ...b, url: "https://b.example/moved" }]), ["b.example"]);
  assert.equal(set.asked()[0], before[0]);
  assert.notEqual(set.asked()[1], before[1]);
  assert.deepEqual(set.take([]), ["a.example", "b.example"]);
  assert.deepEqual(set.asked(), []);
  await set.close();
});
