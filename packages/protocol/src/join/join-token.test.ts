import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { type JoinToken, parseJoinToken, printJoinToken } from "./join-token.ts";

const token: JoinToken = {
  v: 1,
  url: "https://127.0.0.1:7443",
  pin: `${"A".repeat(43)}=`,
  tenant: "main",
  environment: "production",
  region: "eu",
  group: "production-eu",
  snapshotKey: { kid: "k".repeat(43), x: "x".repeat(43) },
  secret: "s".repeat(43),
  expiresAt: 1_795_000_000_000,
};

const encode = (value: unknown) => `spj1_${Buffer.from(JSON.stringify(value)).toString("base64url")}`;
const word = fc.stringMatching(/^[a-z][a-z0-9-]{0,62}$/);
const base64url43 = fc
  .uint8Array({ minLength: 32, maxLength: 32 })
  .map((bytes) => Buffer.from(bytes).toString("base64url"));
const tokens: fc.Arbitrary<JoinToken> = fc.record(
  {
    v: fc.constant(1 as const),
    url: fc
      .tuple(
        fc.constantFrom("control.acme.example", "10.0.0.7", "[fd00::7]", "localhost"),
        fc.integer({ min: 1, max: 65_535 }),
      )
      .map(([host, port]) => `https://${host}:${port}`),
    pin: fc.uint8Array({ minLength: 32, maxLength: 32 }).map((bytes) => Buffer.from(bytes).toString("base64")),
    tenant: word,
    environment: word,
    region: word,
    group: word,
    snapshotKey: fc.record({ kid: base64url43, x: base64url43 }, { noNullPrototype: true }),
    secret: base64url43,
    expiresAt: fc.nat({ max: Number.MAX_SAFE_INTEGER }),
  },
  { noNullPrototype: true },
);

test("a join token that was printed parses to the same token, and prints the same bytes", () => {
  fc.assert(
    fc.property(tokens, (made) => {
      const text = printJoinToken(made);
      assert.match(text, /^spj1_[A-Za-z0-9_-]{1,4091}$/);
      const parsed = parseJoinToken(text);
      assert.deepEqual(parsed, made);
      assert.equal(parsed && printJoinToken(parsed), text);
    }),
    { seed: 1 },
  );
});

test("of every text near a join token, what parses prints exactly that text", () => {
  const text = printJoinToken(token);
  fc.assert(
    fc.property(
      fc.nat({ max: text.length - 1 }),
      fc.constantFrom("", "A", "_", "=", " ", "é", "\n"),
      fc.boolean(),
      (at, piece, insert) => {
        const near = text.slice(0, at) + piece + text.slice(insert ? at : at + 1);
        const parsed = parseJoinToken(near);
        if (parsed !== null) assert.equal(printJoinToken(parsed), near);
      },
    ),
    { seed: 2, numRuns: 2_000 },
  );
});

test("a join token with any other spelling, member or order is refused", () => {
  const { v, ...rest } = token;
  const text = printJoinToken(token);
  const refused: Readonly<Record<string, string>> = {
    padding: `${text}=`,
    "no prefix": text.slice(5),
    "other case of the prefix": `SPJ1_${text.slice(5)}`,
    "white space": `${text}\n`,
    "unknown member": encode({ ...token, extra: 1 }),
    "unknown member of the key": encode({ ...token, snapshotKey: { ...token.snapshotKey, d: "private" } }),
    "other order": encode({ ...rest, v }),
    "other version": encode({ ...token, v: 2 }),
    "spaces in the JSON": `spj1_${Buffer.from(JSON.stringify(token, null, 1)).toString("base64url")}`,
    "plain http": encode({ ...token, url: "http://127.0.0.1:7443" }),
    "a path": encode({ ...token, url: "https://127.0.0.1:7443/join" }),
    "user information": encode({ ...token, url: "https://control@evil.example" }),
    "not an origin": encode({ ...token, url: "https://]:x" }),
    "a name that is no host": encode({ ...token, url: "https://..:1" }),
    "not an id": encode({ ...token, group: "../production" }),
    "a short secret": encode({ ...token, secret: "s".repeat(42) }),
    "a pin of another hash": encode({ ...token, pin: "A".repeat(28) }),
    "a snapshot key of another length": encode({ ...token, snapshotKey: { kid: "k", x: "x" } }),
    "a fraction of a millisecond": encode({ ...token, expiresAt: 1.5 }),
    "a time before the epoch": encode({ ...token, expiresAt: -1 }),
    nothing: encode(null),
    "a list": encode([token]),
    "no base64": "spj1_%%%",
    "too long": encode({ ...token, region: "r".repeat(5_000) }),
  };
  for (const [why, spelled] of Object.entries(refused)) assert.equal(parseJoinToken(spelled), null, why);
});
