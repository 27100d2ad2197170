// Promises ids that sort by time, never repeat within a command and come out the same when a command is tried again.
// Trusts the seed to be unpredictable. Format: ULID (26 characters, Crockford base 32).
import { strict as assert } from "node:assert";

const alphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
export const idSeedBytes = 10;
const idsPerCommandMax = 1_000_000n;

/** Ids for one command: `now` in milliseconds since the epoch, `seed` of ten random bytes, counted up by one per id. */
export function eventIds(now: number, seed: Uint8Array): () => string {
  assert.equal(seed.length, idSeedBytes);
  const time = BigInt(Math.max(0, Math.trunc(now))) << 80n;
  const first = BigInt(`0x${Buffer.from(seed).toString("hex")}`);
  let count = 0n;
  return () => {
    assert.ok(count < idsPerCommandMax, "a command asks for too many ids");
    const value = time | ((first + count) & ((1n << 80n) - 1n));
    count += 1n;
    return encode(value);
  };
}

function encode(value: bigint): string {
  let text = "";
  let rest = value;
  for (let place = 0; place < 26; place += 1) {
    text = alphabet.charAt(Number(rest & 31n)) + text;
    rest >>= 5n;
  }
  return text;
}
