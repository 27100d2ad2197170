import assert from "node:assert/strict";
import { createCipheriv } from "node:crypto";
import { test } from "node:test";
import { printSealContext } from "@sallyport/protocol/seal/context.ts";
import { headerBytes, parseEnvelope, printEnvelope } from "@sallyport/protocol/seal/envelope.ts";
import fc from "fast-check";
import { aeadOpen, deriveEnvelopeKey } from "./aead.ts";
import { createRecipientKeyPair, createRecipientOpener, createRecipientSealer } from "./recipient.ts";
import { openFromRing, readRingEnvelope, ringId, sealToRing } from "./ring-envelope.ts";
import { SealFault } from "./seal-fault.ts";
import { seededRandom } from "./seeded.test-support.ts";

const context = { tenant: "main", purpose: "inbox", row: "42" };
const random = seededRandom(7);
const under = { ring: ringId("main", "inbox"), version: 1, key: random.bytes(32) };

const refused = (fault: unknown) => fault instanceof SealFault;

test("any one-byte change of an envelope refuses to open", () => {
  const plaintext = new TextEncoder().encode("a secret value");
  const sealed = sealToRing(under, { context, plaintext }, random);
  for (let at = 0; at < sealed.length; at++) {
    for (const bit of [0x01, 0x80]) {
      const changed = Uint8Array.from(sealed, (byte, i) => (i === at ? byte ^ bit : byte));
      assert.throws(() => openFromRing(under, context, readRingEnvelope(changed)), refused, `byte ${at}`);
    }
  }
});

test("any one-byte change of an envelope sealed to a recipient refuses to open, the ephemeral key's ignored top bit included", () => {
  const pair = createRecipientKeyPair(random);
  const opener = createRecipientOpener(pair.privateKey);
  const sealer = createRecipientSealer({ recipient: pair.publicKey, random });
  const sealed = sealer.seal(context, new TextEncoder().encode("inputs"));
  sealer.forget();
  assert.equal(new TextDecoder().decode(opener.open(context, sealed)), "inputs");
  for (let at = 0; at < sealed.length; at++) {
    const changed = Uint8Array.from(sealed, (byte, i) => (i === at ? byte ^ 0x80 : byte));
    assert.throws(() => opener.open(context, changed), refused, `byte ${at}`);
  }
});

test("any change of the context refuses to open", () => {
  const sealed = readRingEnvelope(sealToRing(under, { context, plaintext: Uint8Array.of(1, 2, 3) }, random));
  const entry = fc.tuple(
    fc.constantFrom("tenant", "purpose", "row", "field"),
    fc.string({ minLength: 1, maxLength: 12 }),
  );
  const property = fc.property(entry, ([name, value]) => {
    const other: Record<string, string> = { ...context, [name]: value };
    fc.pre(other[name] !== (context as Record<string, string>)[name]);
    assert.throws(() => openFromRing(under, other, sealed), refused);
  });
  fc.assert(property, { seed: 3, numRuns: 300 });
});

test("MoveIntegrity: of envelopes in many places each opens in its own place and in no other", () => {
  const places = ["main", "acme"].flatMap((tenant) =>
    ["inbox", "secrets"].flatMap((purpose) => ["1", "2"].map((row) => ({ tenant, purpose, row }))),
  );
  // One key for all of them on purpose: the context alone has to hold them apart.
  const sealed = places.map((place) => sealToRing(under, { context: place, plaintext: Uint8Array.of(9) }, random));
  places.forEach((place, i) => {
    sealed.forEach((bytes, j) => {
      const open = () => openFromRing(under, place, readRingEnvelope(bytes));
      if (i === j) assert.deepEqual(new Uint8Array(open()), Uint8Array.of(9));
      else assert.throws(open, refused, `${JSON.stringify(places[j])} opened as ${JSON.stringify(place)}`);
    });
  });
});

test("no two envelopes of one plaintext share salt, commitment or ciphertext", () => {
  const seen = new Set<string>();
  for (let i = 0; i < 200; i++) {
    const envelope = readRingEnvelope(sealToRing(under, { context, plaintext: new Uint8Array(16) }, random));
    for (const part of [envelope.salt, envelope.commitment, envelope.ciphertext])
      seen.add(Buffer.from(part).toString("hex"));
  }
  assert.equal(seen.size, 600);
});

// --- The commitment attack. GHASH is linear in the ciphertext blocks, so one block can be solved for such that the same tag
// --- is right under two keys: plain AES-GCM opens the result twice (research: "invisible salamanders").
type Block = bigint;
const reduction: Block = 0xe1n << 120n;

