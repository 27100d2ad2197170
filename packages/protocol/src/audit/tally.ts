// Promises the windows in which a gateway counts what it sees, read from event ids, and a tally read from its leaf. Trusts nothing.
// Specified in docs/formats/leaf.md "Tallies".
import type { Leaf } from "./leaf.ts";
import { LeafRefused, parseLeaf } from "./leaf-format.ts";

export const tallyWindowMs = 10_000;

export type TallyLeaf = Extract<Leaf, { readonly t: "tally" }>;

const ulidLength = 26;
const timeLength = 10;
const alphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const digits: readonly number[] = Array.from({ length: 128 }, (_, code) => alphabet.indexOf(String.fromCharCode(code)));

/** The window of the last id read: ids of one window follow each other, so its ten characters are mostly the same. */
let last = { time: "", window: 0 };

/** Window of an event id that ends in a ULID: its milliseconds by ten thousand, rounded down; null when it does not. */
export function windowOfId(id: string): number | null {
  const from = id.length - ulidLength;
  if (from < 0) return null;
  const time = id.slice(from, from + timeLength);
  if (time === last.time) return last.window;
  let ms = 0;
  for (let i = 0; i < timeLength; i++) {
    const digit = digits[time.charCodeAt(i)] ?? -1;
    if (digit < 0) return null;
    ms = ms * 32 + digit;
  }
  last = { time, window: Math.floor(ms / tallyWindowMs) };
  return last.window;
}

/** Reads a tally leaf. Throws LeafRefused for any other. */
export function parseTally(bytes: Uint8Array): TallyLeaf {
  const leaf = parseLeaf(bytes);
  if (leaf.t !== "tally") throw new LeafRefused(`a leaf of type ${leaf.t} is no tally`);
  return leaf;
}
