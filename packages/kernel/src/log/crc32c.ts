// Promises CRC-32C (Castagnoli), eight bytes per step. Trusts nothing. Specified by RFC 3720 §12.1 and appendix B.4.

const polynomial = 0x82f63b78;
const steps = 8;
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
  const t = table;
  let crc = ~0;
  let at = from;
  // Every index below lies inside the table or before `to`; `as number` says so, where `?? 0` would cost a branch per byte.
  for (; at + steps <= to; at += steps) {
    crc ^=
      (bytes[at] as number) |
      ((bytes[at + 1] as number) << 8) |
      ((bytes[at + 2] as number) << 16) |
      ((bytes[at + 3] as number) << 24);
    crc =
      (t[1792 + (crc & 255)] as number) ^
      (t[1536 + ((crc >>> 8) & 255)] as number) ^
      (t[1280 + ((crc >>> 16) & 255)] as number) ^
      (t[1024 + (crc >>> 24)] as number) ^
      (t[768 + (bytes[at + 4] as number)] as number) ^
      (t[512 + (bytes[at + 5] as number)] as number) ^
      (t[256 + (bytes[at + 6] as number)] as number) ^
      (t[bytes[at + 7] as number] as number);
  }
  for (; at < to; at++) crc = (crc >>> 8) ^ (t[(crc ^ (bytes[at] as number)) & 255] as number);
  return ~crc >>> 0;
}
