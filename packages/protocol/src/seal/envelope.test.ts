import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import fc from "fast-check";
import { printContext, printSealContext } from "./context.ts";
import { parseEnvelope, printEnvelope } from "./envelope.ts";

interface Vectors {
  readonly envelopes: readonly { readonly name: string; readonly suite: string; readonly envelope: string }[];
  readonly refused: readonly { readonly name: string; readonly class: string; readonly envelope: string }[];
  readonly contexts: readonly { readonly context: Record<string, string>; readonly bytes: string }[];
}
const vectors: Vectors = JSON.parse(readFileSync(new URL("../../../../vectors/seal.json", import.meta.url), "utf8"));

test("every envelope of the vectors parses and prints back to the same bytes", () => {
  for (const vector of vectors.envelopes) {
    const bytes = Buffer.from(vector.envelope, "hex");
    const parsed = parseEnvelope(bytes);
    assert.ok(parsed.ok, vector.name);
    assert.equal(parsed.envelope.suite, vector.suite);
    assert.deepEqual(Buffer.from(printEnvelope(parsed.envelope)), bytes, vector.name);
  }
});

test("what the vectors call malformed is malformed, and nothing else is", () => {
  for (const vector of vectors.refused) {
    const parsed = parseEnvelope(Buffer.from(vector.envelope, "hex"));
    assert.equal(parsed.ok, vector.class !== "malformed", vector.name);
  }
});

test("whatever parses prints back to the same bytes, and parsing never throws", () => {
  const head = fc.tuple(fc.constantFrom(1, 1, 1, 0, 2), fc.constantFrom(1, 2, 1, 2, 0, 3));
  const bytes = fc
    .tuple(head, fc.uint8Array({ maxLength: 200 }))
    .map(([start, rest]) => Uint8Array.of(...start, ...rest));
  const property = fc.property(bytes, (candidate) => {
    const parsed = parseEnvelope(candidate);
    if (parsed.ok) assert.deepEqual(printEnvelope(parsed.envelope), candidate);
  });
  fc.assert(property, { seed: 1, numRuns: 2000 });
});

test("parts of a wrong length cannot be printed", () => {
  const parsed = parseEnvelope(Buffer.from(vectors.envelopes[0]?.envelope ?? "", "hex"));
  assert.ok(parsed.ok);
  for (const part of ["salt", "commitment", "tag"] as const) {
    assert.throws(() => printEnvelope({ ...parsed.envelope, [part]: new Uint8Array(5) }), TypeError);
  }
  assert.throws(() => printEnvelope({ ...parsed.envelope, ring: "XYZ" }), TypeError);
  assert.throws(() => printEnvelope({ ...parsed.envelope, version: 0 }), TypeError);
});

test("a context has the bytes of the vectors, whatever the order it was written in", () => {
  for (const vector of vectors.contexts) {
    assert.equal(Buffer.from(printContext(vector.context)).toString("hex"), vector.bytes);
  }
});

test("two different contexts never share their bytes (shifting text between names and values)", () => {
  const name = fc.stringMatching(/^[a-z][a-z0-9-]{0,5}$/);
  const context = fc.dictionary(name, fc.string({ unit: "grapheme", maxLength: 6 }), { maxKeys: 4 });
  const property = fc.property(context, context, (one, other) => {
    const sorted = (entries: Record<string, string>) => JSON.stringify(Object.entries(entries).sort());
    const sameBytes = Buffer.compare(printContext(one), printContext(other)) === 0;
    assert.equal(sameBytes, sorted(one) === sorted(other));
  });
  fc.assert(property, { seed: 2, numRuns: 1000 });
});

test("a context with a bad name, a lone surrogate, too much text or no tenant is a bug, not an envelope", () => {
  assert.throws(() => printContext({ Tenant: "main" }), TypeError);
  assert.throws(() => printContext({ "": "main" }), TypeError);
  assert.throws(() => printContext({ row: "\ud800" }), TypeError);
  assert.throws(() => printContext({ row: "x".repeat(4097) }), TypeError);
  assert.throws(() => printContext(Object.fromEntries(Array.from({ length: 33 }, (_, i) => [`n${i}`, ""]))), TypeError);
  assert.throws(() => printSealContext({ tenant: "main" }), TypeError);
  assert.throws(() => printSealContext({ purpose: "inbox" }), TypeError);
  assert.throws(() => printSealContext({ tenant: "", purpose: "inbox" }), TypeError);
});
