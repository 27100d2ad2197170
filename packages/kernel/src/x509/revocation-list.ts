// Promises what a certificate revocation list says, exactly as its issuer signed it, and nothing of a list that speaks for others (indirect), adds to
// another (delta) or covers a part (issuing distribution point). Trusts node:crypto for signatures. Specified in RFC 5280 §5 and §6.3.
import { createPublicKey, verify } from "node:crypto";
import { type Certificate, readExtensions } from "./certificate.ts";
import { type DerElement, DerFault, derTag, readDer, readDerList, readOid, readTime } from "./der.ts";
import { oid } from "./oids.ts";

/** Bytes of DER of one list. */
export const revocationListBytesMax = 1024 * 1024;
const entriesMax = 100_000;
const crlSign = 6;

export interface RevocationList {
  /** DER of the name of the CA that issued it. */
  readonly issuer: Uint8Array;
  /** Milliseconds since the epoch: in force from the first until, and without, the second. */
  readonly thisUpdateMs: number;
  readonly nextUpdateMs: number;
  /** How many certificates it names. */
  readonly size: number;
  /** `serial` as `Certificate.serial`. */
  revokes(serial: string): boolean;
  /** Did the holder of this certificate's key sign it, and may that key sign lists? RFC 5280 §6.3.3 (f), (g). */
  isSignedBy(issuer: Certificate): boolean;
}

/** Signature algorithm -> digest and the kind of key it needs. */
const algorithms: ReadonlyMap<string, { readonly digest: string | null; readonly key: string }> = new Map([
  [oid.ecdsaWithSha256, { digest: "sha256", key: "ec" }],
  [oid.ecdsaWithSha384, { digest: "sha384", key: "ec" }],
  [oid.ecdsaWithSha512, { digest: "sha512", key: "ec" }],
  [oid.sha256WithRsa, { digest: "sha256", key: "rsa" }],
  [oid.sha384WithRsa, { digest: "sha384", key: "rsa" }],
  [oid.sha512WithRsa, { digest: "sha512", key: "rsa" }],
  [oid.ed25519, { digest: null, key: "ed25519" }],
]);

/** Reads a list strictly. Faults: DerFault for anything that is not a complete list of RFC 5280 §5.1 about its issuer's own certificates. */
export function readRevocationList(bytes: Uint8Array): RevocationList {
  if (bytes.length > revocationListBytesMax) throw new DerFault(`a list of more than ${revocationListBytesMax} bytes`);
  const [tbs, algorithm, signature, ...more] = readDerList(readDer(bytes, derTag.sequence).content, 4);
  if (
    tbs?.tag !== derTag.sequence ||
    algorithm?.tag !== derTag.sequence ||
    signature?.tag !== derTag.bitString ||
    more.length > 0
  )
    throw new DerFault("not a certificate revocation list");
  const fields = [...readDerList(tbs.content, 8)];
  if (fields[0]?.tag === derTag.integer && fields.shift()?.content[0] !== 1)
    throw new DerFault("a list of an unknown version");
  const [inner, issuer, thisUpdate, ...rest] = fields;
  if (!inner || issuer?.tag !== derTag.sequence || !thisUpdate) throw new DerFault("a list with missing fields");
  // RFC 5280 §5.1.1.2: the signed and the unsigned algorithm field must be the same.
  if (Buffer.compare(inner.whole, algorithm.whole) !== 0) throw new DerFault("a list with two signature algorithms");
  const { nextUpdate, entries } = readRest(rest);
  const serials = readEntries(entries);
  const signed = { tbs: tbs.whole, algorithm: nameOf(algorithm), signature: signature.content };
  return {
    issuer: issuer.whole,
    thisUpdateMs: readTime(thisUpdate),
    nextUpdateMs: readTime(nextUpdate),
    size: serials.size,
    revokes: (serial) => serials.has(plainSerial(serial)),
    isSignedBy: rememberingOne((by) => isSignedBy(signed, by)),
  };
}

