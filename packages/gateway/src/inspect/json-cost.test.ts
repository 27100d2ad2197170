// What a MiB of JSON may cost the thread that serves everybody: 50 ms whatever is in it, or a refusal before it is parsed. Machines and what else runs on
// them differ, so it is held against the engine's own parser: that takes 15 ms for a MiB of small objects where 50 ms is the promise.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { exactIntegersOf } from "./deciding-members.ts";
import { readJson, requestBounds } from "./json.ts";

const bytesMax = 1024 * 1024;
/** Times what JSON.parse takes for a MiB of small objects. */
const costMax = 50 / 15;
const rounds = 12;

const { namesMax, containersMax } = requestBounds;

/** A MiB of `unit`, one after the other, behind `first`. */
function filled(
  [open, close]: readonly [string, string],
  unit: (n: number) => string,
  first: readonly string[] = [],
): Buffer {
  const units = [...first];
  for (let bytes = first.reduce((sum, { length }) => sum + length + 1, 2); ; ) {
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
  ["strings with pairs of escapes", filled(list, () => '"\\ud83d\\ude00"')],
  ["objects without members", filled(list, () => "{}")],
  ["as many of them as may be, and fractions", filled(list, () => "1.5", new Array(containersMax / 2 - 1).fill("{}"))],
  ["objects of one member", filled(list, () => '{"a":0}')],
  ["lists in lists", filled(list, () => "[".repeat(60) + "]".repeat(60))],
  [
    "as many lists as may be, and fractions",
    filled(list, () => "1.5", new Array(Math.floor(containersMax / 2 / 60)).fill("[".repeat(60) + "]".repeat(60))),
  ],
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
  const reading = readJson(body, requestBounds);
  if (reading.ok) exactIntegersOf({ bytes: body, value: reading.value, hasPlainNumbers: reading.hasPlainNumbers });
}

/** Only the word: of a value of a MiB that is not what was meant no difference is printed. */
function whyNot(body: Buffer): string | null {
  const reading = readJson(body, requestBounds);
  return reading.ok ? null : reading.why;
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
      requestBounds,
    ).ok,
    true,
  );
  const distinct = (count: number) =>
    Buffer.from(`{${Array.from({ length: count }, (_, n) => `"${n.toString(36)}":0`).join(",")}}`);
  assert.equal(whyNot(distinct(namesMax)), null);
  assert.equal(whyNot(distinct(2 * namesMax)), null);
  assert.equal(whyNot(distinct(3 * namesMax)), "name too many");
  assert.equal(readJson(distinct(3 * namesMax)).ok, true, "of answers the provider is trusted");
});

test("131,072 objects and lists are no reason, nor more of them that hold something; a mass of empty ones is refused before it is parsed", () => {
  // Each of them counts twice.
  const empty = (count: number) => Buffer.from(`[${new Array(count / 2 - 1).fill("{}").join(",")}]`);
  const refused = "object or list too many";
  assert.equal(whyNot(empty(containersMax)), null);
  assert.equal(whyNot(empty(containersMax + 2)), refused);
  assert.equal(whyNot(Buffer.from("[[],".repeat(containersMax))), "too deep");
  assert.equal(whyNot(Buffer.from("[],".repeat(containersMax / 2 + 1))), refused, "nor parsed");
  const some = Buffer.from(`[${new Array(2 * containersMax).fill('{"a":10}').join(",")}]`);
  assert.equal(whyNot(some), null, "eight octets for each");
  assert.equal(readJson(empty(2 * containersMax)).ok, true, "of answers the provider is trusted");
});
