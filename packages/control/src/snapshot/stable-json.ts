// Promises one spelling of a JSON value: members in ascending code unit order, no white space, UTF-8. Trusts nothing.

/** Bytes of `value`; undefined members are left out. Throws TypeError on what JSON cannot say (a bug of the caller). */
export function stableJson(value: unknown): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(ordered(value)));
}

function ordered(value: unknown): unknown {
  if (typeof value === "number" && !Number.isFinite(value)) throw new TypeError("not a JSON number");
  if (typeof value === "bigint" || typeof value === "function" || typeof value === "symbol")
    throw new TypeError("not a JSON value");
  if (Array.isArray(value)) return value.map(ordered);
  if (typeof value !== "object" || value === null) return value;
  // No prototype: a member called `__proto__` must stay a member. Number-like names come first in every engine, in every run alike.
  const result: Record<string, unknown> = Object.create(null);
  for (const [key, member] of Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1))) {
    if (member !== undefined) result[key] = ordered(member);
  }
  return result;
}
