// Promises PEM with one spelling when writing (RFC 7468 §2, final newline) and only whole certificates when reading. Trusts nothing.

export const pemCertificatesMax = 512;

/** PEM with 64 characters a line and a final newline, so that files can be joined. */
export function printPem(label: "CERTIFICATE" | "PRIVATE KEY" | "PUBLIC KEY" | "X509 CRL", bytes: Uint8Array): string {
  const lines =
    Buffer.from(bytes)
      .toString("base64")
      .match(/.{1,64}/g) ?? [];
  return `-----BEGIN ${label}-----\n${lines.join("\n")}\n-----END ${label}-----\n`;
}

/** The DER of every certificate of a PEM text, in order; other text between blocks is skipped. Throws TypeError for a broken block. */
export function parsePemCertificates(pem: string): readonly Uint8Array[] {
  return parsePem(pem, { label: "CERTIFICATE", what: "a certificate block", plural: "certificates" });
}

/** The same of revocation lists (RFC 7468 §7). */
export function parsePemRevocationLists(pem: string): readonly Uint8Array[] {
  return parsePem(pem, { label: "X509 CRL", what: "a revocation list block", plural: "revocation lists" });
}

function parsePem(
  pem: string,
  { label, what, plural }: { readonly label: string; readonly what: string; readonly plural: string },
): readonly Uint8Array[] {
  const [begin, end] = [`-----BEGIN ${label}-----`, `-----END ${label}-----`];
  const blocks = pem.match(new RegExp(`${begin}[^-]*${end}`, "g")) ?? [];
  const begins = pem.split(begin).length - 1;
  if (begins !== blocks.length) throw new TypeError(`${what} in the PEM text has no end`);
  if (blocks.length > pemCertificatesMax)
    throw new TypeError(`more than ${pemCertificatesMax} ${plural} in one PEM text`);
  return blocks.map((block) => {
    const text = block.replace(/-----[^-]*-----/g, "").replace(/[\r\n\t ]/g, "");
    const bytes = Buffer.from(text, "base64");
    if (bytes.length === 0 || bytes.toString("base64") !== text) {
      throw new TypeError(`${what} in the PEM text is not base64`);
    }
    return new Uint8Array(bytes);
  });
}
