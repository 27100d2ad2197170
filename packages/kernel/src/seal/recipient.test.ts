import assert from "node:assert/strict";
import { test } from "node:test";
import { parseEnvelope } from "@sallyport/protocol/seal/envelope.ts";
import {
  createRecipientKeyPair,
  createRecipientOpener,
  createRecipientSealer,
  sealsPerEphemeralMax,
} from "./recipient.ts";
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
