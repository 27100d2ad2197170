// Placeholder translation and what counts as one statement.
import assert from "node:assert/strict";
import { test } from "node:test";
import { parseStatement } from "./statement.ts";

const translated: readonly (readonly [string, string, string, number])[] = [
  ["placeholders in order", "SELECT ?, ?, ?", "SELECT $1, $2, $3", 3],
  ["a question mark in a string", "SELECT '?', 'it''s ?', ?", "SELECT '?', 'it''s ?', $1", 1],
  ["a backslash that ends an ordinary string", "SELECT '\\', ?", "SELECT '\\', $1", 1],
  ["an escaped quote in an E string", "SELECT E'\\'?', ?", "SELECT E'\\'?', $1", 1],
  ["an identifier that ends in e before a string", "SELECT value'?\\', ?", "SELECT value'?\\', $1", 1],
  ["a quoted identifier", 'SELECT "a?""b?", ?', 'SELECT "a?""b?", $1', 1],
  ["a line comment", "SELECT 1 -- ?\n, ?", "SELECT 1 -- ?\n, $1", 1],
  ["a comment that never ends", "SELECT ? -- ?", "SELECT $1 -- ?", 1],
  ["a block comment", "SELECT /* ? ' */ ?", "SELECT /* ? ' */ $1", 1],
  ["a cast", "SELECT ?::bigint, '?'::text", "SELECT $1::bigint, '?'::text", 1],
  ["a dollar quote", "SELECT $$ ? ' $$, $x$ $$ ? $x$, ?", "SELECT $$ ? ' $$, $x$ $$ ? $x$, $1", 1],
  ["a trailing semicolon", "SELECT ?; -- done", "SELECT $1; -- done", 1],
];
for (const [what, sql, postgres, placeholders] of translated)
  test(`${what} is translated and nothing else is touched`, () => {
    const parsed = parseStatement(sql);
    assert.equal(parsed.postgres, postgres);
    assert.equal(parsed.placeholders, placeholders);
  });

const refused = [
  "",
  "SELECT 1; SELECT 2",
  "SELECT 1; 'x'",
  'SELECT 1; "x"',
  "SELECT 'a",
  'SELECT "a',
  "SELECT E'a\\'",
  "SELECT /* a",
  "SELECT /* a /* b */ c */ 1",
  "SELECT $$ a",
  "SELECT ?1",
  "SELECT $1",
  "SELECT a ?| b",
  "SELECT \0",
  "BEGIN",
  "ROLLBACK TO command",
  "-- SELECT\nVACUUM",
  "COPY note FROM '/etc/passwd'",
  "DO $$ BEGIN END $$",
  "CALL x()",
];
for (const sql of refused)
  test(`refuses ${JSON.stringify(sql)}`, () => assert.throws(() => parseStatement(sql), { code: "bad-statement" }));

test("a change behind WITH is noticed", () => {
  assert.equal(parseStatement("WITH x AS (DELETE FROM a RETURNING b) SELECT b FROM x").hiddenChange, true);
  assert.equal(parseStatement("WITH x AS (SELECT 1) SELECT * FROM x").hiddenChange, false);
});
