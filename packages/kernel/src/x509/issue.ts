// Promises certificates that say exactly what the caller's policy says: of a request only the public key is taken (OpenBao
// GHSA-g892-p242-8g86). Trusts the CA's private key and the random port. Profile: RFC 5280, X.509-SVID §4.
import type { KeyObject } from "node:crypto";
import { createHash, createPrivateKey, createPublicKey, generateKeyPairSync, sign } from "node:crypto";
import type { Random } from "../ports.ts";
import type { Certificate } from "./certificate.ts";
import { certificateThumbprint, readCertificate } from "./certificate.ts";
import { der, derBits, derInteger, derOid, derTag, derTime } from "./der.ts";
import type { CertificateNames } from "./names.ts";
import { printNames } from "./names.ts";
import { oid } from "./oids.ts";
import { parsePemCertificates, printPem } from "./pem.ts";

/** Every certificate starts this much before it is asked to, for clocks that run behind. */
export const backdateMs = 10_000;
export const serialBytes = 16;

/** `profile` and `expired-ca` are the caller's to prevent; `ca-mismatch` means the files of a CA do not belong together. */
export class IssueFault extends Error {
  readonly code: "profile" | "expired-ca" | "ca-mismatch";
  readonly publicText = "The certificate could not be issued";

  constructor(code: IssueFault["code"], message: string) {
    super(message);
    this.name = "IssueFault";
    this.code = code;
  }
}

export interface LocalCa {
  readonly certificate: Certificate;
  readonly certificatePem: string;
  readonly key: KeyObject;
}

interface Body {
  readonly serial: Uint8Array;
  readonly issuer: Uint8Array;
  readonly subject: Uint8Array;
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
  readonly spki: Uint8Array;
  readonly extensions: readonly Uint8Array[];
}

const signatureAlgorithm = der(derTag.sequence, derOid(oid.ecdsaWithSha256));
const yes = der(derTag.boolean, Uint8Array.of(0xff));

function extension(id: string, value: Uint8Array, critical = false): Uint8Array {
  const parts = [derOid(id), ...(critical ? [yes] : []), der(derTag.octetString, value)];
  return der(derTag.sequence, ...parts);
}

/** RFC 7093 §2 method 1: the leftmost 160 bits of SHA-256 over the key's bits. */
function keyIdentifier(spki: Uint8Array): Uint8Array {
  return createHash("sha256").update(spki).digest().subarray(0, 20);
}

function signCertificate(body: Body, key: KeyObject): Uint8Array {
  const tbs = der(
    derTag.sequence,
    der(0xa0, derInteger(Uint8Array.of(2))),
    derInteger(body.serial),
    signatureAlgorithm,
    body.issuer,
    der(derTag.sequence, derTime(body.notBeforeMs), derTime(body.notAfterMs)),
    body.subject,
    body.spki,
    der(0xa3, der(derTag.sequence, ...body.extensions)),
  );
  return new Uint8Array(der(derTag.sequence, tbs, signatureAlgorithm, derBits(sign("sha256", tbs, key))));
}

/** 16 random bytes, positive and never zero (RFC 5280 §4.1.2.2). */
function newSerial(random: Random): Uint8Array {
  const bytes = random.bytes(serialBytes);
  bytes[0] = ((bytes[0] ?? 0) & 0x7f) | 0x40;
  return bytes;
}

export interface LocalCaOptions {
  readonly tenant: string;
  readonly environment: string;
  readonly random: Random;
  /** Milliseconds since the epoch. */
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
  /** What stands after tenant and environment in the CA's name; default `workloads`. */
  readonly use?: string;
}

/** A self-signed ES256 root for one environment, path length 0. The private key is made here and is in `key`. */
export function createLocalCa(options: LocalCaOptions): LocalCa {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const spki = publicKey.export({ format: "der", type: "spki" });
  const commonName = `Sallyport ${options.tenant}/${options.environment} ${options.use ?? "workloads"}`;
  const attribute = der(
    derTag.sequence,
    derOid(oid.commonName),
    der(derTag.utf8String, Buffer.from(commonName, "utf8")),
  );
  const name = der(derTag.sequence, der(derTag.set, attribute));
  const bytes = signCertificate(
    {
      serial: newSerial(options.random),
      issuer: name,
      subject: name,
      notBeforeMs: options.notBeforeMs - backdateMs,
      notAfterMs: options.notAfterMs,
      spki,
      extensions: [
        extension(oid.basicConstraints, der(derTag.sequence, yes, derInteger(Uint8Array.of(0))), true),
        extension(oid.keyUsage, derBits(Uint8Array.of(0x06), 1), true), // keyCertSign, cRLSign
        extension(oid.subjectKeyIdentifier, der(derTag.octetString, keyIdentifier(spki))),
      ],
    },
    privateKey,
  );
  return { certificate: readCertificate(bytes), certificatePem: printPem("CERTIFICATE", bytes), key: privateKey };
}

