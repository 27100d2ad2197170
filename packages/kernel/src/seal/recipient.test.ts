import assert from "node:assert/strict";
import { test } from "node:test";
import { parseEnvelope } from "@sallyport/protocol/seal/envelope.ts";
import { ManyUseKey, sealsPerEphemeralMax } from "./many-use-key.ts";
import { createRecipientKeyPair, createRecipientOpener, createRecipientSealer } from "./recipient.ts";
import { seededRandom } from "./seeded.test-support.ts";

const random = seededRandom(5);
const context = { tenant: "main", purpose: "log-reference" };

function ephemeralOf(envelope: Uint8Array): string {
  const parsed = parseEnvelope(envelope);
  assert.ok(parsed.ok && parsed.envelope.suite === "recipient");
  return Buffer.from(parsed.envelope.ephemeral).toString("hex");
}

test("only the recipient's private key opens, and each envelope carries all that needs", () => {
  const pair = createRecipientKeyPair(random);
  const stranger = createRecipientOpener(createRecipientKeyPair(random).privateKey);
  const sealer = createRecipientSealer({ recipient: pair.publicKey, random });
  const envelopes = ["one", "two"].map((text) => sealer.seal(context, new TextEncoder().encode(text)));
  sealer.forget();
  const opener = createRecipientOpener(pair.privateKey);
  assert.deepEqual(envelopes.map((e) => new TextDecoder().decode(opener.open(context, e))).reverse(), ["two", "one"]);
  assert.throws(() => stranger.open(context, envelopes[0] ?? assert.fail()), { code: "key-unknown" });
});

/** Everything that decides which key and nonce an envelope was sealed with. */
function keyAndNonceOf(envelope: Uint8Array): string {
  const parsed = parseEnvelope(envelope);
  assert.ok(parsed.ok && parsed.envelope.suite === "recipient");
  return `${Buffer.from(parsed.envelope.ephemeral).toString("hex")} ${Buffer.from(parsed.envelope.salt).toString("hex")}`;
}

test("nonce reuse: no two of 10,000 envelopes share key and nonce, across renewals, time, forgetting and envelopes that failed", () => {
  let nowMs = 0;
  const pair = createRecipientKeyPair(random);
  const sealer = createRecipientSealer({ recipient: pair.publicKey, random, clock: { monotonic: () => nowMs } });
  const seen = new Set<string>();
  for (let i = 0; i < 10_000; i++) {
    if (i % 1_111 === 0) nowMs += 60_000;
    if (i % 1_777 === 0) sealer.forget();
    if (i % 5 === 0) assert.throws(() => sealer.seal({ tenant: "main" }, new Uint8Array(1)), TypeError);
    seen.add(keyAndNonceOf(sealer.seal(context, new Uint8Array(1))));
  }
  sealer.forget();
  assert.equal(seen.size, 10_000);
});

test("nonces count from 0 under one key and salt; a new ephemeral key has a new salt and counts anew", () => {
  const pair = createRecipientKeyPair(random);
  const sealer = createRecipientSealer({ recipient: pair.publicKey, random });
  const saltOf = (envelope: Uint8Array) => Buffer.from(envelope.subarray(46, 70)).toString("hex");
  const salts = [0, 1, 2].map(() => saltOf(sealer.seal(context, new Uint8Array(1))));
  assert.deepEqual(
    salts.map((salt) => salt.slice(24)),
    ["0", "1", "2"].map((n) => n.padStart(24, "0")),
  );
  assert.equal(new Set(salts.map((salt) => salt.slice(0, 24))).size, 1);
  sealer.forget();
  const next = saltOf(sealer.seal(context, new Uint8Array(1)));
  sealer.forget();
  assert.notEqual(next.slice(0, 24), salts[0]?.slice(0, 24));
  assert.equal(next.slice(24), "0".repeat(24));
});

