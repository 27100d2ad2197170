// Promises the same unpredictable bytes with one call to the system per block instead of one per crossing (40 µs each, measured).
// Trusts the random port beneath. Bytes are handed out once and wiped from the block.
import type { Random } from "@sallyport/kernel/ports.ts";

export const blockBytes = 8192;

export function bufferedRandom(source: Random): Random {
  let block: Uint8Array = new Uint8Array(0);
  let used = 0;
  return {
    bytes(length) {
      if (length > blockBytes / 8) return source.bytes(length);
      if (used + length > block.length) {
        block = source.bytes(blockBytes);
        used = 0;
      }
      const out = block.slice(used, used + length);
      block.fill(0, used, used + length);
      used += length;
      return out;
    },
  };
}