/** The private key as PKCS#8 DER, for sealing into the store. Overwrite it after use. */
export function exportCaKey(ca: LocalCa): Uint8Array {
  return ca.key.export({ format: "der", type: "pkcs8" });
}

/** A CA from its stored certificate and PKCS#8 key. Faults: IssueFault `ca-mismatch` when they do not belong together. */
export function loadLocalCa(certificatePem: string, pkcs8: Uint8Array): LocalCa {
  const [bytes, ...more] = parsePemCertificates(certificatePem);
  const key = createPrivateKey({ key: Buffer.from(pkcs8), format: "der", type: "pkcs8" });
  const spki = createPublicKey(key).export({ format: "der", type: "spki" });
  const certificate = bytes && readCertificate(bytes);
  if (!certificate?.ca || more.length > 0 || Buffer.compare(certificate.spki, spki) !== 0) {
    throw new IssueFault(
      "ca-mismatch",
      "the CA certificate and the CA key do not belong together; restore both from the same backup",
    );
  }
  return { certificate, certificatePem, key };
}

export interface LeafOptions {
  readonly ca: LocalCa;
  /** DER. EC P-256 or P-384, Ed25519, or RSA from 2048 bits. */
  readonly publicKeySpki: Uint8Array;
  readonly names: CertificateNames;
  readonly usage: "client" | "server" | "both";
  /** Milliseconds since the epoch; the certificate starts `backdateMs` earlier. */
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
  readonly random: Random;
}

export interface IssuedLeaf {
  readonly der: Uint8Array;
  readonly pem: string;
  /** Lower-case hex. */
  readonly serial: string;
  /** RFC 8705 thumbprint, base64url. */
  readonly x5t: string;
  readonly notAfterMs: number;
}

/** The key as OpenSSL prints it again, so that nothing but a key of a kind we trust gets into a certificate. */
function checkedSpki(bytes: Uint8Array): Uint8Array {
  const refuse = (): never => {
    throw new IssueFault("profile", "the public key is not EC P-256, EC P-384, Ed25519 or RSA of at least 2048 bits");
  };
  let key: KeyObject;
  try {
    key = createPublicKey({ key: Buffer.from(bytes), format: "der", type: "spki" });
  } catch {
    return refuse();
  }
  const { namedCurve = "", modulusLength = 0 } = key.asymmetricKeyDetails ?? {};
  const type = key.asymmetricKeyType;
  const good =
    (type === "ec" && ["prime256v1", "secp384r1"].includes(namedCurve)) ||
    type === "ed25519" ||
    (type === "rsa" && modulusLength >= 2048 && modulusLength <= 8192);
  return good ? key.export({ format: "der", type: "spki" }) : refuse();
}

/**
 * Issues one leaf: cA=false, digitalSignature, the usages asked for, an empty subject and therefore critical SANs.
 * Throws TypeError for names outside the plain forms. Faults: IssueFault `profile`, `expired-ca` (a leaf may not outlive its CA).
 */
export function issueLeaf(options: LeafOptions): IssuedLeaf {
  const { ca } = options;
  // Certificates hold whole seconds; the CA's own end was cut the same way.
  const notAfterMs = Math.floor(options.notAfterMs / 1000) * 1000;
  const spki = checkedSpki(options.publicKeySpki);
  const notBeforeMs = Math.max(options.notBeforeMs - backdateMs, ca.certificate.notBeforeMs);
  if (!(notBeforeMs < notAfterMs)) throw new IssueFault("profile", "a certificate must end after it starts");
  if (notAfterMs > ca.certificate.notAfterMs) {
    throw new IssueFault("expired-ca", "the certificate would outlive its CA; rotate the CA or ask for a shorter life");
  }
  const usages =
    options.usage === "both"
      ? [oid.serverAuth, oid.clientAuth]
      : [options.usage === "client" ? oid.clientAuth : oid.serverAuth];
  const serial = newSerial(options.random);
  const bytes = signCertificate(
    {
      serial,
      issuer: ca.certificate.subject,
      subject: der(derTag.sequence),
      notBeforeMs,
      notAfterMs,
      spki,
      extensions: [
        extension(oid.basicConstraints, der(derTag.sequence), true),
        extension(oid.keyUsage, derBits(Uint8Array.of(0x80), 7), true),
        extension(oid.extendedKeyUsage, der(derTag.sequence, ...usages.map(derOid))),
        extension(oid.subjectAltName, printNames(options.names), true),
        extension(oid.authorityKeyIdentifier, der(derTag.sequence, der(0x80, keyIdentifier(ca.certificate.spki)))),
        extension(oid.subjectKeyIdentifier, der(derTag.octetString, keyIdentifier(spki))),
      ],
    },
    ca.key,
  );
  const { serial: printed } = readCertificate(bytes);
  return {
    der: bytes,
    pem: printPem("CERTIFICATE", bytes),
    serial: printed,
    x5t: certificateThumbprint(bytes),
    notAfterMs,
  };
}
