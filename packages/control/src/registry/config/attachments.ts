// Promises the files that an object names (JWKS, PEM roots, JSON Schema) as checked, public values.
// Trusts node:crypto to parse keys and certificates. Sources: RFC 7517, RFC 7518, RFC 8037, RFC 5280, JSON Schema 2020-12.
import { createPublicKey, hash, X509Certificate } from "node:crypto";
import { itemsMax } from "./bounds.ts";
import { holdsPrivateKey } from "./clear-secrets.ts";
import type { PublicJwk } from "./estate.ts";
import { type EstateIo, noSuchFile, readNamed } from "./estate-io.ts";
import { errorAt, type Finding, type Spot } from "./finding.ts";
import { parseYaml, plainOf } from "./yaml-tree.ts";

export interface Attachment<T> {
  readonly value: T;
  readonly findings: readonly Finding[];
}

const privateMembers = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];
export const pemCertificate = /-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----/g;
export const rotateFix =
  "this key is now known to everyone who can read the estate: make a new pair, put only its public half here, and revoke the old one";

/** The public keys of a JWKS file. `spot` is where the file is named. */
export function readJwks(io: EstateIo, spot: Spot, named: string): Attachment<PublicJwk[]> {
  const read = readNamed(io, spot.file, named);
  if ("message" in read) {
    const make = `; \`sallyport client-key new --private <file> --public ${named}\` makes a pair`;
    const fix = read.message === noSuchFile ? `${read.fix}${make}` : read.fix;
    return { value: [], findings: [errorAt(spot, read.message, fix)] };
  }
  const say = (message: string, fix: string): Attachment<PublicJwk[]> => ({
    value: [],
    findings: [errorAt(spot, `${read.file}: ${message}`, fix)],
  });
  if (holdsPrivateKey(read.text)) return say("a private key", rotateFix);
  let parsed: unknown;
  try {
    parsed = JSON.parse(read.text);
  } catch {
    return say("not JSON", 'write a JWKS: {"keys": [ … ]}');
  }
  const keys: unknown = isObject(parsed) && Object.hasOwn(parsed, "keys") ? parsed["keys"] : null;
  if (!Array.isArray(keys) || keys.length === 0)
    return say("not a JWKS", 'write {"keys": [ … ]} with at least one public key (RFC 7517 §5)');
  if (keys.length > itemsMax) return say(`more than ${itemsMax} keys`, "remove keys that are no longer used");
  const value: PublicJwk[] = [];
  for (const [index, key] of keys.entries()) {
    const read = readPublicJwk(key);
    if ("message" in read) return say(`key ${index}: ${read.message}`, read.fix);
    value.push(read.jwk);
  }
  return { value, findings: [] };
}

function readPublicJwk(key: unknown): { jwk: PublicJwk } | { message: string; fix: string } {
  if (!isObject(key)) return { message: "not a JWK", fix: "write an object with `kty`" };
  if (key["kty"] === "oct") return { message: "a symmetric key, which is a secret", fix: rotateFix };
  if (privateMembers.some((member) => Object.hasOwn(key, member))) return { message: "a private key", fix: rotateFix };
  const curve = `${String(key["kty"])} ${String(key["crv"])}`;
  const members =
    curve === "EC P-256" ? ["crv", "kty", "x", "y"] : curve === "OKP Ed25519" ? ["crv", "kty", "x"] : null;
  const useFix = "use an EC P-256 key (ES256) or an OKP Ed25519 key (EdDSA)";
  if (members === null) return { message: "a key type that is not accepted", fix: useFix };
  const jwk: Record<string, string> = {};
  for (const member of [...members, "kid", "alg", "use"]) {
    const value = key[member];
    if (typeof value === "string") jwk[member] = value;
  }
  const alg = jwk["alg"];
  if (alg !== undefined && alg !== (members.length === 4 ? "ES256" : "EdDSA") && alg !== "Ed25519")
    return { message: "`alg` does not fit the key", fix: useFix };
  if (jwk["use"] !== undefined && jwk["use"] !== "sig")
    return { message: "`use` is not `sig`", fix: "use a key made for signatures" };
  try {
    createPublicKey({ key: jwk, format: "jwk" });
  } catch {
    return { message: "not a valid point of its curve", fix: "export the public key again" };
  }
  return { jwk };
}

