import assert from "node:assert/strict";
import { createHash, createPrivateKey, generateKeyPairSync, randomBytes } from "node:crypto";
import { test } from "node:test";
import { CompactEncrypt, compactDecrypt, importJWK } from "jose";
import {
  decryptToken,
  encryptToken,
  looksNested,
  makeEncryptionKey,
  nestedTokenLengthMax,
  readNestedToken,
} from "./nested-token.ts";

const random = { bytes: (length: number) => new Uint8Array(randomBytes(length)) };
const key = makeEncryptionKey();
const token = `${"a".repeat(40)}.${"b".repeat(400)}.${"c".repeat(86)}`;
const open = (text: string, by = key) => {
  const read = readNestedToken(text);
  return typeof read === "string" ? read : decryptToken(read, by.privateKey);
};
const encode = (value: unknown) => Buffer.from(JSON.stringify(value)).toString("base64url");
/** The same text under another protected header. */
const reheaded = (change: Readonly<Record<string, unknown>>) => {
  const [head = "", ...rest] = encryptToken(token, key, random).split(".");
  const header = { ...JSON.parse(Buffer.from(head, "base64url").toString()), ...change };
  return [encode(header), ...rest].join(".");
};

test("what we encrypt jose decrypts, and what jose encrypts in our form we decrypt", async () => {
  const secret = createPrivateKey({ key: Buffer.from(key.privateKey), format: "der", type: "pkcs8" });
  const ours = await compactDecrypt(encryptToken(token, key, random), secret);
  assert.equal(Buffer.from(ours.plaintext).toString(), token);
  assert.deepEqual(
    [ours.protectedHeader.alg, ours.protectedHeader.enc, ours.protectedHeader.kid],
    ["ECDH-ES", "A256GCM", key.kid],
  );
  const theirs = await new CompactEncrypt(Buffer.from(token))
    .setProtectedHeader({ alg: "ECDH-ES", enc: "A256GCM", cty: "JWT", kid: key.kid })
    .encrypt(await importJWK({ ...key.jwk }, "ECDH-ES"));
  assert.equal(open(theirs), token);
});

test("the key is named by its RFC 7638 thumbprint, and two encryptions of one token have nothing in common", () => {
  const { crv, kty, x, y } = key.jwk;
  assert.equal(createHash("sha256").update(JSON.stringify({ crv, kty, x, y })).digest("base64url"), key.kid);
  const [one, two] = [encryptToken(token, key, random), encryptToken(token, key, random)].map((text) =>
    text.split("."),
  );
  for (const part of [0, 2, 3, 4]) assert.notEqual(one?.[part], two?.[part]);
});

test("attack: another key, and every part changed by one bit, opens nothing", () => {
  const text = encryptToken(token, key, random);
  assert.equal(open(text, makeEncryptionKey()), null);
  const parts = text.split(".");
  for (const index of [2, 3, 4]) {
    const bytes = Buffer.from(parts[index] ?? "", "base64url");
    for (const at of [0, bytes.length - 1]) {
      const changed = Buffer.from(bytes);
      changed[at] = (changed[at] ?? 0) ^ 1;
      assert.equal(open(parts.with(index, changed.toString("base64url")).join(".")), null);
    }
  }
  assert.equal(open(reheaded({ kid: makeEncryptionKey().kid })), null, "the header is authenticated");
  assert.equal(open(reheaded({ epk: makeEncryptionKey().jwk })), null);
});

test("attack: alg and enc confusion: every other pair is refused before a key is used", () => {
  for (const alg of [
    "dir",
    "ECDH-ES+A256KW",
    "ECDH-1PU",
    "RSA1_5",
    "RSA-OAEP",
    "A256KW",
    "PBES2-HS256+A128KW",
    "none",
    "ecdh-es",
    "ECDH-ES ",
    undefined,
    null,
    ["ECDH-ES"],
  ])
    assert.equal(open(reheaded({ alg })), "token-algorithm", String(alg));
  for (const enc of ["A128GCM", "A256CBC-HS512", "A128CBC-HS256", "a256gcm", undefined])
    assert.equal(open(reheaded({ enc })), "token-algorithm", String(enc));
});

test("attack: a compressed bomb, password rounds, party info, keys and URLs in the header, critical members: no member beyond ours is read", () => {
  for (const more of [
    { zip: "DEF" },
    { p2s: "AAAA", p2c: 2_000_000_000 },
    { apu: "QWxpY2U" },
    { apv: "Qm9i" },
    { apu: "", apv: "" },
    { jwk: key.jwk },
    { jku: "https://evil.example/keys" },
    { x5u: "https://evil.example/x5u" },
    { x5c: [] },
    { crit: ["exp"] },
    { iv: "AAAA", tag: "AAAA" },
    { typ: "JWT" },
    { cty: "jwt" },
    { cty: undefined },
    { kid: undefined },
    { kid: `${key.kid}=` },
    { kid: "../../etc/passwd" },
  ])
    assert.equal(open(reheaded(more)), "token-malformed", JSON.stringify(more));
});

test("attack: invalid curve points, other curves and private halves as the ephemeral key", () => {
  const zero = "A".repeat(43);
  const other = generateKeyPairSync("ec", { namedCurve: "P-384" }).publicKey.export({ format: "jwk" });
  const x25519 = generateKeyPairSync("x25519").publicKey.export({ format: "jwk" });
  const { x, y } = key.jwk;
  for (const epk of [
    { ...key.jwk, y: x },
    { ...key.jwk, x: zero, y: zero },
    { ...key.jwk, x: zero },
    { ...key.jwk, x: `${"_".repeat(42)}8`, y },
    { ...key.jwk, x: `${x}A` },
    { ...key.jwk, x: x.slice(1) },
    { ...key.jwk, d: zero },
    { ...key.jwk, crv: "P-384" },
    { ...key.jwk, crv: "secp256k1" },
    { ...key.jwk, x: [x] },
    other,
    x25519,
    null,
    "epk",
    [],
  ])
    assert.equal(open(reheaded({ epk })), "token-malformed", JSON.stringify(epk));
});

test("attack: sizes, parts and spellings: nothing long is decoded, nothing has two readings", () => {
  const text = encryptToken(token, key, random);
  const [head = "", , iv = "", body = "", tag = ""] = text.split(".");
  for (const bad of [
    encryptToken("x".repeat(nestedTokenLengthMax), key, random),
    [head, "AAAA", iv, body, tag].join("."),
    [head, "", iv, "", tag].join("."),
    [head, "", iv.slice(2), body, tag].join("."),
    [head, "", `${iv}AA`, body, tag].join("."),
    [head, "", iv, body, tag.slice(0, 8)].join("."),
    [head, "", iv, body, `${tag}=`].join("."),
    [`${head}=`, "", iv, body, tag].join("."),
    [head, "", iv, body].join("."),
    `${text}.`,
    "....",
    "",
  ])
    assert.equal(open(bad), "token-malformed", bad.slice(0, 40));
  const doubled = Buffer.from(Buffer.from(head, "base64url").toString().replace("{", '{"alg":"dir",')).toString(
    "base64url",
  );
  assert.equal(open([doubled, "", iv, body, tag].join(".")), "token-malformed", "a member twice");
  assert.equal(looksNested(text), true);
  for (const other of [token, "spt1_x", `${text}.x`, "a.b.c.d"]) assert.equal(looksNested(other), false);
});
