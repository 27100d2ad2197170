import assert from "node:assert/strict";
import { test } from "node:test";
import { base32, decideTotp, otpauthUri, totpOf, totpStepMs } from "./totp.ts";

const digits = "12345678901234567890";
const seeds = {
  sha1: Buffer.from(digits),
  sha256: Buffer.from((digits + digits).slice(0, 32)),
  sha512: Buffer.from((digits + digits + digits + digits).slice(0, 64)),
} as const;

test("codes are those of RFC 6238 Appendix B", () => {
  const vectors = [
    [59, "94287082", "46119246", "90693936"],
    [1111111109, "07081804", "68084774", "25091201"],
    [1111111111, "14050471", "67062674", "99943326"],
    [1234567890, "89005924", "91819424", "93441116"],
    [2000000000, "69279037", "90698825", "38618901"],
    [20000000000, "65353130", "77737706", "47863826"],
  ] as const;
  for (const [seconds, sha1, sha256, sha512] of vectors) {
    const step = Math.floor(seconds / 30);
    assert.equal(totpOf(seeds.sha1, step, { hash: "sha1", digits: 8 }), sha1);
    assert.equal(totpOf(seeds.sha256, step, { hash: "sha256", digits: 8 }), sha256);
    assert.equal(totpOf(seeds.sha512, step, { hash: "sha512", digits: 8 }), sha512);
  }
});

test("base32 is that of RFC 4648 §10, without padding", () => {
  const texts = ["", "f", "fo", "foo", "foob", "fooba", "foobar"];
  const expected = ["", "MY", "MZXQ", "MZXW6", "MZXW6YQ", "MZXW6YTB", "MZXW6YTBOI"];
  assert.deepEqual(
    texts.map((text) => base32(Buffer.from(text))),
    expected,
  );
});

const at = 1_111_111_111_000;
const step = Math.floor(at / totpStepMs);
const codeOf = (offset: number) => totpOf(seeds.sha1, step + offset);
const decide = (code: string, lastStep: number | null = null, now = at) =>
  decideTotp({ secret: seeds.sha1, code, now, lastStep });

test("the code of this step passes, and those of a device whose clock is one step off; two steps off does not", () => {
  for (const offset of [-1, 0, 1])
    assert.deepEqual(decide(codeOf(offset)), { kind: "accepted", step: step + offset }, String(offset));
  for (const offset of [-2, 2]) assert.deepEqual(decide(codeOf(offset)), { kind: "refused" }, String(offset));
});

test("TOTP replay: a code that was accepted is refused, and so is every earlier one", () => {
  assert.deepEqual(decide(codeOf(0), step), { kind: "refused" });
  assert.deepEqual(decide(codeOf(-1), step), { kind: "refused" });
  assert.deepEqual(decide(codeOf(1), step), { kind: "accepted", step: step + 1 }, "the next one is good");
});

test("what is not six digits is refused, a blank in the middle is not", () => {
  for (const code of [
    "",
    "12345",
    "1234567",
    "12345a",
    "\u0661\u0662\u0663\u0664\u0665\u0666",
    "-12345",
    `${codeOf(0)}\n`,
  ])
    assert.deepEqual(decide(code), { kind: "refused" }, JSON.stringify(code));
  const code = codeOf(0);
  assert.equal(decide(`${code.slice(0, 3)} ${code.slice(3)}`).kind, "accepted");
  assert.equal(decide(totpOf(seeds.sha1, 0), null, 0).kind, "accepted", "before the first step there is none");
});

test("an authenticator app reads the seed from the address", () => {
  assert.equal(
    otpauthUri(Buffer.from("foobar"), "Sallyport production", "anna@acme"),
    "otpauth://totp/Sallyport%20production:anna%40acme?secret=MZXW6YTBOI&issuer=Sallyport%20production&algorithm=SHA1&digits=6&period=30",
  );
});
