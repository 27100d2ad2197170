// Message signatures and digests against the examples of the RFCs: every base is made as it is printed there, every signature holds, and no changed one does.
import assert from "node:assert/strict";
import { constants, createHmac, createPublicKey, generateKeyPairSync, hash, sign } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { canonicalQuery } from "@sallyport/protocol/canonical/path.ts";
import { printContentDigest, readContentDigest } from "@sallyport/protocol/signature/content-digest.ts";
import { type SignedMessage, signatureBase } from "@sallyport/protocol/signature/signature-base.ts";
import { readSignatureKey, type SignatureAlgorithm } from "@sallyport/protocol/signature/signature-key.ts";
import { parseDictionary } from "@sallyport/protocol/structured-fields/parse.ts";
import { importSignatureKey } from "./signature-keys.ts";
import { sha256 } from "./token-crypto.ts";

interface Vectors {
  readonly keys: Readonly<Record<string, string>>;
  readonly signatures: readonly {
    readonly name: string;
    readonly message: {
      readonly method?: string;
      readonly url?: string;
      readonly status?: number;
      readonly headers: Readonly<Record<string, string>>;
    };
    readonly label: string;
    readonly input: string;
    readonly base: string;
    readonly key: string;
    readonly signature: string;
  }[];
  readonly digests: readonly { readonly name: string; readonly content: string; readonly fields: readonly string[] }[];
}

// Our own file of exactly this shape.
const vectors = JSON.parse(
  readFileSync(join(import.meta.dirname, "../../../vectors/http-signatures.json"), "utf8"),
) as Vectors;

function messageOf({ method = "", url, status, headers }: Vectors["signatures"][number]["message"]): SignedMessage {
  const at = new URL(url ?? "https://example.com/");
  const query = at.search.slice(1);
  const read = canonicalQuery(query, 16);
  assert.ok(read.kind === "query");
  return {
    method,
    scheme: "https",
    authority: at.host,
    path: at.pathname,
    query,
    queryParameters: read.parameters,
    headers: Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, [value]])),
    ...(status === undefined ? {} : { status }),
  };
}

function inputOf(label: string, text: string) {
  const member = parseDictionary(`${label}=${text}`)?.value.get(label);
  assert.ok(member?.kind === "inner-list");
  return member;
}

const jwkOf = (spki: string): object =>
  createPublicKey({ key: Buffer.from(spki, "base64"), format: "der", type: "spki" }).export({ format: "jwk" });

for (const { name, message, label, input, base, key, signature } of vectors.signatures) {
  test(`RFC 9421 ${name}: the base is as printed, the signature holds, and over one octet more it does not`, () => {
    assert.equal(signatureBase(messageOf(message), inputOf(label, input)), base);
    const bytes = Buffer.from(signature, "base64");
    const secret = vectors.keys[key] ?? "";
    if (key === "test-shared-secret") {
      // HMAC is taken from nobody: the example only shows that the base is right.
      assert.deepEqual(createHmac("sha256", Buffer.from(secret, "base64")).update(base).digest(), bytes);
      return;
    }
    const read = readSignatureKey(jwkOf(secret), { sha256 });
    assert.ok(read !== null);
    const verifier = importSignatureKey(read);
    assert.equal(verifier?.verify(Buffer.from(base), bytes), true);
    assert.equal(verifier?.verify(Buffer.from(`${base} `), bytes), false);
    assert.equal(verifier?.verify(Buffer.from(base), bytes.subarray(1)), false);
  });
}

for (const { name, content, fields } of vectors.digests) {
  test(`${name}: each digest is that of the content`, () => {
    const reading = readContentDigest(fields);
    assert.ok(reading.kind === "digests");
    assert.equal(reading.digests.length, fields.length);
    for (const [index, { algorithm, digest }] of reading.digests.entries()) {
      assert.deepEqual(Buffer.from(digest), hash(algorithm.replace("-", ""), content, "buffer"));
      assert.equal(printContentDigest({ algorithm, digest }), fields[index]);
    }
  });
}

test("a digest of another algorithm alone, of another length, of another type or twice is no digest", () => {
  for (const field of [
    "md5=:1B2M2Y8AsgTpgAmY7PhCfg==:",
    "sha=:2jmj7l5rSw0yVb/vlWAYkK/YBwk=:",
    "sha-256=:AAAA:",
    'sha-256="47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="',
    "sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:, sha-256=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=:",
    "",
    "sha-256",
  ])
    assert.equal(readContentDigest([field]).kind, "malformed", field);
  // One nobody believes beside one that everybody does is passed over.
  const beside = readContentDigest(["md5=:1B2M2Y8AsgTpgAmY7PhCfg==:", vectors.digests[3]?.fields[0] ?? ""]);
  assert.equal(beside.kind === "digests" && beside.digests.length, 1);
});

test("keys: private, symmetric, short, of another use, curve or algorithm are none; each kind knows its algorithm", () => {
  const of = (jwk: object): SignatureAlgorithm | undefined => readSignatureKey(jwk, { sha256 })?.alg;
  const rsa = generateKeyPairSync("rsa", { modulusLength: 2048 });
  const publicRsa = rsa.publicKey.export({ format: "jwk" });
  assert.equal(of(publicRsa), "rsa-pss-sha512");
  assert.equal(of({ ...publicRsa, alg: "PS512", use: "sig" }), "rsa-pss-sha512");
  const p256 = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const publicEc = p256.publicKey.export({ format: "jwk" });
  assert.equal(of({ ...publicEc, kid: "a key" }), undefined, "a name with a space");
  assert.equal(readSignatureKey({ ...publicEc, kid: "key-1" }, { sha256 })?.keyid, "key-1");
  for (const bad of [
    rsa.privateKey.export({ format: "jwk" }),
    { ...publicRsa, alg: "RS256" },
    { ...publicRsa, alg: "PS256" },
    { ...publicRsa, use: "enc" },
    generateKeyPairSync("rsa", { modulusLength: 1024 }).publicKey.export({ format: "jwk" }),
    p256.privateKey.export({ format: "jwk" }),
    generateKeyPairSync("ec", { namedCurve: "P-384" }).publicKey.export({ format: "jwk" }),
    { ...publicEc, alg: "EdDSA" },
    { kty: "oct", k: "c2VjcmV0" },
    generateKeyPairSync("x25519").publicKey.export({ format: "jwk" }),
  ])
    assert.equal(of(bad), undefined, JSON.stringify(bad).slice(0, 60));
});

test("attack: an RSA signature with a salt of another length, or of PKCS #1, is none", () => {
  const { publicKey, privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  const read = readSignatureKey(publicKey.export({ format: "jwk" }), { sha256 });
  assert.ok(read !== null);
  const verifier = importSignatureKey(read);
  const data = Buffer.from("signed");
  const by = (options: object) => sign("sha512", data, { key: privateKey, ...options });
  const pss = { padding: constants.RSA_PKCS1_PSS_PADDING };
  assert.equal(verifier?.verify(data, by({ ...pss, saltLength: 64 })), true);
  assert.equal(verifier?.verify(data, by({ ...pss, saltLength: 0 })), false);
  assert.equal(verifier?.verify(data, by({ padding: constants.RSA_PKCS1_PADDING })), false);
});
