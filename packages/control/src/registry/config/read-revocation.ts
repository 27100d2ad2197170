// Promises the revocation lists of a trust bundle as checked DER: complete ones, that whoever issued them signed where that is a root of the bundle.
// Trusts kernel/x509 to read them. Source: RFC 5280 §5.
import { readCertificate } from "@sallyport/kernel/x509/certificate.ts";
import { DerFault } from "@sallyport/kernel/x509/der.ts";
import { parsePemCertificates, parsePemRevocationLists } from "@sallyport/kernel/x509/pem.ts";
import { type RevocationList, readRevocationList } from "@sallyport/kernel/x509/revocation-list.ts";
import { type Attachment, rotateFix } from "./attachments.ts";
import { attachmentBytesMax, itemsMax } from "./bounds.ts";
import { holdsPrivateKey } from "./clear-secrets.ts";
import type { RevocationConfig } from "./estate.ts";
import { type EstateIo, readNamed } from "./estate-io.ts";
import type { TrustSource } from "./estate-schema.ts";
import { errorAt, placeOf, type Spot } from "./finding.ts";
import { type MapTree, spotOf } from "./yaml-tree.ts";

/** What a trust file says under `revocation`, with the lists it names. */
export function readRevocation(
  io: EstateIo,
  tree: MapTree,
  {
    revocation,
    roots,
  }: { readonly revocation: NonNullable<TrustSource["revocation"]>; readonly roots: readonly string[] },
): Attachment<RevocationConfig> {
  const read = revocation.lists.map((named, index) =>
    readLists(io, spotOf(tree, ["revocation", "lists", index]), { named, roots }),
  );
  const spot = spotOf(tree, ["revocation"], "key");
  const lists = [...new Set(read.flatMap(({ value }) => value))].sort();
  const findings = read.flatMap((attachment) => attachment.findings);
  const bytes = lists.reduce((sum, list) => sum + list.length, 0);
  if (bytes > (attachmentBytesMax * 4) / 3)
    findings.push(
      errorAt(spot, `lists of more than ${attachmentBytesMax} bytes in all`, "have the CA leave out what has ended"),
    );
  return { value: { lists, required: revocation.required, declaredAt: placeOf(spot) }, findings };
}

/** Base64 of the DER of every list of a PEM file. */
function readLists(
  io: EstateIo,
  spot: Spot,
  { named, roots }: { readonly named: string; readonly roots: readonly string[] },
): Attachment<string[]> {
  const read = readNamed(io, spot.file, named);
  const say = (message: string, fix: string): Attachment<string[]> => ({
    value: [],
    findings: [errorAt(spot, message, fix)],
  });
  const asPem = "write it as PEM: openssl crl -inform DER -in <list> -out <list>.pem";
  if ("message" in read) return say(read.message, read.message.includes("UTF-8") ? asPem : read.fix);
  if (holdsPrivateKey(read.text)) return say(`${read.file}: a private key`, rotateFix);
  try {
    const blocks = parsePemRevocationLists(read.text);
    if (blocks.length === 0) return say(`${read.file}: no PEM revocation list`, asPem);
    if (blocks.length > itemsMax)
      return say(`${read.file}: more than ${itemsMax} lists`, "name those that are in force");
    for (const block of blocks) {
      const forged = isForged(readRevocationList(block), roots);
      if (forged)
        return say(`${read.file}: a list in the name of a root that did not sign it`, "get it from the CA again");
    }
    return { value: blocks.map((block) => Buffer.from(block).toString("base64")), findings: [] };
  } catch (error) {
    if (!(error instanceof DerFault || error instanceof TypeError)) throw error;
    return say(`${read.file}: ${error.message}`, "export the CA's complete list again: openssl ca -gencrl");
  }
}

/** Lists of CAs below a root are judged where their certificates are shown. */
function isForged(list: RevocationList, roots: readonly string[]): boolean {
  const named = roots
    .flatMap(parsePemCertificates)
    .map(readCertificate)
    .filter(({ subject }) => Buffer.compare(subject, list.issuer) === 0);
  return named.length > 0 && !named.some((root) => list.isSignedBy(root));
}
