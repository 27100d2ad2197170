import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import fc from "fast-check";
import { makeUserCode, parseUserCode, showUserCode, userCodeDigest } from "./user-code.ts";

/** Bytes that follow from a seed. */
function seeded(seed: string) {
  let count = 0;
  return {
    bytes: (length: number) => {
      count += 1;
      return new Uint8Array(createHash("sha512").update(`${seed}/${count}`).digest().subarray(0, length));
    },
  };
}

test("user codes are drawn evenly from twenty consonants", () => {
  const random = seeded("even");
  const counts = new Map<string, number>();
  for (let n = 0; n < 5_000; n += 1)
    for (const letter of makeUserCode(random)) counts.set(letter, (counts.get(letter) ?? 0) + 1);
  assert.deepEqual([...counts.keys()].sort().join(""), "BCDFGHJKLMNPQRSTVWXZ");
  // 40,000 letters: 2,000 each, give or take six standard deviations (44).
  for (const [letter, count] of counts) assert.ok(Math.abs(count - 2_000) < 264, `${letter} ${count}`);
});

test("what is shown is read back, with small letters, spaces and hyphens anywhere", () => {
  fc.assert(
    fc.property(
      fc.string({ minLength: 1, maxLength: 8 }),
      fc.array(fc.constantFrom("", " ", "-"), { minLength: 8, maxLength: 8 }),
      (seed, gaps) => {
        const code = makeUserCode(seeded(seed));
        assert.equal(parseUserCode(showUserCode(code)), code);
        const typed = [...code.toLowerCase()].map((letter, index) => `${gaps[index]}${letter}`).join("");
        assert.equal(parseUserCode(typed), code);
      },
    ),
  );
});

test("attack: letters that only look like ours, or become ours when capitals are made of them, are no code", () => {
  for (const typed of [
    "WDJB-MJH",
    "WDJB-MJHTT",
    "WDJB-MJHA",
    "WDJB-MJH0",
    "ſDJBMJHT",
    "WDJBMJHТ",
    "ＷDJBMJHT",
    "WDJB_MJHT",
    "WDJB\nMJHT",
    "WDJB​MJHT",
    `WDJBMJHT${" ".repeat(32)}`,
    "",
  ])
    assert.equal(parseUserCode(typed), null, JSON.stringify(typed));
});

test("a user code is kept as a digest that neither another issuer's nor another installation's table would hold", () => {
  const [one, other] = [new Uint8Array(32).fill(1), new Uint8Array(32).fill(2)];
  const digests = [
    userCodeDigest(one, "https://id.example/main/production", "WDJBMJHT"),
    userCodeDigest(one, "https://id.example/main/staging", "WDJBMJHT"),
    userCodeDigest(other, "https://id.example/main/production", "WDJBMJHT"),
    createHash("sha256").update("WDJBMJHT").digest("base64url"),
  ];
  assert.equal(new Set(digests).size, 4);
});
