// What a MiB of JSON may cost the thread that serves everybody: 50 ms whatever is in it, or a refusal before it is parsed. Machines and what else runs on
// them differ, so it is held against the engine's own parser: that takes 15 ms for a MiB of small objects where 50 ms is the promise.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { exactIntegersOf } from "./deciding-members.ts";
import { readJson, requestNamesMax } from "./json.ts";

const bytesMax = 1024 * 1024;
/** Times what JSON.parse takes for a MiB of small objects. */
const costMax = 50 / 15;
const rounds = 12;

/** A MiB of `unit`, one after the other. */
function filled([open, close]: readonly [string, string], unit: (n: number) => string): Buffer {
  const units: string[] = [];
  for (let bytes = 2; ; ) {
    const next = unit(units.length);
    bytes += next.length + 1;
    if (bytes > bytesMax) return Buffer.from(open + units.join(",") + close);
    units.push(next);
  }
}

const list = ["[", "]"] as const;
const object = ["{", "}"] as const;
const bodies: readonly (readonly [string, Buffer])[] = [
  ["numbers with fractions", filled(list, () => "1.5")],
  ["numbers below zero that are zero", filled(list, () => "-0")],
  ["strings with escapes", filled(list, () => '"\\n"')],
  ["objects without members", filled(list, () => "{}")],
  ["objects of one member", filled(list, () => '{"a":0}')],
  ["lists in lists", filled(list, () => "[".repeat(60) + "]".repeat(60))],
  ["members of names that differ", filled(object, (n) => `"${n.toString(36)}":1.5`)],
  ["objects of names that differ", filled(list, (n) => `{"${n.toString(36)}":1.5}`)],
  ["names that differ and are escaped", filled(object, (n) => `"\\n${n.toString(36)}":0`)],
];

const small = filled(list, () => '{"a":0}');

function costOf(act: () => void): number {
  const before = process.threadCpuUsage();
  act();
  const { user, system } = process.threadCpuUsage(before);
  return user + system;
}

function read(body: Buffer): void {
  const reading = readJson(body, requestNamesMax);
  if (reading.ok) exactIntegersOf({ bytes: body, value: reading.value, hasPlainNumbers: reading.hasPlainNumbers });
}

describe("a MiB of JSON is read and decided by in about three times what parsing a MiB of small objects takes", () => {
  for (const [what, body] of bodies)
    test(what, () => {
      // In turns, so that both meet the same neighbours, and as sums: some systems count a processor's time in steps of ten milliseconds.
      let [ours, reference] = [0, 0];
      for (let n = 0; n < rounds; n++) {
        ours += costOf(() => read(body));
        reference += costOf(() => JSON.parse(small.toString("utf8")));
      }
      assert.ok(ours <= costMax * reference, `${ours} µs, where small objects take ${reference} µs`);
    });
});

test("names that repeat are no reason, however many there are; of names that differ some 32,000 are the end", () => {
  assert.equal(
    readJson(
      filled(list, () => '{"sku":0,"n":1}'),
      requestNamesMax,
    ).ok,
    true,
  );
  const distinct = (count: number) =>
    Buffer.from(`{${Array.from({ length: count }, (_, n) => `"${n.toString(36)}":0`).join(",")}}`);
  assert.equal(readJson(distinct(requestNamesMax), requestNamesMax).ok, true);
  assert.equal(readJson(distinct(2 * requestNamesMax), requestNamesMax).ok, true);
  assert.deepEqual(readJson(distinct(3 * requestNamesMax), requestNamesMax), { ok: false, why: "name too many" });
  assert.equal(readJson(distinct(3 * requestNamesMax)).ok, true, "of answers the provider is trusted");
});
