// Promises what lint says about the example estate with some files laid over it, as on 2026-11-22. Trusts node:crypto and the DER writer for keys and roots.
import { generateKeyPairSync, randomBytes, sign } from "node:crypto";
import { createSliceCompiler } from "@sallyport/kernel/policy/compile-slice.ts";
import { der, derBits, derOid, derTag, derTime } from "@sallyport/kernel/x509/der.ts";
import { createLocalCa, issueLeaf } from "@sallyport/kernel/x509/issue.ts";
import { printPem } from "@sallyport/kernel/x509/pem.ts";
import { memoryEstateIo } from "../config/estate-io.ts";
import { loadEstateFrom } from "../config/load.ts";
import { exampleEstate } from "./example-estate.ts";
import { lintEstate } from "./lint-estate.ts";
import type { LintFinding } from "./lint-finding.ts";

export const lintNow = Date.parse("2026-11-22T00:00:00Z");
const compiler = createSliceCompiler();

function jwks(...kids: (string | undefined)[]): string {
  const keys = kids.map((kid) => ({
    ...generateKeyPairSync("ec", { namedCurve: "P-256" }).publicKey.export({ format: "jwk" }),
    ...(kid === undefined ? {} : { kid }),
  }));
  return JSON.stringify({ keys });
}

type Kind = "p256" | "rsa1024" | "sha1";

const algorithms: Readonly<Record<Kind, { readonly hash: string; readonly oid: string }>> = {
  p256: { hash: "sha256", oid: "1.2.840.10045.4.3.2" },
  rsa1024: { hash: "sha256", oid: "1.2.840.113549.1.1.11" },
  sha1: { hash: "sha1", oid: "1.2.840.113549.1.1.5" },
};

/** A self-signed CA certificate (RFC 5280 §4.1), good but for its kind. */
function root(name: string, until: string, kind: Kind = "p256"): string {
  const { privateKey, publicKey } =
    kind === "p256"
      ? generateKeyPairSync("ec", { namedCurve: "P-256" })
      : generateKeyPairSync("rsa", { modulusLength: kind === "rsa1024" ? 1024 : 2048 });
  const { hash, oid } = algorithms[kind];
  const algorithm = der(derTag.sequence, derOid(oid));
  const text = der(derTag.utf8String, Buffer.from(name));
  const named = der(derTag.sequence, der(derTag.set, der(derTag.sequence, derOid("2.5.4.3"), text)));
  const isCa = der(derTag.sequence, der(derTag.boolean, Buffer.from([0xff])));
  const critical = der(derTag.boolean, Buffer.from([0xff]));
  const constraints = der(derTag.sequence, derOid("2.5.29.19"), critical, der(derTag.octetString, isCa));
  const body = der(
    derTag.sequence,
    der(0xa0, der(derTag.integer, Buffer.from([2]))),
    der(derTag.integer, Buffer.from([1])),
    algorithm,
    named,
    der(derTag.sequence, derTime(Date.parse("2024-01-01")), derTime(Date.parse(until))),
    named,
    publicKey.export({ format: "der", type: "spki" }),
    der(0xa3, der(derTag.sequence, constraints)),
  );
  return printPem("CERTIFICATE", der(derTag.sequence, body, algorithm, derBits(sign(hash, body, privateKey))));
}

const roots: Readonly<Record<string, string>> = {
  "trust/acme.pem": root("Acme", "2036-01-01"),
  "trust/other.pem": root("Other", "2036-01-01"),
  "trust/expired.pem": root("Expired", "2026-11-01"),
  "trust/ending.pem": root("Ending", "2026-12-31"),
  "trust/weak.pem": root("Weak", "2036-01-01", "rsa1024"),
  "trust/sha1.pem": root("Old hash", "2036-01-01", "sha1"),
  "trust/public.pem": Array.from({ length: 11 }, (_, n) => root(`Public ${n}`, "2036-01-01")).join(""),
};

/** A certificate that a partner issued for gateways; it lives for a year. */
function shown(until: string): string {
  const random = { bytes: (length: number) => new Uint8Array(randomBytes(length)) };
  const notAfterMs = Date.parse(until);
  const life = { notBeforeMs: notAfterMs - 365 * 86_400_000, notAfterMs };
  const ca = createLocalCa({ tenant: "main", environment: "partner", random, ...life });
  const { publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const publicKeySpki = publicKey.export({ format: "der", type: "spki" });
  return issueLeaf({ ca, publicKeySpki, names: { uri: "spiffe://acme/gateway" }, usage: "client", random, ...life })
    .pem;
}

const attachments: Readonly<Record<string, string>> = {
  "systems/orders.jwks.json": jwks(undefined),
  "systems/shop.jwks.json": jwks(undefined),
  "systems/ben.jwks.json": jwks(undefined),
  "systems/four.jwks.json": jwks("a", "b", "c", "d"),
  "systems/old.jwks.json": jwks("orders-2024-03"),
  "systems/ours.pem": shown("2027-10-01"),
  "systems/ending.pem": shown("2026-12-10"),
  "systems/ended.pem": shown("2026-11-01"),
  ...roots,
};

/** Findings of the example estate with these files in place of its own. */
export function lintFiles(files: Readonly<Record<string, string>>, now = lintNow): readonly LintFinding[] {
  const io = memoryEstateIo({ ...exampleEstate, ...attachments, ...files }, () => now);
  return lintEstate(loadEstateFrom(io), compiler, now);
}
