import assert from "node:assert/strict";
import { test } from "node:test";
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

test("a join token that was printed parses to the same token, and prints the same bytes", () => {
  const text = printJoinToken(token);
  assert.match(text, /^spj1_[A-Za-z0-9_-]+$/);
  assert.deepEqual(parseJoinToken(text), token);
  const parsed = parseJoinToken(text);
  assert.equal(parsed && printJoinToken(parsed), text);
});

test("a join token with any other spelling, member or order is refused", () => {
  const encode = (value: unknown) => `spj1_${Buffer.from(JSON.stringify(value)).toString("base64url")}`;
  const { v, ...rest } = token;
  assert.equal(parseJoinToken(`${printJoinToken(token)}=`), null, "padding");
  assert.equal(parseJoinToken(printJoinToken(token).slice(5)), null, "no prefix");
  assert.equal(parseJoinToken(encode({ ...token, extra: 1 })), null, "unknown member");
  assert.equal(parseJoinToken(encode({ ...rest, v })), null, "other order");
  assert.equal(parseJoinToken(encode({ ...token, v: 2 })), null, "other version");
  assert.equal(parseJoinToken(encode({ ...token, url: "http://127.0.0.1:7443" })), null, "plain http");
  assert.equal(parseJoinToken(encode({ ...token, group: "../production" })), null, "not an id");
  assert.equal(parseJoinToken(encode(null)), null);
  assert.equal(parseJoinToken("spj1_%%%"), null);
});
