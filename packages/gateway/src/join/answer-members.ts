// Promises that an answer of control, or a file made from one, has the texts it must have. Trusts nothing.
// Shapes: docs/formats/join.md.

/** The named members of a JSON object, all texts. Throws an Error that names the missing one. */
export function parseTextMembers<const K extends string>(bytes: Uint8Array, names: readonly K[]): Record<K, string> {
  const value: unknown = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  const record: Readonly<Record<string, unknown>> = typeof value === "object" && value !== null ? { ...value } : {};
  const entries = names.map((name) => {
    const member = record[name];
    if (typeof member !== "string") throw new Error(`the answer has no text "${name}"`);
    return [name, member];
  });
  // Every asked-for member was just found to be a string.
  return Object.fromEntries(entries) as Record<K, string>;
}
