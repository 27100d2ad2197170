import assert from "node:assert/strict";
import { argon2Sync, randomBytes } from "node:crypto";
import { test } from "node:test";
import { createPasswords, parsePasswordHash, passwordBytesMax, printPasswordHash, weaknessOf } from "./password.ts";

const random = { bytes: (length: number) => new Uint8Array(randomBytes(length)) };
/** The smallest Argon2 takes: what is tested here is not its cost. */
const parameters = { memory: 8, passes: 1, parallelism: 1 };
const passwords = createPasswords({ random, parameters });

test("the Argon2id of the platform gives the tag of RFC 9106 §5.3", () => {
  const fill = (byte: number, length: number) => Buffer.alloc(length, byte);
  const tag = argon2Sync("argon2id", {
    message: fill(1, 32),
    nonce: fill(2, 16),
    secret: fill(3, 8),
    associatedData: fill(4, 12),
    memory: 32,
    passes: 3,
    parallelism: 4,
    tagLength: 32,
  });
  assert.equal(tag.toString("hex"), "0d640df58d78766c08c037a34a8b53c9d01ef0452d75b65eb52520e96b01e659");
});

test("a stored password is Argon2id with its parameters, and only that password matches it", async () => {
  const stored = await passwords.hash("correct horse battery", "a");
  assert.ok(stored);
  assert.match(stored, /^\$argon2id\$v=19\$m=8,t=1,p=1\$/);
  assert.deepEqual(await passwords.verify("correct horse battery", stored, "a"), { kind: "match", rehash: null });
  assert.deepEqual(await passwords.verify("correct horse batterz", stored, "a"), { kind: "no-match" });
  assert.notEqual(await passwords.hash("correct horse battery", "a"), stored, "each has a salt of its own");
});

test("a password typed in another Unicode form is the same password", async () => {
  const stored = await passwords.hash("caf\u00e9 au lait chaud", "a");
  assert.equal((await passwords.verify("cafe\u0301 au lait chaud", stored, "a")).kind, "match");
});

test("a hash of older parameters is replaced at the next log-in, by one of the same password", async () => {
  const stored = await passwords.hash("correct horse battery", "a");
  const today = createPasswords({ random, parameters: { ...parameters, passes: 2 } });
  const verdict = await today.verify("correct horse battery", stored, "a");
  assert.ok(verdict.kind === "match" && verdict.rehash !== null);
  assert.match(verdict.rehash, /m=8,t=2,p=1/);
  assert.deepEqual(await today.verify("correct horse battery", verdict.rehash, "a"), { kind: "match", rehash: null });
  assert.equal((await today.verify("another horse battery", stored, "a")).kind, "no-match");
});

test("enumeration by time: an account that does not exist costs the same derivation as one that does", async () => {
  const costly = createPasswords({ random, parameters: { memory: 8_192, passes: 4, parallelism: 1 } });
  const stored = await costly.hash("correct horse battery", "a");
  const cost = async (against: string | null) => {
    const before = process.cpuUsage();
    await costly.verify("wrong horse battery!", against, "a");
    const { user, system } = process.cpuUsage(before);
    return user + system;
  };
  let [known, unknown] = [Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY];
  // In turns, and the least of each: what other threads of this process use at the time only adds to it.
  for (let run = 0; run < 7; run += 1) {
    known = Math.min(known, await cost(stored));
    unknown = Math.min(unknown, await cost(null));
  }
  // Without the derivation it would be less than a hundredth.
  assert.ok(unknown > known / 3 && known > unknown / 3, `${known} µs beside ${unknown} µs of processor time`);
  assert.equal((await costly.verify("anything at all", null, "a")).kind, "no-match");
});

test("a row that asks for more work than we would ever write is not computed", async () => {
  const good = printPasswordHash({ parameters, salt: new Uint8Array(16), tag: new Uint8Array(32) });
  assert.ok(parsePasswordHash(good));
  for (const bad of ["m=999999,t=1,p=1", "m=8,t=99,p=1", "m=8,t=1,p=9", "m=08,t=1,p=1", "m=8,t=1,p=2"])
    assert.equal(parsePasswordHash(good.replace("m=8,t=1,p=1", bad)), null, bad);
  for (const bad of [good.replace("argon2id", "argon2i"), `${good}=`, good.replace("v=19", "v=16"), `${good}\n`, ""])
    assert.equal(parsePasswordHash(bad), null, bad);
  assert.equal((await passwords.verify("anything", good.replace("t=1", "t=99"), "a")).kind, "no-match");
});

test("one network cannot take the places of all: its ninth log-in is turned away while others are served", async () => {
  const crowded = createPasswords({ random, parameters: { memory: 1_024, passes: 4, parallelism: 1 }, concurrent: 1 });
  const flood = Array.from({ length: 20 }, () => crowded.verify("flood flood flood", null, "203.0.113"));
  const other = crowded.verify("somebody else here", null, "198.51.100");
  const verdicts = (await Promise.all(flood)).map(({ kind }) => kind);
  assert.equal(verdicts.filter((kind) => kind === "busy").length, 12);
  assert.equal((await other).kind, "no-match");
  assert.equal((await crowded.verify("flood flood flood", null, "203.0.113")).kind, "no-match", "places come back");
});

test("the queue is bounded: beyond it everybody is told to come back, and nothing is computed", async () => {
  const small = createPasswords({ random, parameters, concurrent: 1, waitingMax: 2 });
  const kinds = await Promise.all(
    ["a", "b", "c", "d"].map(async (source) => (await small.verify("whatever it is", null, source)).kind),
  );
  assert.deepEqual(kinds, ["no-match", "no-match", "no-match", "busy"]);
});

test("a weak password is refused with a sentence, one that fits is not", () => {
  assert.equal(weaknessOf("correct horse battery", "anna"), null);
  assert.match(weaknessOf("short", "anna") ?? "", /at least 12/);
  assert.match(weaknessOf("aaaaaaaaaaaabbb", "anna") ?? "", /different/);
  assert.match(weaknessOf("anna-anna-1234!", "anna") ?? "", /name/);
  assert.match(weaknessOf(`${"abcdefgh".repeat(200)}`, "anna") ?? "", new RegExp(String(passwordBytesMax)));
  assert.notEqual(weaknessOf("nul\0 in a password", "anna"), null);
});
