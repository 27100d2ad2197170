import assert from "node:assert/strict";
import { test } from "node:test";
import { createTokenCrypto, generateSigner } from "@sallyport/kernel/token-crypto.ts";
import * as fc from "fast-check";
import { calculateJwkThumbprint, EmbeddedJWK, jwtVerify } from "jose";
import { accessTokenHash, type DpopRules, signDpopProof, verifyDpopProof } from "./dpop.ts";
import { signHopToken } from "./hop-token.ts";
import { isSameHtu, normalizeHtu } from "./htu.ts";
import { signCompactJws } from "./jws.ts";

const crypto = createTokenCrypto();
const now = Date.UTC(2026, 10, 22, 12);
const iat = now / 1000;
const signer = generateSigner("ES256").signer;
const url = "https://gw.example/billing/v1/invoices/7";
const accessToken = "eyJh.eyJp.c2ln";
const ath = accessTokenHash(accessToken, crypto);
const rules: DpopRules = { method: "POST", url, ath, now };
const good = { jti: "8zXf0Wq2", method: "POST", url, iat, ath, nonce: "n-1" };
const header = { alg: "ES256", typ: "dpop+jwt", jwk: signer.jwk };
const claims = { jti: good.jti, htm: "POST", htu: url, iat, ath, nonce: "n-1" };

function answer(proof: string, change: Partial<DpopRules> = {}): string {
  const result = verifyDpopProof(proof, { ...rules, ...change }, crypto);
  return result.kind === "deny" ? result.code : result.kind;
}

const proof = (change: Readonly<Record<string, unknown>> = {}, head: Readonly<Record<string, unknown>> = {}) =>
  signCompactJws({ ...header, ...head }, { ...claims, ...change }, signer);

test("a good proof gives the caller's ports what they need: key, id, nonce and time", () => {
  const result = verifyDpopProof(signDpopProof(good, signer), rules, crypto);
  assert.deepEqual(result, { kind: "proof", jkt: signer.kid, jti: good.jti, nonce: "n-1", issuedAtMs: now });
});

test("an Ed25519 proof is as good", () =>
  assert.equal(answer(signDpopProof(good, generateSigner("EdDSA").signer)), "proof"));

test("jose reads our proof and gives our key the same thumbprint", async () => {
  const { payload, protectedHeader } = await jwtVerify(signDpopProof(good, signer), EmbeddedJWK, {
    typ: "dpop+jwt",
    currentDate: new Date(now),
  });
  assert.equal(payload["htu"], url);
  assert.deepEqual(protectedHeader.jwk, signer.jwk);
  assert.equal(await calculateJwkThumbprint({ ...signer.jwk }), signer.kid);
});

test("a mismatch tells operators both values: method, URL with its port, time and token hash", () => {
  const facts = (change: Readonly<Record<string, unknown>>) => {
    const result = verifyDpopProof(proof(change), rules, crypto);
    return result.kind === "deny" ? [result.facts["expected"], result.facts["sent"]] : [];
  };
  assert.deepEqual(facts({ htm: "GET" }), ["POST", "GET"]);
  const withPort = url.replace("gw.example", "127.0.0.1:8443");
  assert.deepEqual(facts({ htu: withPort }), [url, withPort]);
  assert.deepEqual(facts({ ath: "other" }), [ath, "other"]);
  assert.deepEqual(facts({ ath: undefined }), [ath, "none"]);
  assert.deepEqual(facts({ iat: iat - 3_600 }), [
    "issued at about 2026-11-22T12:00:00.000Z",
    "issued at 2026-11-22T11:00:00.000Z",
  ]);
  assert.equal(facts({ htu: `https://gw.example/${"a".repeat(2_000)}` })[1]?.length, 513);
});

test("what a caller hid in userinfo or the query of a proof's URL is not kept", () => {
  const result = verifyDpopProof(proof({ htu: "https://user:s3cret@gw.example/x?key=s3cret" }), rules, crypto);
  assert.ok(result.kind === "deny" && !JSON.stringify(result).includes("s3cret"));
  assert.equal(result.facts["sent"], "https://…@gw.example/x?…");
});