function times(x: Block, y: Block): Block {
  let z = 0n;
  let v = y;
  for (let i = 127n; i >= 0n; i--) {
    if ((x >> i) & 1n) z ^= v;
    v = v & 1n ? (v >> 1n) ^ reduction : v >> 1n;
  }
  return z;
}

/** x^(2^128 - 2), the inverse in GF(2^128). */
function inverse(x: Block): Block {
  let result: Block = 1n << 127n;
  let square = times(x, x);
  for (let i = 1; i < 128; i++) {
    result = times(result, square);
    square = times(square, square);
  }
  return result;
}

const toBlock = (bytes: Uint8Array): Block => BigInt(`0x${Buffer.from(bytes).toString("hex").padEnd(32, "0")}`);
const fromBlock = (block: Block) => Buffer.from(block.toString(16).padStart(32, "0"), "hex");

function encryptBlock(key: Uint8Array, block: Uint8Array): Block {
  const aes = createCipheriv("aes-256-ecb", key, null);
  return toBlock(aes.update(block));
}

/** Ciphertext of two blocks and a tag that is right under both keys with nonce zero. */
function craftForTwoKeys(one: Uint8Array, two: Uint8Array, aad: Uint8Array): { ciphertext: Buffer; tag: Buffer } {
  const first = 0x42n;
  const counter = Buffer.alloc(16);
  counter[15] = 1;
  const lengths = (BigInt(aad.length * 8) << 64n) | 256n;
  const side = (key: Uint8Array) => {
    const h = encryptBlock(key, new Uint8Array(16));
    let state = 0n;
    for (let at = 0; at < aad.length; at += 16) state = times(state ^ toBlock(aad.subarray(at, at + 16)), h);
    const square = times(h, h);
    // Tag without the share of the second block: ((state + C1)h + C2)h + lengths)h + E(J0)
    const rest = times(times(times(state ^ first, h), h) ^ lengths, h) ^ encryptBlock(key, counter);
    return { square, rest };
  };
  const [a, b] = [side(one), side(two)];
  const second = times(a.rest ^ b.rest, inverse(a.square ^ b.square));
  const tag = a.rest ^ times(second, a.square);
  return { ciphertext: Buffer.concat([fromBlock(first), fromBlock(second)]), tag: fromBlock(tag) };
}

test("key-commitment attack: a ciphertext crafted to decrypt under two keys opens under neither key but the committed one", () => {
  const salt = random.bytes(24);
  const bound = headerBytes("ring", under.ring, under.version);
  const aad = printSealContext(context);
  const keys = [under.key, random.bytes(32)].map((key) => ({ ...under, key }));
  const derived = keys.map((key) => deriveEnvelopeKey(key.key, salt, bound));
  const [one, two] = derived;
  assert.ok(one && two);
  const crafted = craftForTwoKeys(one.key, two.key, aad);
  for (const { key } of derived) {
    const plain = aeadOpen({ key, nonce: new Uint8Array(12), aad }, crafted.ciphertext, crafted.tag);
    assert.notEqual(plain, null, "the attack is real: AES-GCM alone opens it under both keys");
  }
  derived.forEach(({ commitment }, committed) => {
    const bytes = printEnvelope({ suite: "ring", ring: under.ring, version: 1, salt, commitment, ...crafted });
    const envelope = readRingEnvelope(bytes);
    keys.forEach((key, i) => {
      if (i === committed) assert.equal(openFromRing(key, context, envelope).length, 32);
      else assert.throws(() => openFromRing(key, context, envelope), refused);
    });
  });
});

test("an envelope of one suite is never read as the other", () => {
  const pair = createRecipientKeyPair(random);
  const sealer = createRecipientSealer({ recipient: pair.publicKey, random });
  const sealed = sealer.seal(context, new Uint8Array(64));
  sealer.forget();
  assert.throws(() => readRingEnvelope(sealed), { code: "envelope-malformed" });
  const ring = sealToRing(under, { context, plaintext: new Uint8Array(64) }, random);
  assert.throws(() => createRecipientOpener(pair.privateKey).open(context, ring), { code: "envelope-malformed" });
  const swapped = Uint8Array.from(sealed);
  swapped[1] = 1;
  assert.ok(parseEnvelope(swapped).ok, "long enough to parse as the other suite");
  assert.throws(() => openFromRing(under, context, readRingEnvelope(swapped)), { code: "key-unknown" });
});