/** The CA certificates of a PEM file, each as its own PEM. */
export function readRoots(io: EstateIo, spot: Spot, named: string): Attachment<string[]> {
  const read = readNamed(io, spot.file, named);
  if ("message" in read) return { value: [], findings: [errorAt(spot, read.message, read.fix)] };
  const say = (message: string, fix: string): Attachment<string[]> => ({
    value: [],
    findings: [errorAt(spot, `${read.file}: ${message}`, fix)],
  });
  if (holdsPrivateKey(read.text)) return say("a private key", rotateFix);
  const blocks = read.text.match(pemCertificate) ?? [];
  if (blocks.length === 0) return say("no PEM certificate", "name a file with `-----BEGIN CERTIFICATE-----` blocks");
  if (blocks.length > itemsMax) return say(`more than ${itemsMax} certificates`, "trust fewer roots");
  const value: string[] = [];
  for (const [index, block] of blocks.entries()) {
    let certificate: X509Certificate;
    try {
      certificate = new X509Certificate(block);
    } catch {
      return say(`certificate ${index} cannot be read`, "export it again as PEM");
    }
    // RFC 5280 §4.2.1.9: only a CA may end a chain; a leaf here would make its holder a root.
    if (!certificate.ca) return say(`certificate ${index} is not a CA certificate`, "name the CA that issued it");
    value.push(certificate.toString().trim());
  }
  return { value, findings: [] };
}

/** SHA-256 (base64url) of every certificate of a PEM file. */
export function readCertificates(io: EstateIo, spot: Spot, named: string): Attachment<string[]> {
  const read = readNamed(io, spot.file, named);
  if ("message" in read) return { value: [], findings: [errorAt(spot, read.message, read.fix)] };
  const say = (message: string, fix: string): Attachment<string[]> => ({
    value: [],
    findings: [errorAt(spot, `${read.file}: ${message}`, fix)],
  });
  if (holdsPrivateKey(read.text)) return say("a private key", rotateFix);
  const blocks = read.text.match(pemCertificate) ?? [];
  if (blocks.length === 0) return say("no PEM certificate", "name a file with `-----BEGIN CERTIFICATE-----` blocks");
  if (blocks.length > itemsMax) return say(`more than ${itemsMax} certificates`, "keep those that are in use");
  const value: string[] = [];
  for (const [index, block] of blocks.entries()) {
    try {
      // Compared whole, so what it says of itself (a CA, as openssl makes them by default) gives nobody anything.
      const certificate = new X509Certificate(block);
      value.push(hash("sha256", certificate.raw, "base64url"));
    } catch {
      return say(`certificate ${index} cannot be read`, "export it again as PEM");
    }
  }
  return { value, findings: [] };
}

/** A JSON Schema file, JSON or YAML, as plain data. */
export function readSchemaFile(io: EstateIo, spot: Spot, named: string): Attachment<unknown> {
  const read = readNamed(io, spot.file, named);
  if ("message" in read) return { value: null, findings: [errorAt(spot, read.message, read.fix)] };
  if (/\.ya?ml$/.test(read.file)) {
    const parsed = parseYaml(read.file, read.text);
    return { value: parsed.root === null ? null : plainOf(parsed.root), findings: parsed.findings };
  }
  try {
    const value: unknown = JSON.parse(read.text);
    if (!isObject(value))
      return { value: null, findings: [errorAt(spot, `${read.file}: not a JSON Schema`, "write an object")] };
    return { value, findings: [] };
  } catch {
    return {
      value: null,
      findings: [errorAt(spot, `${read.file}: not JSON`, "check it with a JSON tool, or name it .yaml")],
    };
  }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
