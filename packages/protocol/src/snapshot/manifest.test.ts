import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { createTokenCrypto, generateSigner } from "@sallyport/kernel/token-crypto.ts";
import * as fc from "fast-check";
import { decodeBase64url, encodeBase64url } from "../token/base64url.ts";
import type { VerifyKey } from "../token/crypto.ts";
import {
  acceptManifest,
  blobId,
  blobMatches,
  encodeManifest,
  ManifestError,
  openManifest,
  parseManifest,
  type SignedManifest,
  type SnapshotManifest,
  type SnapshotOffer,
  signManifest,
} from "./manifest.ts";

const crypto = createTokenCrypto();
const signer = generateSigner("EdDSA").signer;
const stranger = generateSigner("EdDSA").signer;
const now = Date.UTC(2026, 10, 22, 12);
const hash = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

function keyOf(of: typeof signer): VerifyKey {
  const key = crypto.importKey(of.jwk);
  assert.ok(key);
  return key;
}

const manifest: SnapshotManifest = {
  v: 1,
  tenant: "main",
  environment: "production",
  region: "eu",
  group: "production-eu",
  epoch: 1,
  version: 7,
  issuedAt: now - 1_000,
  expiresAt: now + 3_600_000,
  minKeySeq: 3,
  minRevocationSeq: 9,
  objects: { "system/orders": hash, estate: hash, "policy/billing:invoice.create": hash },
};

function offer(
  change: Partial<SnapshotOffer> = {},
  signed: SignedManifest = signManifest(manifest, signer),
): SnapshotOffer {
  return {
    signed,
    snapshotKey: keyOf(signer),
    group: { tenant: "main", environment: "production", region: "eu", group: "production-eu" },
    lastAccepted: { epoch: 1, version: 6 },
    now,
    keySeq: 3,
    revocationSeq: 9,
    crypto,
    ...change,
  };
}

function answer(of: SnapshotOffer): string {
  const result = acceptManifest(of);
  return result.kind === "accepted" ? "accepted" : result.refusal;
}

const re = (change: Partial<SnapshotManifest>) => signManifest({ ...manifest, ...change }, signer);

test("a newer snapshot of this group is accepted with its objects", () => {
  const result = acceptManifest(offer());
  assert.ok(result.kind === "accepted");
  assert.deepEqual(Object.keys(result.manifest.objects), ["estate", "policy/billing:invoice.create", "system/orders"]);
  assert.ok(Object.isFrozen(result.manifest) && Object.isFrozen(result.manifest.objects));
});

const refusals: readonly (readonly [string, SnapshotOffer, string])[] = [
  ["a snapshot signed by a stranger", offer({}, signManifest(manifest, stranger)), "foreign-key"],
  [
    "a snapshot of a stranger under our key's name",
    offer({}, { ...signManifest(manifest, stranger), kid: signer.kid }),
    "altered",
  ],
  [
    "a padded signature",
    offer({}, { ...signManifest(manifest, signer), sig: `${signManifest(manifest, signer).sig}=` }),
    "malformed",
  ],
  [
    "a signature cut short",
    offer({}, { ...signManifest(manifest, signer), sig: signManifest(manifest, signer).sig.slice(0, 80) }),
    "malformed",
  ],
  ["another tenant's snapshot", offer({}, re({ tenant: "other" })), "foreign-group"],
  ["staging's snapshot in production", offer({}, re({ environment: "staging" })), "foreign-group"],
  ["another region's snapshot", offer({}, re({ region: "us" })), "foreign-group"],
  ["another group's snapshot", offer({}, re({ group: "production-eu-2" })), "foreign-group"],
  ["a lower version", offer({ lastAccepted: { epoch: 1, version: 8 } }), "older"],
  ["a higher version of a lower epoch", offer({ lastAccepted: { epoch: 2, version: 1 } }), "older"],
  ["a lower version of a higher epoch", offer({ lastAccepted: { epoch: 0, version: 900 } }), "accepted"],
  ["the same version again", offer({ lastAccepted: { epoch: 1, version: 7 } }), "accepted"],
  [
    "another snapshot under the same version",
    offer({ lastAccepted: { epoch: 1, version: 7, digest: hash } }),
    "altered",
  ],
  ["the first snapshot ever", offer({ lastAccepted: null }), "accepted"],
  ["a snapshot in its last millisecond", offer({ now: manifest.expiresAt - 1 }), "accepted"],
  ["a snapshot at its end", offer({ now: manifest.expiresAt }), "expired"],
  ["a snapshot from a minute ahead", offer({ now: manifest.issuedAt - 60_000 }), "accepted"],
  ["a snapshot from further ahead", offer({ now: manifest.issuedAt - 60_001 }), "not-yet-valid"],
  ["a snapshot whose keys have not arrived", offer({ keySeq: 2 }), "needs-keys"],
  ["a snapshot whose revocations have not arrived", offer({ revocationSeq: 8 }), "needs-keys"],
];
for (const [name, given, expected] of refusals) {
  test(`${expected === "accepted" ? "accepts" : `refuses as ${expected}:`} ${name}`, () =>
    assert.equal(answer(given), expected));
}

