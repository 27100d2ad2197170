import assert from "node:assert/strict";
import { test } from "node:test";
import { format, inspect } from "node:util";
import { Secret } from "./secret.ts";

const canary = "hunter2-canary";

test("a secret shows [secret] in text, templates, JSON, inspect, errors and console formats", () => {
  const secret = Secret.fromText(canary);
  const faces = [
    String(secret),
    `${secret}`,
    ["a", secret].join(""),
    JSON.stringify({ password: secret }),
    inspect(secret),
    inspect({ deep: { secret } }, { depth: 9, showHidden: true }),
    format("%s %o %O %j", secret, secret, secret, secret),
    String(new Error(`failed with ${secret}`).stack),
  ];
  for (const face of faces) {
    assert.ok(face.includes("[secret]"), face);
    assert.ok(!face.includes(canary) && !face.includes(Buffer.from(canary).toString("base64").slice(0, 12)), face);
  }
  assert.deepEqual(Object.entries(secret), []);
  assert.deepEqual(structuredClone(secret), {}, "a message to a worker carries nothing");
});

test("use lends the bytes and reveal gives the text; after wipe both are refused and the lent bytes are zero", () => {
  const source = new TextEncoder().encode(canary);
  const secret = Secret.fromBytes(source);
  source.fill(0);
  assert.equal(secret.reveal(), canary);
  const lent = secret.use((bytes) => bytes);
  secret.wipe();
  assert.ok(lent.every((byte) => byte === 0));
  assert.throws(() => secret.use(() => 0), { code: "secret-wiped" });
  assert.throws(() => secret.reveal(), { code: "secret-wiped" });
  assert.equal(String(secret), "[secret]");
});
