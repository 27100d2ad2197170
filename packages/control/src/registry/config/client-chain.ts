// Promises a certificate that we may show to others, with its chain in order, or what is wrong with it; a key beside it is found and named. Trusts node:crypto
// to read certificates. Specified in docs/dial.md (certificates of ours), RFC 5280 §4.2.1.12 and RFC 8446 §4.4.2.
import { X509Certificate } from "node:crypto";
import { type Attachment, pemCertificate, rotateFix } from "./attachments.ts";
import { holdsPrivateKey } from "./clear-secrets.ts";
import { type EstateIo, readNamed } from "./estate-io.ts";
import { errorAt, type Spot } from "./finding.ts";

const chainMax = 10;
const clientAuth = "1.3.6.1.5.5.7.3.2";

/** The chain as one PEM text, the leaf first. `spot` is where the file is named. */
export function readChain(io: EstateIo, spot: Spot, named: string): Attachment<string> {
  const read = readNamed(io, spot.file, named);
  if ("message" in read) return { value: "", findings: [errorAt(spot, read.message, read.fix)] };
  const say = (message: string, fix: string): Attachment<string> => ({
    value: "",
    findings: [errorAt(spot, `${read.file}: ${message}`, fix)],
  });
  if (holdsPrivateKey(read.text)) return say("a private key", rotateFix);
  const blocks = read.text.match(pemCertificate) ?? [];
  if (blocks.length === 0) return say("no PEM certificate", "name a file with `-----BEGIN CERTIFICATE-----` blocks");
  if (blocks.length > chainMax) return say(`more than ${chainMax} certificates`, "keep the leaf and what issued it");
  const chain: X509Certificate[] = [];
  for (const [index, block] of blocks.entries())
    try {
      chain.push(new X509Certificate(block));
    } catch {
      return say(`certificate ${index} cannot be read`, "export it again as PEM");
    }
  const [leaf] = chain;
  if (leaf?.ca !== false) return say("the first certificate is a CA's", "put the one made for the gateways first");
  // Absent, it may be used for everything.
  if (leaf.keyUsage !== undefined && !leaf.keyUsage.includes(clientAuth))
    return say("the certificate is not for clients", "have it issued with the extended key usage clientAuth");
  const loose = chain.findIndex((one, at) => at > 0 && !isIssuedBy(chain[at - 1], one));
  if (loose > 0)
    return say(`certificate ${loose} did not issue the one before it`, "put each issuer behind what it issued");
  return { value: `${chain.map((one) => one.toString().trim()).join("\n")}\n`, findings: [] };
}

const isIssuedBy = (one: X509Certificate | undefined, issuer: X509Certificate): boolean =>
  one?.checkIssued(issuer) === true && one.verify(issuer.publicKey);
