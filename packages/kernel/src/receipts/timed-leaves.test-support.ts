// Promises leaves of crossings whose ids hold the time they say they were made at, as those of real traffic do; for tests. Trusts nothing.
import { parseLeaf, printLeaf } from "@sallyport/protocol/audit/leaf-format.ts";
import { sampleLeaf } from "../log/sample-leaves.ts";

const alphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/** The n-th crossing of a millisecond. */
export function crossingId(at: number, n = 0): string {
  let time = "";
  for (let rest = at, i = 0; i < 10; i++, rest = Math.floor(rest / 32)) time = alphabet.charAt(rest % 32) + time;
  return `gw-1-${time}${String(n).padStart(16, "0")}`;
}

const made = (t: "crossing" | "intent" | "outcome", id: string, at: number) =>
  printLeaf({ ...parseLeaf(sampleLeaf(t, 0)), id, at } as Parameters<typeof printLeaf>[0]);

export const crossingLeaf = (at: number, n = 0): Uint8Array => made("crossing", crossingId(at, n), at);
export const intentLeaf = (at: number, n = 0): Uint8Array => made("intent", crossingId(at, n), at);
/** The end of the n-th crossing that began at `begun`. */
export const outcomeLeaf = (begun: number, at: number, n = 0): Uint8Array => made("outcome", crossingId(begun, n), at);
