import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { aeadOpen, aeadSeal } from "./aead.ts";
import { kekFromBytes } from "./key-file.ts";
import { derivePseudonymKey, pseudonymize } from "./pseudonym.ts";
import { createRecipientOpener, createRecipientSealer, recipientId } from "./recipient.ts";
import { openFromRing, readRingEnvelope, ringId, sealToRing } from "./ring-envelope.ts";
import { SealFault } from "./seal-fault.ts";
import { Secret } from "./secret.ts";

// The shapes of vectors/seal.json and of Wycheproof's aes_gcm_test.json; JSON.parse gives any.
interface EnvelopeVector {
  name: string;
  suite: "ring" | "recipient";
  ring: string;
  version: number;
  key: string;
  recipientPrivate: string;
  recipientPublic: string;
  ephemeralPrivate: string;
  ephemeralSalt: string;
  nonce: number;
  salt: string;
  context: Record<string, string>;
  plaintext: string;
  envelope: string;
}
interface Vectors {
  envelopes: EnvelopeVector[];
  refused: {
    name: string;
    ring: string;
    version: number;
    key: string;
    context: Record<string, string>;
    envelope: string;
    class: string;
  }[];
  ids: {
    rings: { tenant: string; purpose: string; id: string }[];
    keks: { kek: string; id: string }[];
    recipients: { publicKey: string; id: string }[];
  };
  pseudonyms: { key: string; epoch: string; domain: string; value: string; pseudonym: string }[];
  pseudonymKeys: { root: string; tenant: string; environment: string; year: string; key: string }[];
}
interface GcmTest {
  tcId: number;
  key: string;
  iv: string;
  aad: string;
  msg: string;
  ct: string;
  tag: string;
  result: string;
}

const repository = new URL("../../../../", import.meta.url);
const vectors: Vectors = JSON.parse(readFileSync(new URL("vectors/seal.json", repository), "utf8"));
const shared = process.env["SALLYPORT_VECTORS"] ?? new URL("../shared/vectors", repository).pathname;
const gcmFile = join(shared, "wycheproof", "aes_gcm_test.json");
const hex = (text: string) => new Uint8Array(Buffer.from(text, "hex"));

/** Random port that hands out the given byte strings in order. */
function scripted(...pieces: Uint8Array[]) {
  return {
    bytes: () => Uint8Array.from(pieces.shift() ?? assert.fail("more randomness asked for than the vector has")),
  };
}

test("sealing gives exactly the envelope of the vectors, and opening gives the plaintext back", () => {
  for (const vector of vectors.envelopes) {
    const content = { context: vector.context, plaintext: hex(vector.plaintext) };
    if (vector.suite === "ring") {
      const under = { ring: vector.ring, version: vector.version, key: hex(vector.key) };
      const sealed = sealToRing(under, content, scripted(hex(vector.salt)));
      assert.equal(Buffer.from(sealed).toString("hex"), vector.envelope, vector.name);
      assert.deepEqual(
        new Uint8Array(openFromRing(under, vector.context, readRingEnvelope(sealed))),
        content.plaintext,
      );
    } else {
      const random = scripted(hex(vector.ephemeralPrivate), hex(vector.ephemeralSalt));
      const sealer = createRecipientSealer({ recipient: hex(vector.recipientPublic), random });
      for (let spent = 0; spent < vector.nonce; spent++) sealer.seal(vector.context, new Uint8Array(0));
      const sealed = sealer.seal(vector.context, content.plaintext);
      sealer.forget();
      assert.equal(Buffer.from(sealed).toString("hex"), vector.envelope, vector.name);
      const opener = createRecipientOpener(Secret.fromBytes(hex(vector.recipientPrivate)));
      assert.deepEqual(new Uint8Array(opener.open(vector.context, sealed)), content.plaintext);
    }
  }
});

test("every refused vector is refused for its own reason", () => {
  const codes: Record<string, string> = {
    malformed: "envelope-malformed",
    refused: "envelope-refused",
    "key-unknown": "key-unknown",
  };
  for (const vector of vectors.refused) {
    const under = { ring: vector.ring, version: vector.version, key: hex(vector.key) };
    const open = () => openFromRing(under, vector.context, readRingEnvelope(hex(vector.envelope)));
    assert.throws(open, (fault) => fault instanceof SealFault && fault.code === codes[vector.class], vector.name);
  }
});

test("ids and pseudonyms are those of the vectors", () => {
  for (const ring of vectors.ids.rings) assert.equal(ringId(ring.tenant, ring.purpose), ring.id);
  for (const kek of vectors.ids.keks) assert.equal(kekFromBytes(hex(kek.kek), "vector").id, kek.id);
  for (const recipient of vectors.ids.recipients) assert.equal(recipientId(hex(recipient.publicKey)), recipient.id);
  for (const key of vectors.pseudonymKeys) {
    assert.equal(Buffer.from(derivePseudonymKey(hex(key.root), key)).toString("hex"), key.key);
  }
  const seen = new Set<string>();
  for (const { key, epoch, domain, value, pseudonym } of vectors.pseudonyms) {
    assert.equal(pseudonymize(hex(key), epoch, domain, value), pseudonym);
    assert.match(pseudonym, /^[a-z0-9-]{1,16}:[A-Za-z0-9_-]{22}$/);
    seen.add(pseudonym);
  }
  assert.equal(seen.size, vectors.pseudonyms.length);
});

test("Wycheproof AES-GCM: 256-bit keys, 96-bit nonces and 128-bit tags, through the core of the envelope", {
  skip: !existsSync(gcmFile) && `${gcmFile} is absent`,
}, () => {
  interface Group {
    keySize: number;
    ivSize: number;
    tagSize: number;
    tests: GcmTest[];
  }
  const groups: Group[] = JSON.parse(readFileSync(gcmFile, "utf8")).testGroups;
  // Other sizes never reach the core: the envelope has exactly one.
  const cases = groups.filter((g) => g.keySize === 256 && g.ivSize === 96 && g.tagSize === 128).flatMap((g) => g.tests);
  assert.equal(cases.length, 66);
  for (const vector of cases) {
    const input = { key: hex(vector.key), nonce: hex(vector.iv), aad: hex(vector.aad) };
    const opened = aeadOpen(input, hex(vector.ct), hex(vector.tag));
    const label = `tcId ${vector.tcId}`;
    if (vector.result === "valid") {
      assert.deepEqual(opened && new Uint8Array(opened), hex(vector.msg), label);
      const sealed = aeadSeal(input, hex(vector.msg));
      assert.equal(Buffer.concat([sealed.ciphertext, sealed.tag]).toString("hex"), vector.ct + vector.tag, label);
    } else {
      assert.equal(opened, null, label);
    }
    assert.equal(aeadOpen(input, hex(vector.ct), hex(vector.tag).subarray(0, 12)), null, "a shortened tag is refused");
  }
});
