import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { test } from "node:test";
import { readCurl } from "./callers.ts";
import { claimsOf, withoutAlgorithm, withPublicKeyAsSecret } from "./forger.ts";

const part = (value: object) => Buffer.from(JSON.stringify(value)).toString("base64url");
const token = `${part({ alg: "ES256", typ: "at+jwt", kid: "k" })}.${part({ sub: "orders" })}.c2ln`;

test("curl's output is read: status, headers in lower case, id, code and body", () => {
  const text =
    'HTTP/1.1 403 Forbidden\r\nContent-Type: application/problem+json\r\nSallyport-Crossing: gw-1\r\n\r\n{"code":"not-granted"}';
  const reply = readCurl(text, 3);
  assert.deepEqual([reply.status, reply.id, reply.code, reply.latencyMs], [403, "gw-1", "not-granted", 3]);
  assert.equal(reply.headers["content-type"], "application/problem+json");
});

test("an interim answer before the real one is skipped", () => {
  assert.equal(readCurl("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Created\r\nx: y\r\n\r\nok", 1).status, 201);
});

test("a forged alg none keeps the claims and everything else of the header", () => {
  const [header = "", payload, signature] = withoutAlgorithm(token).split(".");
  assert.deepEqual(JSON.parse(Buffer.from(header, "base64url").toString()), { alg: "none", typ: "at+jwt", kid: "k" });
  assert.deepEqual([payload, signature], [token.split(".")[1], ""]);
});

test("a forged HS256 is a correct HMAC under the public key: only the algorithm is wrong", () => {
  const forged = withPublicKeyAsSecret(token, "-----BEGIN PUBLIC KEY-----");
  const cut = forged.lastIndexOf(".");
  const expected = createHmac("sha256", "-----BEGIN PUBLIC KEY-----").update(forged.slice(0, cut)).digest("base64url");
  assert.equal(forged.slice(cut + 1), expected);
  assert.deepEqual(claimsOf(forged), { sub: "orders" });
});
