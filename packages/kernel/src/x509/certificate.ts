// Promises the parts of a certificate that decide who it is, exactly as its issuer wrote them: names come from the DER, never from
// a printed text (CVE-2021-44532). Trusts nothing: anything unusual is a DerFault. Specified in RFC 5280 §4.
import { createHash } from "node:crypto";
import type { DerElement } from "./der.ts";
import { DerFault, derTag, readBoolean, readDer, readDerList, readOid, readTime } from "./der.ts";
import { oid } from "./oids.ts";

export const certificateBytesMax = 64 * 1024;
export const sanEntriesMax = 256;

export interface SubjectAltName {
  readonly kind: "uri" | "dns" | "ip" | "email" | "other";
  /** `uri`, `dns`, `email`: the text, ASCII. `ip`: 8 or 32 hex digits. `other`: empty. */
  readonly value: string;
}

export interface Certificate {
  readonly der: Uint8Array;
  /** 1 to 3. */
  readonly version: number;
  /** Lower-case hex of the INTEGER's content. */
  readonly serial: string;
  /** DER of the names. */
  readonly issuer: Uint8Array;
  readonly subject: Uint8Array;
  /** Milliseconds since the epoch, both inclusive. */
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
  /** DER of the SubjectPublicKeyInfo. */
  readonly spki: Uint8Array;
  readonly names: readonly SubjectAltName[];
  readonly ca: boolean;
  /** null: no limit. */
  readonly pathLength: number | null;
  /** Object identifiers; null: the extension is absent. */
  readonly extendedKeyUsage: readonly string[] | null;
  /** Bits of RFC 5280 §4.2.1.3 by number; null: the extension is absent. */
  readonly keyUsage: ReadonlySet<number> | null;
  readonly nameConstraints: boolean;
  /** Critical extensions that nothing here reads. */
  readonly unknownCritical: readonly string[];
}

interface Extension {
  readonly critical: boolean;
  readonly value: Uint8Array;
}

const readHere: ReadonlySet<string> = new Set([
  oid.subjectAltName,
  oid.basicConstraints,
  oid.extendedKeyUsage,
  oid.keyUsage,
  oid.nameConstraints,
]);

function text(content: Uint8Array): string {
  // IA5String. A NUL or control character is how one name passes for another (CVE-2009-2408).
  if (content.some((byte) => byte < 0x21 || byte > 0x7e))
    throw new DerFault("a name with bytes outside printable ASCII");
  return Buffer.from(content).toString("latin1");
}

function readNames(value: Uint8Array): SubjectAltName[] {
  return readDerList(readDer(value, derTag.sequence).content, sanEntriesMax).map((entry): SubjectAltName => {
    switch (entry.tag) {
      case 0x81:
        return { kind: "email", value: text(entry.content) };
      case 0x82:
        return { kind: "dns", value: text(entry.content) };
      case 0x86:
        return { kind: "uri", value: text(entry.content) };
      case 0x87:
        if (entry.content.length !== 4 && entry.content.length !== 16)
          throw new DerFault("an IP name of a wrong length");
        return { kind: "ip", value: Buffer.from(entry.content).toString("hex") };
      default:
        return { kind: "other", value: "" };
    }
  });
}

/** Of a certificate or a revocation list: the explicitly tagged sequence. Faults: DerFault, also for one that occurs twice. */
export function readExtensions(element: DerElement | undefined): ReadonlyMap<string, Extension> {
  const extensions = new Map<string, Extension>();
  if (element === undefined) return extensions;
  for (const entry of readDerList(readDer(element.content, derTag.sequence).content)) {
    const parts = readDerList(readDer(entry.whole, derTag.sequence).content, 3);
    const [id, middle, last] = parts.length === 3 ? parts : [parts[0], undefined, parts[1]];
    if (id?.tag !== derTag.oid || last?.tag !== derTag.octetString) throw new DerFault("a malformed extension");
    if (middle !== undefined && middle.tag !== derTag.boolean) throw new DerFault("a malformed extension");
    const name = readOid(id.content);
    // RFC 5280 §4.2: at most one of each. Of two, two readers might each believe another.
    if (extensions.has(name)) throw new DerFault(`extension ${name} occurs twice`);
    extensions.set(name, { critical: middle !== undefined && readBoolean(middle.content), value: last.content });
  }
  return extensions;
}

