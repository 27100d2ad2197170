import assert from "node:assert/strict";
import { createPrivateKey, createPublicKey, generateKeyPairSync, sign } from "node:crypto";
import { test } from "node:test";
import { inspect } from "node:util";
import { checkSignature, parseCompactJws } from "@sallyport/protocol/token/jws.ts";
import { SallyportFault } from "./fault.ts";
import { generateClientKey, nodeCrypto } from "./node-crypto.ts";
import { type KeySource, signedJws, signerFrom, type WebKeyPair } from "./signer.ts";

async function signs(source: KeySource): Promise<string> {
  const signer = await signerFrom(source);
  const text = await signedJws({ alg: signer.alg, typ: "JWT", kid: signer.kid }, { sub: "orders" }, signer);
  const jws = parseCompactJws(text, { bytesMax: 4096, keyMember: "kid" });
  const key = nodeCrypto.importKey(signer.jwk);
  assert.ok(jws.kind === "jws" && key !== null);
  assert.equal(checkSignature(jws, key), null);
  assert.equal(signer.kid, key.kid);
  return signer.alg;
}

for (const alg of ["ES256", "EdDSA"] as const) {
  const { pem, signer } = generateClientKey(alg);
  const key = createPrivateKey(pem);
  const parameters = alg === "ES256" ? { name: "ECDSA", namedCurve: "P-256" } : { name: "Ed25519" };
  const pair = (extractable: boolean) =>
    // Both algorithms make pairs; the types know only that they make keys.
    crypto.subtle.generateKey(parameters, extractable, ["sign", "verify"]) as Promise<WebKeyPair>;

  test(`${alg}: PEM, JWK, KeyObject and a ready signer all sign what protocol verifies`, async () => {
    // A private key exports all its members.
    const jwk = key.export({ format: "jwk" }) as KeySource;
    for (const source of [pem, jwk, key, signer]) assert.equal(await signs(source), alg);
  });

  test(`${alg}: an extractable CryptoKey signs alone, one that is locked in with its public half`, async () => {
    assert.equal(await signs((await pair(true)).privateKey), alg);
    assert.equal(await signs(await pair(false)), alg);
    await assert.rejects(signerFrom((await pair(false)).privateKey), /pass the pair/);
  });

  test(`${alg}: a key in a KMS signs through a call that answers later`, async () => {
    const jwk = createPublicKey(key).export({ format: "jwk" });
    const remote = async (data: Uint8Array) =>
      sign(alg === "ES256" ? "sha256" : null, data, alg === "ES256" ? { key, dsaEncoding: "ieee-p1363" } : key);
    assert.equal(await signs({ jwk, sign: remote }), alg);
  });
}

test("a KMS that answers ES256 in DER is understood, with short and with padded integers", async () => {
  const { pem, signer } = generateClientKey();
  // Fifty signatures hold integers with and without a leading zero; now and then a shorter one.
  for (let i = 0; i < 50; i++)
    assert.equal(await signs({ jwk: signer.jwk, sign: (data) => sign("sha256", data, pem) }), "ES256");
});

test("a signature of another key, or one that is none, is a fault that shows neither", async () => {
  const other = generateClientKey();
  const { jwk } = generateClientKey().signer;
  const bad = [
    other.signer.sign,
    () => new Uint8Array(64),
    () => new Uint8Array([0x30, 0x02, 0x02, 0x40]),
    () => new Uint8Array(0),
  ];
  for (const signing of bad) {
    const signer = await signerFrom({ jwk, sign: signing });
    await assert.rejects(
      signedJws({ alg: "ES256" }, {}, signer),
      (error: SallyportFault) => error instanceof SallyportFault && error.code === "key-unusable" && error.fix !== "",
    );
  }
});

test("public keys, RSA and a private JWK beside a sign call are no client keys", async () => {
  const { pem, signer } = generateClientKey();
  const rsa = generateKeyPairSync("rsa", { modulusLength: 2048 }).privateKey;
  await assert.rejects(signerFrom(createPublicKey(pem)), TypeError);
  await assert.rejects(signerFrom(rsa), TypeError);
  const jwk = createPrivateKey(pem).export({ format: "jwk" });
  await assert.rejects(signerFrom({ jwk, sign: signer.sign }), TypeError);
});

test("printing a signer shows no private key", async () => {
  const { pem } = generateClientKey();
  const { d } = createPrivateKey(pem).export({ format: "jwk" });
  const printed = inspect(await signerFrom(pem), { depth: 9, showHidden: true });
  assert.ok(!printed.includes(String(d)));
});
