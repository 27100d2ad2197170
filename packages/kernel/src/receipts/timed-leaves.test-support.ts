// Promises leaves of crossings whose ids hold the time they say they were made at, as those of real traffic do; for tests. Trusts nothing.
import { parseLeaf, printLeaf } from "@sallyport/protocol/audit/leaf-format.ts";
import { importLogKey } from "../log/log-crypto.ts";
import { sampleLeaf } from "../log/sample-leaves.ts";

export const gatewayIdentity = {
  tenant: "main",
  environment: "production",
  region: "eu",
  node: "gw-1",
  role: "gateway",
  version: "0.1.0",
} as const;
export const november = 1_795_305_600_000;
export const newYear = Date.UTC(2027, 0, 1);

const keyOf = (hex: string) => importLogKey(Buffer.from(`302e020100300506032b657004220420${hex}`, "hex"));
export const logKey = keyOf("d4ee72dbf913584ad5b6d8f1f769f8ad3afe7c28cbf1d4fbe097a88f44755842");
export const otherLogKey = keyOf("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60");

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
