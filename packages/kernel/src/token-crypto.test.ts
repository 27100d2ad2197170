import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import type { VerifyKey } from "@sallyport/protocol/token/crypto.ts";
import { type PublicJwk, parsePublicJwk } from "@sallyport/protocol/token/jwk.ts";
import { checkSignature, parseCompactJws } from "@sallyport/protocol/token/jws.ts";
import { createTokenCrypto, generateSigner, importedKeysMax, signerFromJwk, signerFromPem } from "./token-crypto.ts";

const vectors = process.env.SALLYPORT_VECTORS ?? join(import.meta.dirname, "../../../../shared/vectors");
const skip = existsSync(join(vectors, "wycheproof"))
  ? false
  : `no vectors at ${vectors}/wycheproof (set SALLYPORT_VECTORS)`;

interface Vector {
  readonly tcId: number;
  readonly comment: string;
  readonly result: "valid" | "invalid" | "acceptable";
  readonly msg: string;
  readonly sig: string;
  readonly jws: unknown;
}

interface Group {
  readonly comment?: string;
  readonly public?: Readonly<Record<string, unknown>>;
  readonly private: Readonly<Record<string, unknown>>;
  readonly publicKey: { readonly wx: string; readonly wy: string; readonly pk: string };
  readonly tests: readonly Vector[];
}

function groupsOf(file: string): readonly Group[] {
  // The vectors' own schema is the type; a mismatch shows as a failing count below.
  return (JSON.parse(readFileSync(join(vectors, "wycheproof", file), "utf8")) as { testGroups: Group[] }).testGroups;
}

const crypto = createTokenCrypto();

function keyOf(jwk: unknown): VerifyKey | null {
  const known = parsePublicJwk(jwk);
  return known === null ? null : crypto.importKey(known);
}

/** Big-endian hex of a coordinate as base64url of 32 bytes. */
function coordinate(hex: string): string {
  return Buffer.from(hex.replace(/^0+/, "").padStart(64, "0"), "hex").toString("base64url");
}

const symmetric = "a verifier that can also forge has no place between organisations";
const rsa = "signing is 4 to 20 times dearer than ES256; one family of keys keeps confusion out";
/** The only exceptions: valid vectors of these algorithms are refused, each for its reason. No valid ES256 vector is refused. */
const notSpoken: ReadonlyMap<string, string> = new Map([
  ["HS256", symmetric],
  ["RS256", rsa],
  ["RS384", rsa],
  ["RS512", rsa],
  ["PS256", rsa],
  ["PS384", rsa],
  ["PS512", rsa],
  ["ES521", "not a registered algorithm name (RFC 7518 says ES512), and P-521 is not spoken here"],
]);

test("every Wycheproof JWS vector: what is forged, malformed or of an algorithm we do not have is refused", {
  skip,
}, () => {
  let seen = 0;
  let verified = 0;
  for (const group of groupsOf("json_web_signature_test.json")) {
    const jwk = { ...(group.public ?? group.private) };
    const supported = jwk.alg === "ES256";
    // A key file may carry its kid and use; private groups exist only for HMAC, which must not even import.
    const key = keyOf(jwk);
    if (!supported) assert.equal(key, null, `a key of ${String(group.comment)} must not import`);
    for (const vector of group.tests) {
      seen++;
      const name = `tcId ${vector.tcId} (${vector.comment})`;
      if (typeof vector.jws !== "string") {
        assert.equal(vector.result, "invalid", `${name}: only compact serialisation exists here`);
        continue;
      }
      const jws = parseCompactJws(vector.jws, { bytesMax: 8192, keyMember: "kid" });
      const accepted = key !== null && jws.kind === "jws" && checkSignature(jws, key) === null;
      const expected = vector.result === "valid" && !notSpoken.has(String(jwk.alg));
      assert.equal(accepted, expected, `${name}: ${vector.result}`);
      if (accepted) verified++;
    }
  }
  assert.equal(seen, 401);
  assert.equal(verified, 2, "the suite holds two valid ES256 tokens; without them this test would prove nothing");
});

test("a base64url JWS text that Wycheproof calls invalid is refused by the parser alone, whatever the key", {
  skip,
}, () => {
  let refused = 0;
  for (const group of groupsOf("json_web_signature_test.json").filter((one) => one.comment === "base64")) {
    for (const vector of group.tests) {
      if (vector.result === "valid" || typeof vector.jws !== "string") continue;
      const jws = parseCompactJws(vector.jws, { bytesMax: 8192, keyMember: "kid" });
      if (jws.kind === "malformed") refused++;
      else assert.equal(checkSignature(jws, { alg: "ES256", verify: () => true }), "algorithm", `tcId ${vector.tcId}`);
    }
  }
  assert.ok(refused >= 10, `only ${refused} refused`);
});

