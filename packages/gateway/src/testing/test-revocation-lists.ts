// Promises complete revocation lists of a local CA for tests: what it took back, from when and until when. Trusts kernel/x509's DER writer.
// Specified in RFC 5280 §5.1.
import { sign, X509Certificate } from "node:crypto";
import { der, derBits, derInteger, derOid, derTag, derTime } from "@sallyport/kernel/x509/der.ts";
import type { LocalCa } from "@sallyport/kernel/x509/issue.ts";
import { oid } from "@sallyport/kernel/x509/oids.ts";
import { printPem } from "@sallyport/kernel/x509/pem.ts";

const hourMs = 3_600_000;

export interface TestListOptions {
  /** Serial numbers, hex. */
  readonly serials?: readonly string[];
  /** From now; may be negative. */
  readonly startsMs?: number;
  readonly endsMs?: number;
}

/** DER. In force from an hour ago for an hour from now, unless said otherwise. */
export function signTestList(ca: LocalCa, options: TestListOptions = {}): Uint8Array {
  const { serials = [], startsMs = -hourMs, endsMs = hourMs } = options;
  const now = Date.now();
  const algorithm = der(derTag.sequence, derOid(oid.ecdsaWithSha256));
  const entries = serials.map((serial) =>
    der(derTag.sequence, derInteger(Buffer.from(serial, "hex")), derTime(now - hourMs)),
  );
  const tbs = der(
    derTag.sequence,
    derInteger(Uint8Array.of(1)),
    algorithm,
    ca.certificate.subject,
    derTime(now + startsMs),
    derTime(now + endsMs),
    // RFC 5280 §5.1.2.6: no empty sequence.
    ...(entries.length === 0 ? [] : [der(derTag.sequence, ...entries)]),
  );
  return new Uint8Array(der(derTag.sequence, tbs, algorithm, derBits(sign("sha256", tbs, ca.key))));
}

export const testListPem = (ca: LocalCa, options?: TestListOptions): string =>
  printPem("X509 CRL", signTestList(ca, options));

/** As a snapshot carries it. */
export const testListBase64 = (ca: LocalCa, options?: TestListOptions): string =>
  Buffer.from(signTestList(ca, options)).toString("base64");

/** Serial number of a PEM certificate, hex. */
export const serialOf = ({ cert }: { readonly cert: string }): string => new X509Certificate(cert).serialNumber;
