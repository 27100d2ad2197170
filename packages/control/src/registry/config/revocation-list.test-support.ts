// Promises revocation lists of a local CA as a CA's own program would publish them. Trusts a library that is not ours to write them.
import { webcrypto } from "node:crypto";
import { exportCaKey, type LocalCa } from "@sallyport/kernel/x509/issue.ts";
import { oracle } from "@sallyport/kernel/x509/oracle.test-support.ts";
import { printPem } from "@sallyport/kernel/x509/pem.ts";

const ecdsa = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };

/** PEM. Milliseconds since the epoch. */
export async function listOf(
  ca: LocalCa,
  {
    fromMs,
    untilMs,
    signedBy = ca,
  }: { readonly fromMs: number; readonly untilMs: number; readonly signedBy?: LocalCa },
): Promise<string> {
  const key = Buffer.from(exportCaKey(signedBy));
  const made = await oracle.X509CrlGenerator.create({
    issuer: new oracle.X509Certificate(ca.certificatePem).subjectName,
    thisUpdate: new Date(fromMs),
    nextUpdate: new Date(untilMs),
    entries: [{ serialNumber: "4242", revocationDate: new Date(fromMs) }],
    signingKey: await webcrypto.subtle.importKey("pkcs8", key, ecdsa, false, ["sign"]),
    signingAlgorithm: ecdsa,
  });
  return printPem("X509 CRL", new Uint8Array(made.rawData));
}