test("every Wycheproof ECDSA P-256 vector (IEEE P1363) is judged as the suite says", { skip }, () => {
  let seen = 0;
  for (const group of groupsOf("ecdsa_secp256r1_sha256_p1363_test.json")) {
    const jwk: PublicJwk = {
      kty: "EC",
      crv: "P-256",
      x: coordinate(group.publicKey.wx),
      y: coordinate(group.publicKey.wy),
    };
    const key = crypto.importKey(jwk);
    assert.ok(key);
    for (const vector of group.tests) {
      seen++;
      const accepted = key.verify(Buffer.from(vector.msg, "hex"), Buffer.from(vector.sig, "hex"));
      assert.equal(accepted, vector.result === "valid", `tcId ${vector.tcId} (${vector.comment})`);
    }
  }
  assert.equal(seen, 262);
});

test("every Wycheproof Ed25519 vector is judged as the suite says", { skip }, () => {
  let seen = 0;
  for (const group of groupsOf("ed25519_test.json")) {
    const x = Buffer.from(group.publicKey.pk, "hex").toString("base64url");
    const key = crypto.importKey({ kty: "OKP", crv: "Ed25519", x });
    assert.ok(key);
    for (const vector of group.tests) {
      seen++;
      const accepted = key.verify(Buffer.from(vector.msg, "hex"), Buffer.from(vector.sig, "hex"));
      assert.equal(accepted, vector.result === "valid", `tcId ${vector.tcId} (${vector.comment})`);
    }
  }
  assert.equal(seen, 151);
});

test("the thumbprint of a key is that of RFC 8037 appendix A.3", () => {
  const key = crypto.importKey({ kty: "OKP", crv: "Ed25519", x: "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo" });
  assert.equal(key?.kid, "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
});

test("a point that is not on the curve is no key", () => {
  const { jwk } = generateSigner("ES256").signer;
  assert.ok(jwk.kty === "EC");
  const bytes = Buffer.from(jwk.y, "base64url");
  bytes[31] = (bytes[31] ?? 0) ^ 1;
  assert.equal(crypto.importKey({ ...jwk, y: bytes.toString("base64url") }), null);
});

test("the key cache keeps at most its bound and still verifies with a key that was pushed out", () => {
  const bounded = createTokenCrypto();
  const { signer } = generateSigner("EdDSA");
  const first = bounded.importKey(signer.jwk);
  assert.equal(bounded.importKey(signer.jwk), first, "a known key comes from the cache");
  for (let i = 0; i < importedKeysMax; i++) {
    const bytes = new Uint8Array(32);
    new DataView(bytes.buffer).setUint32(0, i + 1);
    bounded.importKey({ kty: "OKP", crv: "Ed25519", x: Buffer.from(bytes).toString("base64url") });
  }
  const again = bounded.importKey(signer.jwk);
  assert.notEqual(again, first, "the oldest key has left");
  const data = new Uint8Array([1, 2, 3]);
  assert.equal(again?.verify(data, signer.sign(data)), true);
});

for (const alg of ["ES256", "EdDSA"] as const) {
  test(`an ${alg} signer made from its PEM signs what its public key verifies, and only that`, () => {
    const { pem, signer } = generateSigner(alg);
    const again = signerFromPem(pem);
    assert.equal(again.kid, signer.kid);
    const key = crypto.importKey(again.jwk);
    const data = new TextEncoder().encode("sallyport");
    const signature = again.sign(data);
    assert.equal(signature.length, 64);
    assert.equal(key?.verify(data, signature), true);
    assert.equal(key?.verify(new TextEncoder().encode("sallypors"), signature), false);
    assert.equal(key?.verify(data, signature.slice(0, 63)), false);
  });
}

test("a key of another kind is refused as a signer, without showing it", () => {
  const oct = { kty: "oct", k: "c2VjcmV0LWtleS1ieXRlcw" };
  assert.throws(
    () => signerFromJwk(oct),
    (error: Error) => !error.message.includes(oct.k),
  );
});

test("attack: the mirrored point, which has the same x, is another key", () => {
  const crypto = createTokenCrypto();
  const { signer } = generateSigner("ES256");
  const { jwk } = signer;
  assert.ok(jwk.kty === "EC");
  const field = 2n ** 256n - 2n ** 224n + 2n ** 192n + 2n ** 96n - 1n;
  const y = BigInt(`0x${Buffer.from(jwk.y, "base64url").toString("hex")}`);
  const mirrored = Buffer.from((field - y).toString(16).padStart(64, "0"), "hex").toString("base64url");
  const data = Buffer.from("signed");
  const signature = signer.sign(data);
  const own = crypto.importKey(jwk);
  const other = crypto.importKey({ ...jwk, y: mirrored });
  assert.ok(own !== null && other !== null);
  assert.notEqual(own.kid, other.kid);
  assert.deepEqual([own.verify(data, signature), other.verify(data, signature)], [true, false]);
  assert.equal(crypto.importKey({ ...jwk }), own, "imported once");
});