const wrong: readonly (readonly [string, string, Partial<DpopRules>, string])[] = [
  ["for another method", proof(), { method: "GET" }, "dpop-method"],
  ["whose method is in lower case", proof({ htm: "post" }), {}, "dpop-method"],
  ["without a method", proof({ htm: undefined }), {}, "dpop-malformed"],
  ["for another path", proof(), { url: `${url}1` }, "dpop-url"],
  ["for another host", proof(), { url: "https://other.example/billing/v1/invoices/7" }, "dpop-url"],
  ["for another port", proof({ htu: url.replace("gw.example", "gw.example:8443") }), {}, "dpop-url"],
  ["for plain http", proof({ htu: url.replace("https", "http") }), {}, "dpop-url"],
  ["with userinfo", proof({ htu: url.replace("gw", "a@gw") }), {}, "dpop-url"],
  ["with a trailing slash", proof({ htu: `${url}/` }), {}, "dpop-url"],
  ["whose path differs in case", proof({ htu: url.replace("billing", "Billing") }), {}, "dpop-url"],
  ["that climbs out with dot segments", proof({ htu: "https://gw.example/billing/v1/../../admin" }), {}, "dpop-url"],
  ["whose url is relative", proof({ htu: "/billing/v1/invoices/7" }), {}, "dpop-url"],
  ["whose url is an object", proof({ htu: {} }), {}, "dpop-malformed"],
  ["without a url", proof({ htu: undefined }), {}, "dpop-malformed"],
  ["without ath", proof({ ath: undefined }), {}, "dpop-token-hash"],
  ["for another token", proof(), { ath: accessTokenHash(`${accessToken}x`, crypto) }, "dpop-token-hash"],
  ["with padded ath", proof({ ath: `${ath}=` }), {}, "dpop-token-hash"],
  ["that is 60 s old", proof({ iat: iat - 60 }), {}, "proof"],
  ["that is older", proof({ iat: iat - 61 }), {}, "dpop-expired"],
  ["from 5 s ahead", proof({ iat: iat + 5 }), {}, "proof"],
  ["from further ahead", proof({ iat: iat + 6 }), {}, "dpop-expired"],
  ["with iat as a string", proof({ iat: String(iat) }), {}, "dpop-malformed"],
  ["with a fractional iat", proof({ iat: iat + 0.5 }), {}, "dpop-malformed"],
  ["with a huge iat", proof({ iat: 1e300 }), {}, "dpop-malformed"],
  ["without jti", proof({ jti: undefined }), {}, "dpop-malformed"],
  ["with jti of 129 characters", proof({ jti: "x".repeat(129) }), {}, "dpop-malformed"],
  ["with an empty jti", proof({ jti: "" }), {}, "dpop-malformed"],
  ["without a nonce", proof({ nonce: undefined }), {}, "dpop-nonce"],
  ["with an empty nonce", proof({ nonce: "" }), {}, "dpop-malformed"],
  ["with a nonce of 257 characters", proof({ nonce: "x".repeat(257) }), {}, "dpop-malformed"],
  ["at a token endpoint, where there is no token yet", proof({ ath: undefined }), { ath: null }, "proof"],
  ["of typ JWT", proof({}, { typ: "JWT" }), {}, "dpop-malformed"],
  ["of typ at+jwt", proof({}, { typ: "at+jwt" }), {}, "dpop-malformed"],
  ["without a key", proof({}, { jwk: undefined }), {}, "dpop-malformed"],
  ["with kid beside the key", proof({}, { kid: signer.kid }), {}, "dpop-malformed"],
  ["with crit", proof({}, { crit: ["x"] }), {}, "dpop-malformed"],
  ["with alg none", proof({}, { alg: "none" }), {}, "dpop-algorithm"],
  ["with alg HS256", proof({}, { alg: "HS256" }), {}, "dpop-algorithm"],
  ["with the alg of another key type", proof({}, { alg: "EdDSA" }), {}, "dpop-algorithm"],
  ["with a private key in it", proof({}, { jwk: { ...signer.jwk, d: signer.kid } }), {}, "dpop-malformed"],
  ["with a symmetric key", proof({}, { jwk: { kty: "oct", k: "AAAA" } }), {}, "dpop-malformed"],
  ["with an RSA key", proof({}, { jwk: { kty: "RSA", n: "AAAA", e: "AQAB" } }), {}, "dpop-malformed"],
  ["with a P-384 key", proof({}, { jwk: { ...signer.jwk, crv: "P-384" } }), {}, "dpop-malformed"],
  ["with a key for encryption", proof({}, { jwk: { ...signer.jwk, use: "enc" } }), {}, "dpop-malformed"],
  ["with a point off the curve", proof({}, { jwk: { ...signer.jwk, x: signer.kid } }), {}, "dpop-malformed"],
  ["with a padded coordinate", proof({}, { jwk: { ...signer.jwk, x: `${signer.jwk.x}=` } }), {}, "dpop-malformed"],
  [
    "of another key than it shows",
    signCompactJws(header, claims, generateSigner("ES256").signer),
    {},
    "dpop-signature",
  ],
  [
    "that is a hop token",
    signHopToken({ iss: "i", aud: "a", sub: "s", iat, exp: iat + 60, jti: "j", op: "o", int: "i" }, signer),
    {},
    "dpop-malformed",
  ],
  ["that is too long", proof({ x: "y".repeat(4096) }), {}, "dpop-malformed"],
  ["that is empty", "", {}, "dpop-malformed"],
  ["that is two proofs", `${proof()}, ${proof()}`, {}, "dpop-malformed"],
];
for (const [name, given, change, expected] of wrong) {
  test(`${expected === "proof" ? "accepts" : `refuses as ${expected}:`} a proof ${name}`, () =>
    assert.equal(answer(given, change), expected));
}