test("any altered byte of a signed snapshot is refused", () => {
  const signed = signManifest(manifest, signer);
  const bytes = decodeBase64url(signed.manifest);
  assert.ok(bytes);
  for (let i = 0; i < bytes.length; i++) {
    const copy = bytes.slice();
    copy[i] = (copy[i] ?? 0) ^ 1;
    assert.equal(answer(offer({}, { ...signed, manifest: encodeBase64url(copy) })), "altered", `byte ${i}`);
  }
});

test("a signature over the bare bytes, without its context, is not one", () => {
  const bytes = encodeManifest(manifest);
  assert.equal(
    answer(offer({}, { manifest: encodeBase64url(bytes), kid: signer.kid, sig: encodeBase64url(signer.sign(bytes)) })),
    "altered",
  );
});

const encoder = new TextEncoder();
const printed = new TextDecoder().decode(encodeManifest(manifest));
const misspelt: readonly (readonly [string, string])[] = [
  ["white space", printed.replace(":1", ": 1")],
  ["a repeated key", printed.replace('"epoch":1,', '"epoch":1,"epoch":1,')],
  ["another key order", printed.replace('"epoch":1,"version":7', '"version":7,"epoch":1')],
  ["objects out of order", printed.replace(/"estate":"[0-9a-f]+",/, "").replace("}}", `,"estate":"${hash}"}}`)],
  ["an unknown key", printed.replace('"v":1', '"v":1,"w":1')],
  ["version 2", printed.replace('"v":1', '"v":2')],
  ["a number as a string", printed.replace('"epoch":1', '"epoch":"1"')],
  ["an exponent", printed.replace('"version":7', '"version":7e0')],
  ["a negative version", printed.replace('"version":7', '"version":-7')],
  [
    "an upper-case hash",
    printed.replace(/"estate":"[0-9a-f]+"/, (text) => text.toUpperCase().replace("ESTATE", "estate")),
  ],
  ["a name with a quote", printed.replace('"estate"', '"est\\"ate"')],
  ["the name __proto__", printed.replace('"estate"', '"__proto__"')],
  ["a byte order mark", `\ufeff${printed}`],
  ["nothing", ""],
];
for (const [name, text] of misspelt) {
  test(`refuses as malformed, though signed with the real key: ${name}`, () => {
    assert.notEqual(text, printed, "the mutation must change the text");
    const bytes = encoder.encode(text);
    assert.equal(parseManifest(bytes), null);
    const sig = signer.sign(encoder.encode(`sallyport-snapshot/v1\n${text}`));
    assert.equal(
      answer(offer({}, { manifest: encodeBase64url(bytes), kid: signer.kid, sig: encodeBase64url(sig) })),
      "malformed",
    );
  });
}

test("a manifest that breaks the format is never signed", () => {
  assert.throws(() => re({ group: "Production" }), ManifestError);
  assert.throws(() => re({ objects: { 'a"b': hash } }), ManifestError);
  assert.throws(() => re({ expiresAt: manifest.issuedAt }), ManifestError);
  assert.throws(() => signManifest(manifest, generateSigner("ES256").signer), ManifestError);
});

test("parse then print gives the same bytes, for any manifest", () => {
  const names = fc.dictionary(
    fc.stringMatching(/^[a-z]{1,8}(?:\/[A-Za-z0-9._:/-]{1,12})?$/),
    fc.stringMatching(/^[0-9a-f]{64}$/),
    { noNullPrototype: true },
  );
  const whole = fc.nat(Number.MAX_SAFE_INTEGER);
  const property = fc.property(names, whole, whole, fc.nat(1_000_000), (objects, epoch, version, issuedAt) => {
    const bytes = encodeManifest({ ...manifest, objects, epoch, version, issuedAt, expiresAt: issuedAt + 1 });
    const parsed = parseManifest(bytes);
    assert.ok(parsed);
    assert.deepEqual(encodeManifest(parsed), bytes);
  });
  fc.assert(property, { seed: 5, numRuns: 300 });
});

test("the example of the format page is a manifest, byte for byte", () => {
  const page = readFileSync(join(import.meta.dirname, "../../../../docs/formats/snapshot.md"), "utf8");
  const example = /`(\{"v":1,.*\})`/.exec(page)?.[1];
  assert.ok(example);
  const parsed = parseManifest(encoder.encode(example));
  assert.equal(parsed?.objects["estate"], hash);
});

test("a blob is what the manifest says only if its hash is", () => {
  const abc = encoder.encode("abc");
  assert.equal(blobId(abc, crypto), hash);
  assert.equal(blobMatches(hash, abc, crypto), true);
  assert.equal(blobMatches(hash, encoder.encode("abd"), crypto), false);
});

test("openManifest alone judges key, signature and form, not the clock", () => {
  const opened = openManifest(re({ expiresAt: manifest.issuedAt + 1 }), keyOf(signer));
  assert.equal(opened.kind, "opened");
});
