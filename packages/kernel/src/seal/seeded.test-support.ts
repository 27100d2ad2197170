// Promises the same bytes for the same seed, so that a failing test fails again. For tests only: it is not random.
import { createHash } from "node:crypto";
import type { Random } from "../ports.ts";

export function seededRandom(seed: number): Random {
  let count = 0;
  return {
    bytes(length) {
      const pieces: Buffer[] = [];
      for (let have = 0; have < length; have += 64) {
        count += 1;
        pieces.push(createHash("sha512").update(`${seed}/${count}`).digest());
      }
      return new Uint8Array(Buffer.concat(pieces).subarray(0, length));
    },
  };
}
