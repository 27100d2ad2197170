// Promises CRC-32C (Castagnoli), sixteen bytes per step. Trusts nothing. Specified by RFC 3720 §12.1 and appendix B.4.

const polynomial = 0x82f63b78;
const steps = 16;
/** Words are read as the machine has them; where that is the other way round, bytes are read instead. */
const hasLittleEnd = new Uint8Array(Uint32Array.of(1).buffer)[0] === 1;
let table: Int32Array | undefined;

/** Row t holds the checksum of each byte followed by t zero bytes. */
function makeTable(): Int32Array {
  const made = new Int32Array(steps * 256);
  for (let n = 0; n < 256; n++) {
    let c = n;
    for (let k = 0; k < 8; k++) c = c & 1 ? polynomial ^ (c >>> 1) : c >>> 1;
    made[n] = c;
  }
  for (let i = 256; i < made.length; i++) {
    const before = made[i - 256] ?? 0;
    made[i] = (before >>> 8) ^ (made[before & 255] ?? 0);
  }
  return made;
}

/** CRC-32C of `bytes[from:to]`, unsigned 32 bits. */
export function crc32c(bytes: Uint8Array, from = 0, to = bytes.length): number {
  table ??= makeTable();
  const aligned = Math.min(to, from + (-(bytes.byteOffset + from) & 3));
  let crc = stepBytes(table, bytes, { crc: ~0, from, to: aligned });
  const words = hasLittleEnd ? Math.max(0, ((to - aligned) >>> 4) << 2) : 0;
  if (words > 0) crc = stepWords(table, new Int32Array(bytes.buffer, bytes.byteOffset + aligned, words), crc);
  return ~stepBytes(table, bytes, { crc, from: aligned + words * 4, to }) >>> 0;
}

interface Stretch {
  readonly crc: number;
  readonly from: number;
  readonly to: number;
}

// Every index below lies inside its array; `as number` says so, where `?? 0` would cost a branch per byte.

function stepBytes(t: Int32Array, bytes: Uint8Array, { crc, from, to }: Stretch): number {
  let next = crc;
  for (let at = from; at < to; at++) next = (next >>> 8) ^ (t[(next ^ (bytes[at] as number)) & 255] as number);
  return next;
}

/** Four words per step: only the first waits for the step before, the rest is looked up meanwhile. */
function stepWords(t: Int32Array, words: Int32Array, crc: number): number {
  let next = crc;
  for (let i = 0; i < words.length; i += 4) {
    const a = next ^ (words[i] as number);
    const b = words[i + 1] as number;
    const c = words[i + 2] as number;
    const d = words[i + 3] as number;
    next =
      (t[2816 + (b & 255)] as number) ^
      (t[2560 + ((b >>> 8) & 255)] as number) ^
      (t[2304 + ((b >>> 16) & 255)] as number) ^
      (t[2048 + (b >>> 24)] as number) ^
      (t[1792 + (c & 255)] as number) ^
      (t[1536 + ((c >>> 8) & 255)] as number) ^
      (t[1280 + ((c >>> 16) & 255)] as number) ^
      (t[1024 + (c >>> 24)] as number) ^
      (t[768 + (d & 255)] as number) ^
      (t[512 + ((d >>> 8) & 255)] as number) ^
      (t[256 + ((d >>> 16) & 255)] as number) ^
      (t[d >>> 24] as number) ^
      (t[3840 + (a & 255)] as number) ^
      (t[3584 + ((a >>> 8) & 255)] as number) ^
      (t[3328 + ((a >>> 16) & 255)] as number) ^
      (t[3072 + (a >>> 24)] as number);
  }
  return next;
}