const equal: readonly (readonly [string, string])[] = [
  ["scheme and host in another case", "HTTPS://GW.Example/billing/v1/invoices/7"],
  ["the default port", "https://gw.example:443/billing/v1/invoices/7"],
  ["an empty port", "https://gw.example:/billing/v1/invoices/7"],
  ["dot segments that lead to the same path", "https://gw.example/billing/x/../v1/./invoices/7"],
  ["an escaped unreserved character", "https://gw.example/%62illing/v1/invoices/%37"],
  ["a query, which RFC 9449 §4.3 ignores", `${url}?a=b`],
  ["a fragment, which RFC 9449 §4.3 ignores", `${url}#x`],
];
for (const [name, htu] of equal) {
  test(`accepts a proof whose url differs only by ${name}`, () => assert.equal(answer(proof({ htu })), "proof"));
}

const normal: readonly (readonly [string, string | null])[] = [
  ["http://a:80", "http://a/"],
  ["http://a:443/", "http://a:443/"],
  ["https://[::1]:8443/x", "https://[::1]:8443/x"],
  ["https://a/b/..", "https://a/"],
  ["https://a/b/.", "https://a/b/"],
  ["https://a/../../b", "https://a/b"],
  ["https://a//b", "https://a//b"],
  ["https://a/%7e%2f%c3%a9", "https://a/~%2F%C3%A9"],
  ["https://a/%2e%2e/b", "https://a/b"],
  ["https://a:00443/b", "https://a/b"],
  ["https://a:65536/", null],
  ["https://a:8x/", null],
  ["https:///b", null],
  ["ftp://a/b", null],
  ["https:a/b", null],
  ["https://a\\b/", null],
  ["https://a/b\\c", null],
  ["https://a/b c", null],
  ["https://a/\u00e9", null],
  ["https://a/%4", null],
  ["https://a@b/", null],
  ["https://a%2eb/", null],
  [" https://a/", null],
];
for (const [given, expected] of normal) {
  test(`the normal form of ${JSON.stringify(given)} is ${expected ?? "none"}`, () =>
    assert.equal(normalizeHtu(given), expected));
}

test("a normal form is its own normal form, and what has none equals nothing, not even itself", () => {
  const property = fc.property(fc.webUrl({ withQueryParameters: true, withFragments: true }), (any) => {
    const once = normalizeHtu(any);
    if (once !== null) assert.equal(normalizeHtu(once), once);
  });
  fc.assert(property, { seed: 7, numRuns: 500 });
  assert.equal(isSameHtu("https://a@b/", "https://a@b/"), false);
});

test("any one bit flipped anywhere in a proof is refused", () => {
  const whole = signDpopProof(good, signer);
  for (let at = 0; at < whole.length; at++) {
    const flipped =
      whole.slice(0, at) + String.fromCharCode(whole.charCodeAt(at) ^ (1 << (at % 7))) + whole.slice(at + 1);
    assert.notEqual(answer(flipped), "proof", `character ${at}`);
  }
});

test("whatever text arrives, the answer is a proof or a refusal, never an exception", () => {
  const part = fc.json({ maxDepth: 3 }).map((text) => Buffer.from(text).toString("base64url"));
  fc.assert(
    fc.property(
      fc.oneof(
        fc.string(),
        fc.tuple(part, part, part).map((parts) => parts.join(".")),
      ),
      (text) => assert.ok(answer(text).startsWith("dpop-")),
    ),
    { seed: 8, numRuns: 1_000 },
  );
});
