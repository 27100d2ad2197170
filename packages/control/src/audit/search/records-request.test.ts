import assert from "node:assert/strict";
import { test } from "node:test";
import { AdminFault } from "../../admin/actions.ts";
import { parseCursor, printCursor, recordsRequest, wordsOf } from "./records-request.ts";

const parse = (body: unknown) => recordsRequest.safeParse(body).success;

test("filter attack: an unknown field, an operator, a number, control characters, and more values than allowed are refused", () => {
  assert.ok(parse({ where: { caller: ["orders' OR 1=1 --"] } }), "a value is only ever compared whole");
  for (const where of [
    { "caller) OR (1": ["orders"] },
    { __proto__x: ["orders"] },
    { caller: "orders" },
    { caller: [] },
    { caller: [7] },
    { caller: [{ $ne: "" }] },
    { caller: ["a\nb"] },
    { caller: ["é"] },
    { caller: [""] },
    { caller: Array.from({ length: 17 }, (_, n) => `c${n}`) },
    { caller: ["x".repeat(8_193)] },
  ])
    assert.equal(parse({ where }), false, JSON.stringify(where).slice(0, 80));
  for (const more of [
    { limit: 0 },
    { limit: 1_001 },
    { from: -1 },
    { to: 1e300 },
    { sql: "x" },
    { cursor: "x".repeat(2_000) },
  ])
    assert.equal(parse(more), false, JSON.stringify(more).slice(0, 80));
});

test("cursor attack: one that is forged, of another search, or no position at all is refused and never guessed at", () => {
  const search = recordsRequest.parse({ where: { caller: ["orders"] }, from: 5 });
  const position = { at: 1_795_305_600_000, origin: "sallyport.local/main/production/gw-1/gateway/2026", index: 7 };
  const cursor = printCursor(search, position);
  assert.deepEqual(parseCursor({ ...search, cursor }), position);
  assert.equal(parseCursor(search), null);
  const forged = (value: unknown) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const [fingerprint] = JSON.parse(Buffer.from(cursor, "base64url").toString());
  for (const other of [
    { ...search, cursor: "%%%" },
    { ...search, cursor: forged(null) },
    { ...search, cursor: forged([fingerprint, "now", position.origin, 7]) },
    { ...search, cursor: forged([fingerprint, 5, position.origin, -1]) },
    { ...search, cursor: forged([fingerprint, 5, { toString: 1 }, 1]) },
    { ...search, cursor: forged(["x".repeat(22), 5, position.origin, 7]) },
    { ...search, where: { caller: ["shop"] }, cursor },
    { ...search, from: 6, cursor },
  ])
    assert.throws(() => parseCursor(other as typeof search), AdminFault, JSON.stringify(other).slice(0, 120));
});

test("what is put on record of a search names a token by its digest and is bounded", () => {
  const token = "eyJhbGciOiJFUzI1NiJ9.e30.c2ln";
  const words = wordsOf({ caller: ["orders", "shop"], token: [token] });
  assert.match(words, /^caller=orders,shop token=sha256:[0-9a-f]{64}$/);
  assert.ok(wordsOf({ object: ["x".repeat(8_000)] }).length <= 2_000);
});
