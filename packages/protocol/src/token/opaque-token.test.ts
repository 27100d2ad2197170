import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { test } from "node:test";
import fc from "fast-check";
import { printHandle } from "./handle.ts";
import { isOpaqueToken, opaqueLengthMax, opaqueLengthMin } from "./opaque-token.ts";

test("random texts of RFC 6750's alphabet are opaque tokens, whatever they begin with", () => {
  for (const token of [
    "2YotnFZFEjr1zCsicMWpAA",
    "ya29.a0AfH6SMBx-1234567890",
    "eyJub3QtYS1qd3QtYmVjYXVzZS1ubyI6MX0",
    "v1.public.2YotnFZFEjr1zCsicMWpAA",
    "a".repeat(opaqueLengthMin),
    "a".repeat(opaqueLengthMax),
    "2YotnFZFEjr1zCsicMWpAA==",
  ])
    assert.equal(isOpaqueToken(token), true, token);
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 12, maxLength: 64 }), (bytes) =>
      isOpaqueToken(Buffer.from(bytes).toString("base64url")),
    ),
    { seed: 7, numRuns: 300 },
  );
});

test("attack: nothing of ours and nothing that says itself whose it is passes for one, also with a byte changed, added or cut off", () => {
  const header = Buffer.from('{"alg":"ES256","typ":"at+jwt","kid":"k"}').toString("base64url");
  const spaced = Buffer.from(' \n{"alg":"ES256"}').toString("base64url");
  const jwt = `${header}.${Buffer.from("{}").toString("base64url")}.c2lnbmF0dXJlIG9mIGl0`;
  for (const text of [
    jwt,
    `${jwt}=`,
    `${header}.x.y.z.w`,
    `${header}.claims-alone`,
    `${header}!.x.y`,
    `${header}A.x.y`,
    `${header.slice(0, 9)}.cut.off`,
    `${spaced}.x.yyyyyyyyyyyyyyyy`,
    printHandle(randomBytes(32)),
    "spk1_AAAAAAAAAAAAAAAAAAAAAAAA",
    "sps1_AAAAAAAAAAAAAAAAAAAAAAAA",
    "spe1_AAAAAAAAAAAAAAAAAAAAAAAA",
    "spz12_AAAAAAAAAAAAAAAAAAAAAAA",
    "a".repeat(opaqueLengthMin - 1),
    "a".repeat(opaqueLengthMax + 1),
    "with a space in the middle",
    "Zeilenumbruch\nZeilenumbruch",
  ])
    assert.equal(isOpaqueToken(text), false, text);
  fc.assert(
    fc.property(fc.nat(jwt.length - 1), fc.constantFrom(..."AZaz09-_"), (at, letter) => {
      // The first byte says it: a JSON object.
      const changed = at < 2 ? jwt : jwt.slice(0, at) + letter + jwt.slice(at + 1);
      return !isOpaqueToken(changed);
    }),
    { seed: 7, numRuns: 300 },
  );
});
