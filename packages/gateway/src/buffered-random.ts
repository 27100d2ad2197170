// Promises the same unpredictable bytes with one call to the system per block instead of one per crossing (40 µs each, measured).
// Trusts the random port beneath, but refuses one that is visibly broken. Bytes are handed out once and wiped from the block.
import type { Random } from "@sallyport/kernel/ports.ts";

export const blockBytes = 8192;
const probeBytes = 32;

/** The source, or the way its bytes are handed on, gives zeros: nothing that needs randomness may start. */
export class RandomFault extends Error {
  override readonly name = "RandomFault";
  readonly code = "random-broken";
}

/** Buffers `source`. Throws RandomFault at once when what comes out is all zero or repeats: nonces, seals and ids would be worthless. */
export function bufferedRandom(source: Random): Random {
  let block: Uint8Array = new Uint8Array(0);
  let used = 0;
  const random: Random = {
    bytes(length) {
      if (length > blockBytes / 8) return source.bytes(length);
      if (used + length > block.length) {
        block = source.bytes(blockBytes);
        used = 0;
      }
      // A copy of its own: `slice` of a Buffer shares memory with the block, which is wiped in the next line.
      const out = Uint8Array.from(block.subarray(used, used + length));
      block.fill(0, used, used + length);
      used += length;
      return out;
    },
  };
  assertRandom(random);
  return random;
}

function assertRandom(random: Random): void {
  const [first, second] = [random.bytes(probeBytes), random.bytes(probeBytes)];
  const isZero = (bytes: Uint8Array) => bytes.every((byte) => byte === 0);
  const isSame = first.every((byte, at) => byte === second[at]);
  if (isZero(first) || isZero(second) || isSame)
    throw new RandomFault("the random source gives zeros or repeats itself; nothing is started on it");
}