function readBasicConstraints(value: Uint8Array | undefined): { ca: boolean; pathLength: number | null } {
  if (value === undefined) return { ca: false, pathLength: null };
  const parts = readDerList(readDer(value, derTag.sequence).content, 2);
  const ca = parts[0]?.tag === derTag.boolean && readBoolean(parts[0].content);
  const length = parts.find((part) => part.tag === derTag.integer);
  if (length === undefined) return { ca, pathLength: null };
  // One byte is plenty: a longer number cannot limit anything, a negative one is malformed.
  const small = length.content.length === 1 ? length.content[0] : undefined;
  if (small === undefined || small > 0x7f) throw new DerFault("a path length that is negative or absurd");
  return { ca, pathLength: small };
}

function readKeyUsage(value: Uint8Array | undefined): ReadonlySet<number> | null {
  if (value === undefined) return null;
  const [, ...bytes] = readDer(value, derTag.bitString).content;
  const bits = new Set<number>();
  bytes.forEach((byte, i) => {
    for (let bit = 0; bit < 8; bit++) if (byte & (0x80 >> bit)) bits.add(i * 8 + bit);
  });
  return bits;
}

/** Reads a certificate strictly. Faults: DerFault for anything that is not the DER of RFC 5280 §4.1. */
export function readCertificate(bytes: Uint8Array): Certificate {
  if (bytes.length > certificateBytesMax) throw new DerFault(`a certificate of more than ${certificateBytesMax} bytes`);
  const [tbs, algorithm, signature, ...more] = readDerList(readDer(bytes, derTag.sequence).content, 4);
  if (
    tbs?.tag !== derTag.sequence ||
    algorithm === undefined ||
    signature?.tag !== derTag.bitString ||
    more.length > 0
  ) {
    throw new DerFault("not a certificate");
  }
  const fields = [...readDerList(tbs.content, 10)];
  const versioned = fields[0]?.tag === 0xa0 ? fields.shift() : undefined;
  const version = versioned === undefined ? 1 : (readDer(versioned.content, derTag.integer).content[0] ?? 0) + 1;
  const [serial, inner, issuer, validity, subject, spki, ...rest] = fields;
  if (serial?.tag !== derTag.integer || !inner || !issuer || !validity || !subject || spki?.tag !== derTag.sequence) {
    throw new DerFault("a certificate with missing fields");
  }
  // RFC 5280 §4.1.1.2: the signed and the unsigned algorithm field must be the same.
  if (Buffer.compare(inner.whole, algorithm.whole) !== 0)
    throw new DerFault("a certificate with two signature algorithms");
  const [notBefore, notAfter] = readDerList(readDer(validity.whole, derTag.sequence).content, 2);
  if (notBefore === undefined || notAfter === undefined) throw new DerFault("a certificate without validity");
  const extensions = readExtensions(rest.find((field) => field.tag === 0xa3));
  const usages = extensions.get(oid.extendedKeyUsage)?.value;
  const names = extensions.get(oid.subjectAltName)?.value;
  return {
    der: bytes,
    version,
    serial: Buffer.from(serial.content).toString("hex"),
    issuer: issuer.whole,
    subject: subject.whole,
    notBeforeMs: readTime(notBefore),
    notAfterMs: readTime(notAfter),
    spki: spki.whole,
    names: names === undefined ? [] : readNames(names),
    ...readBasicConstraints(extensions.get(oid.basicConstraints)?.value),
    extendedKeyUsage:
      usages === undefined
        ? null
        : readDerList(readDer(usages, derTag.sequence).content).map((usage) => readOid(usage.content)),
    keyUsage: readKeyUsage(extensions.get(oid.keyUsage)?.value),
    nameConstraints: extensions.has(oid.nameConstraints),
    unknownCritical: [...extensions]
      .filter(([name, extension]) => extension.critical && !readHere.has(name))
      .map(([name]) => name),
  };
}

/** RFC 8705 §3.1 `x5t#S256`: base64url SHA-256 of the certificate's DER. */
export function certificateThumbprint(certificate: Uint8Array): string {
  return createHash("sha256").update(certificate).digest("base64url");
}

/** Base64 SHA-256 of a SubjectPublicKeyInfo (DER), the form of pins (RFC 7469 §2.4). */
export function spkiHash(spki: Uint8Array): string {
  return createHash("sha256").update(spki).digest("base64");
}