function readRest(rest: readonly DerElement[]): { nextUpdate: DerElement; entries: DerElement | undefined } {
  const [nextUpdate, ...more] = rest;
  // RFC 5280 §5.1.2.5: it must be there; without it nobody can tell when a list is too old.
  if (nextUpdate?.tag !== derTag.utcTime && nextUpdate?.tag !== derTag.generalizedTime)
    throw new DerFault("a list without nextUpdate");
  const entries = more[0]?.tag === derTag.sequence ? more[0] : undefined;
  const [extensions, ...beyond] = entries === undefined ? more : more.slice(1);
  if ((extensions !== undefined && extensions.tag !== 0xa0) || beyond.length > 0)
    throw new DerFault("a list with a field that is none");
  const read = readExtensions(extensions);
  if (read.has(oid.deltaCrlIndicator)) throw new DerFault("a delta list: name the complete one");
  if (read.has(oid.issuingDistributionPoint))
    throw new DerFault("a list of a part of its issuer's certificates: name the complete one");
  const unknown = [...read].find(([, { critical }]) => critical)?.[0];
  // RFC 5280 §5.2: with a critical extension that is not understood the list says nothing about what it does not name.
  if (unknown !== undefined)
    throw new DerFault(`a list with the critical extension ${unknown}, which is not understood`);
  return { nextUpdate, entries };
}

function readEntries(entries: DerElement | undefined): ReadonlySet<string> {
  const serials = new Set<string>();
  if (entries === undefined) return serials;
  for (const entry of readDerList(entries.content, entriesMax)) {
    const [serial, date, extensions, ...more] = readDerList(readDer(entry.whole, derTag.sequence).content, 4);
    if (serial?.tag !== derTag.integer || date === undefined || more.length > 0)
      throw new DerFault("a malformed entry of a list");
    // RFC 5280 §5.3.3: an entry may speak of another issuer's certificate, and says so in a critical extension.
    if (extensions !== undefined && [...readEntryExtensions(extensions)].some(([, { critical }]) => critical))
      throw new DerFault("an entry with a critical extension, which is not understood");
    serials.add(plainSerial(Buffer.from(serial.content).toString("hex")));
  }
  return serials;
}

/** The extensions of an entry are in no tag of their own. */
function readEntryExtensions(element: DerElement): ReturnType<typeof readExtensions> {
  return readExtensions({ ...element, content: element.whole });
}

/** Zeros in front say nothing: some CAs write one more of them than others. */
function plainSerial(hex: string): string {
  return hex.replace(/^(?:00)+(?=..)/, "");
}

function nameOf(algorithm: DerElement): string {
  const [name] = readDerList(algorithm.content, 2);
  if (name?.tag !== derTag.oid) throw new DerFault("a malformed signature algorithm");
  const read = readOid(name.content);
  if (!algorithms.has(read)) throw new DerFault(`the signature algorithm ${read}, which is not accepted for lists`);
  return read;
}

interface Signed {
  readonly tbs: Uint8Array;
  readonly algorithm: string;
  /** Content of the BIT STRING: one byte that says how many bits are unused, and the signature. */
  readonly signature: Uint8Array;
}

function isSignedBy({ tbs, algorithm, signature }: Signed, issuer: Certificate): boolean {
  const accepted = algorithms.get(algorithm);
  if (accepted === undefined || signature[0] !== 0) return false;
  if (issuer.keyUsage !== null && !issuer.keyUsage.has(crlSign)) return false;
  try {
    const key = createPublicKey({ key: Buffer.from(issuer.spki), format: "der", type: "spki" });
    return key.asymmetricKeyType === accepted.key && verify(accepted.digest, tbs, key, signature.subarray(1));
  } catch {
    return false;
  }
}

/** A list is asked about with the same issuer for as long as it is in force. */
function rememberingOne(judge: (issuer: Certificate) => boolean): (issuer: Certificate) => boolean {
  let proven: Uint8Array | null = null;
  return (issuer) => {
    if (proven !== null && Buffer.compare(proven, issuer.der) === 0) return true;
    const answer = judge(issuer);
    if (answer) proven = issuer.der;
    return answer;
  };
}
