// Promises headers of the PROXY protocol as a balancer sends them and, on request, exactly one thing wrong; with a CRC-32C of its own, so that the
// gateway's does not judge itself. Trusts nothing. The PROXY protocol, 2.2.

export const proxySignature = Buffer.from("\r\n\r\n\0\r\nQUIT\n", "latin1");

export interface ProxyHeaderChanges {
  /** Version and command. */
  readonly asked?: number;
  /** Family and transport. */
  readonly family?: number;
  readonly from?: readonly number[];
  readonly to?: readonly number[];
  readonly fromPort?: number;
  readonly toPort?: number;
  readonly extras?: Buffer;
  /** Said in place of the true length. */
  readonly length?: number;
  /** With a CRC-32C behind the extras; `wrong`: of something else. */
  readonly checksum?: "right" | "wrong";
}

/** Of 10.9.8.7 port 1234, unless said otherwise. */
export function proxyHeader(changes: ProxyHeaderChanges = {}): Buffer {
  const {
    asked = 0x21,
    family = 0x11,
    from = [10, 9, 8, 7],
    to = [10, 0, 0, 1],
    fromPort = 1_234,
    toPort = 443,
  } = changes;
  const ports = Buffer.alloc(4);
  ports.writeUInt16BE(fromPort, 0);
  ports.writeUInt16BE(toPort, 2);
  const extras = [changes.extras ?? Buffer.alloc(0)];
  if (changes.checksum !== undefined) extras.push(extra(0x03, Buffer.alloc(4)));
  const rest = Buffer.concat([Buffer.from(from), Buffer.from(to), ports, ...extras]);
  const start = Buffer.alloc(4);
  start.set([asked, family]);
  start.writeUInt16BE(changes.length ?? rest.length, 2);
  const header = Buffer.concat([proxySignature, start, rest]);
  if (changes.checksum !== undefined)
    header.writeUInt32BE(crc32c(changes.checksum === "right" ? header : proxySignature), header.length - 4);
  return header;
}

/** Type, length, value. */
export function extra(type: number, value: Buffer | string, length = value.length): Buffer {
  const head = Buffer.from([type, 0, 0]);
  head.writeUInt16BE(length, 1);
  return Buffer.concat([head, Buffer.from(value)]);
}

/** RFC 3720 Appendix B.4, with a table, where the gateway has none. */
export function crc32c(octets: Buffer): number {
  const table = Array.from({ length: 256 }, (_, i) => {
    let row = BigInt(i);
    for (let bit = 0; bit < 8; bit++) row = row % 2n === 1n ? (row / 2n) ^ 0x82f63b78n : row / 2n;
    return Number(row);
  });
  let crc = 0xffff_ffff;
  for (const octet of octets) crc = ((crc >>> 8) ^ (table[(crc ^ octet) & 0xff] ?? 0)) >>> 0;
  return (crc ^ 0xffff_ffff) >>> 0;
}