test("nonce reuse: a key spends a nonce even for what cannot be sealed, refuses the 4097th and refuses all once wiped", () => {
  const derive = () => ({ key: random.bytes(32), commitment: random.bytes(32) });
  const key = new ManyUseKey(derive());
  const aad = new Uint8Array(4);
  const seen = new Set<string>();
  for (let i = 0; i < sealsPerEphemeralMax; i++) {
    assert.ok(key.usable);
    // The AAD is refused by the cipher itself, after the nonce was taken.
    if (i === 7) assert.throws(() => key.seal(null as unknown as Uint8Array, new Uint8Array(1)));
    else seen.add(Buffer.from(key.seal(aad, new Uint8Array(1)).nonce).toString("hex"));
  }
  assert.equal(seen.size, sealsPerEphemeralMax - 1);
  assert.ok(!seen.has("7".padStart(24, "0")));
  assert.equal(key.usable, false);
  assert.throws(() => key.seal(aad, new Uint8Array(1)), TypeError);
  const wiped = new ManyUseKey(derive());
  wiped.wipe();
  assert.throws(() => wiped.seal(aad, new Uint8Array(1)), TypeError);
});

test("splicing: envelopes of one ephemeral key do not open with each other's nonce, ciphertext, tag or place", () => {
  const pair = createRecipientKeyPair(random);
  const sealer = createRecipientSealer({ recipient: pair.publicKey, random });
  const opener = createRecipientOpener(pair.privateKey);
  const seal = (id: string) => sealer.seal({ ...context, id }, new TextEncoder().encode(`of ${id}`));
  const [one, two] = [seal("a"), seal("b")];
  sealer.forget();
  const parts: [string, number, number][] = [
    ["nonce", 58, 70],
    ["ciphertext", 102, one.length - 16],
    ["tag", one.length - 16, one.length],
  ];
  for (const [part, from, to] of parts) {
    const spliced = Uint8Array.from(one);
    spliced.set(two.subarray(from, to), from);
    assert.throws(() => opener.open({ ...context, id: "a" }, spliced), { code: "envelope-refused" }, part);
  }
  assert.throws(() => opener.open({ ...context, id: "b" }, one), { code: "envelope-refused" });
  assert.equal(new TextDecoder().decode(opener.open({ ...context, id: "a" }, one)), "of a");
});

test("an ephemeral key serves at most 4096 envelopes and 60 s", () => {
  let nowMs = 0;
  const clock = { monotonic: () => nowMs };
  const pair = createRecipientKeyPair(random);
  const sealer = createRecipientSealer({ recipient: pair.publicKey, random, clock });
  const seal = () => ephemeralOf(sealer.seal(context, new Uint8Array(1)));
  const first = seal();
  for (let i = 1; i < sealsPerEphemeralMax; i++) seal();
  const second = seal();
  assert.notEqual(second, first);
  nowMs = 59_999;
  assert.equal(seal(), second);
  nowMs = 60_000;
  assert.notEqual(seal(), second);
  sealer.forget();
});

test("an idle sealer forgets its ephemeral key after 60 s by itself", (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const pair = createRecipientKeyPair(random);
  const sealer = createRecipientSealer({ recipient: pair.publicKey, random, clock: { monotonic: () => 0 } });
  const first = ephemeralOf(sealer.seal(context, new Uint8Array(1)));
  t.mock.timers.tick(60_000);
  assert.notEqual(
    ephemeralOf(sealer.seal(context, new Uint8Array(1))),
    first,
    "the clock stood still, so the timer did it",
  );
  sealer.forget();
});

test("low-order attack: a recipient or ephemeral key that forces a known shared secret is refused", () => {
  const lowOrder = [
    "00".repeat(32),
    `01${"00".repeat(31)}`,
    "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
  ];
  const pair = createRecipientKeyPair(random);
  const sealer = createRecipientSealer({ recipient: pair.publicKey, random });
  const sealed = sealer.seal(context, new Uint8Array(8));
  sealer.forget();
  for (const point of lowOrder.map((text) => Buffer.from(text, "hex"))) {
    assert.throws(() => createRecipientSealer({ recipient: point, random }), { code: "recipient-key" });
    const forged = Uint8Array.from(sealed);
    forged.set(point, 14);
    assert.throws(() => createRecipientOpener(pair.privateKey).open(context, forged), { code: "recipient-key" });
  }
  assert.throws(() => createRecipientSealer({ recipient: new Uint8Array(31), random }), { code: "recipient-key" });
});
