import assert from "node:assert/strict";
import { test } from "node:test";
import { createTokenCrypto, generateSigner } from "@sallyport/kernel/token-crypto.ts";
import { signAccessToken } from "./access-token.ts";
import type { HopTokenClaims } from "./claims.ts";
import type { TokenSigner, VerifyKey } from "./crypto.ts";
import { type HopTokenRules, signHopKey, signHopToken, verifyHopKey, verifyHopToken } from "./hop-token.ts";
import { signCompactJws } from "./jws.ts";

const crypto = createTokenCrypto();
const now = Date.UTC(2026, 10, 22, 12);
const seconds = now / 1000;
const issuer = "https://id.example/main/production";
const audience = `${issuer}/systems/billing`;
const hopSigner = generateSigner("ES256").signer;
const snapshotSigner = generateSigner("EdDSA").signer;

function keyOf(signer: TokenSigner): VerifyKey {
  const key = crypto.importKey(signer.jwk);
  assert.ok(key);
  return key;
}

const hopKey = keyOf(hopSigner);
const rules: HopTokenRules = {
  issuer,
  audience,
  now,
  keys: { find: (kid) => (kid === hopKey.kid ? hopKey : undefined) },
};
const claims: HopTokenClaims = {
  iss: issuer,
  aud: audience,
  sub: "orders",
  iat: seconds,
  exp: seconds + 60,
  jti: "node-1-01JD8M6Q",
  op: "billing:invoice.create",
  int: "orders-to-billing",
};
const header = { alg: "ES256", typ: "sallyport-hop+jwt", kid: hopSigner.kid };
const token = (change: Readonly<Record<string, unknown>> = {}, head: Readonly<Record<string, unknown>> = {}) =>
  signCompactJws({ ...header, ...head }, { ...claims, ...change }, hopSigner);

function answer(text: string, change: Partial<HopTokenRules> = {}): string {
  const result = verifyHopToken(text, { ...rules, ...change });
  return result.kind === "deny" ? result.code : result.kind;
}

test("a provider learns from a hop token who called, what for and on whose behalf", () => {
  const full = { ...claims, subject: "user:7", act: { sub: "orders" } };
  assert.deepEqual(verifyHopToken(signHopToken(full, hopSigner), rules), {
    kind: "verified",
    claims: full,
    kid: hopSigner.kid,
  });
  assert.equal(
    signHopToken(claims, hopSigner).split(".", 2).join("."),
    token().split(".", 2).join("."),
    "keys are printed in the order of the format page",
  );
});

const cases: readonly (readonly [string, string, Partial<HopTokenRules>, string])[] = [
  ["for another provider", token(), { audience: `${issuer}/systems/analytics` }, "token-audience"],
  ["with aud as an array", token({ aud: [audience] }), {}, "token-claims"],
  ["of another environment", token({ iss: "https://id.example/main/staging" }), {}, "token-issuer"],
  ["in its last millisecond with skew", token(), { now: now + 64_999 }, "verified"],
  ["after its end", token(), { now: now + 65_000 }, "token-expired"],
  ["from the future", token({ iat: seconds + 6, exp: seconds + 20 }), {}, "token-not-yet-valid"],
  ["that lives 61 s", token({ exp: seconds + 61 }), {}, "token-claims"],
  ["that lives no time", token({ exp: seconds }), {}, "token-claims"],
  ["without an operation", token({ op: undefined }), {}, "token-claims"],
  ["without an integration", token({ int: undefined }), {}, "token-claims"],
  ["with a subject that is no text", token({ subject: 1 }), {}, "token-claims"],
  ["with alg none", token({}, { alg: "none" }), {}, "token-algorithm"],
  ["with alg EdDSA", token({}, { alg: "EdDSA" }), {}, "token-algorithm"],
  ["of a key that is not published", token({}, { kid: snapshotSigner.kid }), {}, "token-key-unknown"],
  ["without kid", token({}, { kid: undefined }), {}, "token-key-unknown"],
  [
    "signed by somebody else",
    signCompactJws(header, { ...claims }, generateSigner("ES256").signer),
    {},
    "token-signature",
  ],
  ["of typ JWT", token({}, { typ: "JWT" }), {}, "token-type"],
];
for (const [name, given, change, expected] of cases) {
  test(`${expected === "verified" ? "accepts" : `refuses as ${expected}:`} a hop token ${name}`, () =>
    assert.equal(answer(given, change), expected));
}

test("cross-JWT confusion: an access token, even of a published hop key, is no hop token", () => {
  const access = signAccessToken({ ...claims, client_id: "orders" }, hopSigner);
  assert.equal(answer(access), "token-type");
});

test("any one bit flipped anywhere in a hop token is refused", () => {
  const good = token();
  for (let at = 0; at < good.length; at++) {
    const flipped = good.slice(0, at) + String.fromCharCode(good.charCodeAt(at) ^ (1 << (at % 8))) + good.slice(at + 1);
    assert.notEqual(answer(flipped), "verified", `character ${at}`);
  }
});

const certificate = { iss: issuer, sub: "node-1", exp: seconds + 3600, jwk: hopSigner.jwk };
const hopKeyRules = { issuer, key: keyOf(snapshotSigner), now, crypto };

function certificateAnswer(text: string, change: Partial<typeof hopKeyRules> = {}): string {
  const result = verifyHopKey(text, { ...hopKeyRules, ...change });
  return result.kind === "deny" ? result.code : result.kind;
}

test("a hop-key certificate names node and key, under the key's own thumbprint", () => {
  const result = verifyHopKey(signHopKey(certificate, snapshotSigner), hopKeyRules);
  assert.deepEqual(result, { kind: "verified", claims: certificate, kid: hopSigner.kid });
});

const certificates: readonly (readonly [string, string, Partial<typeof hopKeyRules>, string])[] = [
  [
    "of another environment",
    signHopKey({ ...certificate, iss: "https://id.example/main/staging" }, snapshotSigner),
    {},
    "token-issuer",
  ],
  ["that a hop key signed itself", signHopKey(certificate, hopSigner), {}, "token-algorithm"],
  ["of another snapshot key", signHopKey(certificate, generateSigner("EdDSA").signer), {}, "token-key-unknown"],
  ["at its end", signHopKey(certificate, snapshotSigner), { now: certificate.exp * 1000 }, "token-expired"],
  ["for an Ed25519 key", signHopKey({ ...certificate, jwk: snapshotSigner.jwk }, snapshotSigner), {}, "token-claims"],
  [
    "that is a hop token",
    signCompactJws({ ...header, alg: "EdDSA", kid: snapshotSigner.kid }, { ...claims }, snapshotSigner),
    {},
    "token-type",
  ],
];
for (const [name, given, change, expected] of certificates) {
  test(`refuses as ${expected}: a hop-key certificate ${name}`, () =>
    assert.equal(certificateAnswer(given, change), expected));
}
