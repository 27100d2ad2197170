// Promises that a value written on one dialect reads back the same on the other. Trusts nothing it is given.
// The mapping is the table in docs/store.md.
import { StoreFault } from "./fault.ts";
import type { Row, SqlValue } from "./port.ts";

const int64Min = -(2n ** 63n);
const int64Max = 2n ** 63n - 1n;

/** Whole numbers travel as 64-bit integers, so that arithmetic on a placeholder is the same on both dialects. */
export type BoundValue = string | number | bigint | null | Uint8Array;

/**
 * Checks and normalises the parameters of one statement. Throws StoreFault `bad-value` for what one of the dialects would change
 * silently: a NUL or a lone surrogate in a text, NaN, infinity, an integer beyond 64 bits, and everything that is no SqlValue.
 * The message names the position only; the value may be a secret.
 */
export function bindValues(params: readonly SqlValue[], placeholders: number): BoundValue[] {
  if (params.length !== placeholders)
    throw new StoreFault(
      "bad-statement",
      `the statement has ${placeholders} placeholders and ${params.length} parameters`,
    );
  return params.map((value, index) => bindValue(value, index));
}

function bindValue(value: unknown, index: number): BoundValue {
  const refuse = (why: string) => new StoreFault("bad-value", `parameter ${index + 1} ${why}`);
  if (value === null) return null;
  switch (typeof value) {
    case "string":
      if (value.includes("\0")) throw refuse("holds a NUL character, which PostgreSQL cannot store");
      if (!value.isWellFormed()) throw refuse("holds half a surrogate pair, which UTF-8 cannot carry");
      return value;
    case "number":
      if (!Number.isFinite(value)) throw refuse("is not a finite number");
      return Number.isSafeInteger(value) ? BigInt(value) : value;
    case "bigint":
      if (value < int64Min || value > int64Max) throw refuse("does not fit in 64 bits");
      return value;
    case "object":
      if (value instanceof Uint8Array) return value;
      throw refuse("is an object; pass a text, a number, a bigint, null or a Uint8Array");
    default:
      throw refuse(`is ${typeof value}; pass a text, a number, a bigint, null or a Uint8Array`);
  }
}

/** An integer as a number when a number holds it exactly, else as a bigint. */
export function integer(value: bigint): number | bigint {
  return value >= BigInt(Number.MIN_SAFE_INTEGER) && value <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(value) : value;
}

/** One row of node:sqlite, read with big integers, as the port promises it. */
export function rowFromSqlite(row: Readonly<Record<string, BoundValue>>): Row {
  const mapped: Record<string, SqlValue> = {};
  for (const [column, value] of Object.entries(row))
    mapped[column] = typeof value === "bigint" ? integer(value) : value;
  return mapped;
}

/** Text-format parser for a PostgreSQL type. json and jsonb stay text; a boolean is 1 or 0 as on SQLite. OIDs: src/include/catalog/pg_type.dat. */
export function postgresParser(oid: number): (text: string) => SqlValue {
  switch (oid) {
    case 20: // int8
    case 21: // int2
    case 23: // int4
    case 26: // oid
      return (text) => integer(BigInt(text));
    case 1700: // numeric: what sum(bigint) gives
      return (text) => (/^-?\d+$/.test(text) ? integer(BigInt(text)) : Number(text));
    case 700: // float4
    case 701: // float8
      return Number;
    case 16: // bool
      return (text) => (text === "t" ? 1 : 0);
    case 17: // bytea, hex output
      return (text) => new Uint8Array(Buffer.from(text.slice(2), "hex"));
    default:
      return (text) => text;
  }
}
