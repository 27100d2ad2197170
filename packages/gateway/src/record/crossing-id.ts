// Promises ids that sort by time, never repeat and say which node made them: `<node>-<ulid>`.
// Trusts the random port. Specified by the ULID specification (48 bits of milliseconds, 80 random bits, Crockford base32).
import type { Clock, Random } from "@sallyport/kernel/ports.ts";

const alphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const randomBytesPerId = 10;
/** Randomness is drawn for this many ids at once: one call to the system per id would be a cost of its own. */
const idsPerDraw = 256;
const timeCharacters = 10;

export type CrossingIds = () => string;

/** A maker of crossing ids for one node. */
export function createCrossingIds(node: string, clock: Pick<Clock, "now">, random: Random): CrossingIds {
  let pool = random.bytes(randomBytesPerId * idsPerDraw);
  let used = 0;
  let timeMs = -1;
  let timeText = "";
  return () => {
    const now = clock.now();
    if (now !== timeMs) {
      timeMs = now;
      timeText = `${node}-${encodeTime(now)}`;
    }
    if (used === pool.length) {
      pool = random.bytes(randomBytesPerId * idsPerDraw);
      used = 0;
    }
    const id = timeText + encodeRandom(pool, used);
    used += randomBytesPerId;
    return id;
  };
}

function encodeTime(ms: number): string {
  let text = "";
  let rest = ms;
  for (let i = 0; i < timeCharacters; i++) {
    text = alphabet.charAt(rest % 32) + text;
    rest = Math.floor(rest / 32);
  }
  return text;
}

/** Ten bytes as sixteen characters: twice five bytes as eight. */
function encodeRandom(bytes: Uint8Array, offset: number): string {
  let text = "";
  for (let half = offset; half < offset + randomBytesPerId; half += 5) {
    let value = 0;
    for (let i = 0; i < 5; i++) value = value * 256 + (bytes[half + i] ?? 0);
    const high = Math.floor(value / 1_048_576);
    const low = value % 1_048_576;
    text += pairs[high >> 10] ?? "";
    text += pairs[high & 1_023] ?? "";
    text += pairs[low >> 10] ?? "";
    text += pairs[low & 1_023] ?? "";
  }
  return text;
}

/** Two characters for ten bits. */
const pairs: readonly string[] = Array.from(
  { length: 1_024 },
  (_, bits) => alphabet.charAt(bits >> 5) + alphabet.charAt(bits & 31),
);
