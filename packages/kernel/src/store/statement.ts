// Promises that a statement is one statement, reads or changes rows only, and has exactly as many placeholders as parameters.
// Trusts the SQL text to be the programmer's (parameters never enter it). Grammar: PostgreSQL manual §4.1, sqlite.org/lang.html.
import { StoreFault } from "./fault.ts";

export interface ParsedStatement {
  /** The same text with `$1`, `$2`, ... */
  readonly postgres: string;
  readonly placeholders: number;
  /** The text may change rows although the server calls it a SELECT (`WITH ... AS (INSERT ...)`). */
  readonly hiddenChange: boolean;
}

/** Transaction control, pragmas and schema changes are not for commands: they would break the transaction around them. */
const allowedVerbs = new Set(["SELECT", "INSERT", "UPDATE", "DELETE", "WITH", "VALUES"]);
const sqlLengthMax = 100_000;
const parsedKeptMax = 2_000;

/** A memo of parsed statements; the set of texts in a program is finite, the bound guards against generated SQL. */
export function statementParser(): (sql: string) => ParsedStatement {
  const kept = new Map<string, ParsedStatement>();
  return (sql) => {
    const known = kept.get(sql);
    if (known) return known;
    const parsed = parseStatement(sql);
    if (kept.size >= parsedKeptMax) kept.clear();
    kept.set(sql, parsed);
    return parsed;
  };
}

/**
 * Translates `?` placeholders to `$n`, leaving string literals, quoted identifiers, comments, dollar quotes and casts (`::`) alone.
 * Throws StoreFault `bad-statement` for a second statement, a forbidden verb, `?1`, `$1` or an unterminated literal.
 * The PostgreSQL operators `?`, `?|` and `?&` cannot be written; use jsonb_exists().
 */
export function parseStatement(sql: string): ParsedStatement {
  if (sql.length > sqlLengthMax) throw bad(sql, `is longer than ${sqlLengthMax} characters`);
  const parts: string[] = [];
  let placeholders = 0;
  let ended = false;
  for (let at = 0; at < sql.length; ) {
    const skipped = skipQuoted(sql, at);
    if (skipped > at) {
      if (ended && !isComment(sql, at)) throw bad(sql, "holds more than one statement");
      parts.push(sql.slice(at, skipped));
      at = skipped;
      continue;
    }
    // charAt: `at` is inside the text by the loop's condition.
    const char = sql.charAt(at);
    if (ended && /\S/.test(char)) throw bad(sql, "holds more than one statement");
    if (char === ";") ended = true;
    if (char === "?") {
      if (/[0-9|&]/.test(sql.charAt(at + 1))) throw bad(sql, "uses ? as more than a plain placeholder");
      placeholders += 1;
      parts.push(`$${placeholders}`);
    } else {
      if (char === "$" && /[0-9A-Za-z_]/.test(sql.charAt(at + 1)) && !/[\w$]/.test(sql.charAt(at - 1)))
        throw bad(sql, "uses a $ parameter; placeholders are ?");
      if (char === "\0") throw bad(sql, "holds a NUL");
      parts.push(char);
    }
    at += 1;
  }
  const verb = /^(?:\s|--[^\n]*\n|\/\*[\s\S]*?\*\/|\()*([A-Za-z]+)/.exec(sql)?.[1]?.toUpperCase() ?? "";
  if (!allowedVerbs.has(verb))
    throw bad(sql, `starts with ${verb || "nothing"}; commands may only ${[...allowedVerbs].join(", ")}`);
  return {
    postgres: parts.join(""),
    placeholders,
    hiddenChange: verb === "WITH" && /\b(?:insert|update|delete|merge)\b/i.test(sql),
  };
}

function isComment(sql: string, at: number): boolean {
  return sql.startsWith("--", at) || sql.startsWith("/*", at);
}

/** Index after the literal, identifier, comment or dollar quote that starts at `at`; `at` when none does. */
function skipQuoted(sql: string, at: number): number {
  const char = sql.charAt(at);
  if (char === "'") return skipString(sql, at, /[eE]/.test(sql.charAt(at - 1)) && !/\w/.test(sql.charAt(at - 2)));
  if (char === '"') return skipDoubled(sql, at, '"');
  if (sql.startsWith("--", at)) {
    const end = sql.indexOf("\n", at);
    return end === -1 ? sql.length : end;
  }
  if (sql.startsWith("/*", at)) return skipComment(sql, at);
  if (char === "$" && !/[\w$]/.test(sql.charAt(at - 1))) return skipDollar(sql, at);
  return at;
}

function skipString(sql: string, start: number, backslashes: boolean): number {
  if (!backslashes) return skipDoubled(sql, start, "'");
  for (let at = start + 1; at < sql.length; at += 1) {
    if (sql[at] === "\\") at += 1;
    else if (sql[at] === "'" && sql[at + 1] === "'") at += 1;
    else if (sql[at] === "'") return at + 1;
  }
  throw bad(sql, "has an unterminated string");
}

function skipDoubled(sql: string, start: number, quote: string): number {
  for (let at = start + 1; at < sql.length; at += 1) {
    if (sql[at] !== quote) continue;
    if (sql[at + 1] !== quote) return at + 1;
    at += 1;
  }
  throw bad(sql, `has an unterminated ${quote}`);
}

/** PostgreSQL nests block comments and SQLite does not, so a nested one would mean two things: refused. */
function skipComment(sql: string, start: number): number {
  const end = sql.indexOf("*/", start + 2);
  if (end === -1) throw bad(sql, "has an unterminated comment");
  if (sql.slice(start + 2, end).includes("/*")) throw bad(sql, "nests comments");
  return end + 2;
}

function skipDollar(sql: string, start: number): number {
  const tag = /^\$(?:[A-Za-z_]\w*)?\$/.exec(sql.slice(start, start + 64))?.[0];
  if (!tag) return start;
  const end = sql.indexOf(tag, start + tag.length);
  if (end === -1) throw bad(sql, `has an unterminated ${tag}`);
  return end + tag.length;
}

function bad(sql: string, why: string): StoreFault {
  return new StoreFault("bad-statement", `the statement ${JSON.stringify(sql.slice(0, 120))} ${why}`);
}
