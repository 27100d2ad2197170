// Promises short-lived certificates of a local CA for tests of mutual TLS. Trusts kernel/x509's issuer.
// Names: DESIGN §12 Certificates.
import { generateKeyPairSync, randomBytes } from "node:crypto";
import { createLocalCa, issueLeaf, type LocalCa } from "@sallyport/kernel/x509/issue.ts";
import type { CertificateNames } from "@sallyport/kernel/x509/names.ts";
import type { ListenerOptions } from "../ports.ts";
import type { TestEstate } from "./test-estate.ts";

const random = { bytes: (length: number) => new Uint8Array(randomBytes(length)) };
const hourMs = 3_600_000;

export interface KeyedCertificate {
  readonly cert: string;
  readonly key: string;
  readonly x5t: string;
}

export function newTestCa(use: string): LocalCa {
  const now = Date.now();
  return createLocalCa({
    tenant: "main",
    environment: "production",
    random,
    notBeforeMs: now - 2 * hourMs,
    notAfterMs: now + 24 * hourMs,
    use,
  });
}

/** A client certificate for an hour, unless said otherwise; `endsMs` counts from now and may be negative. */
export function issueTestLeaf(
  ca: LocalCa,
  names: CertificateNames,
  options: { readonly usage?: "client" | "server"; readonly endsMs?: number } = {},
): KeyedCertificate {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const issued = issueLeaf({
    ca,
    publicKeySpki: publicKey.export({ format: "der", type: "spki" }),
    names,
    usage: options.usage ?? "client",
    notBeforeMs: Date.now() - hourMs,
    notAfterMs: Date.now() + (options.endsMs ?? hourMs),
    random,
  });
  return {
    cert: issued.pem + ca.certificatePem,
    key: privateKey.export({ type: "pkcs8", format: "pem" }).toString(),
    x5t: issued.x5t,
  };
}

export const ordersUri = "spiffe://main/production/orders";
export const portalUri = "spiffe://main/production/portal";

/** The estate, in which orders and portal are also known by a certificate of `ca`, under the bundle `workloads`. */
export function withCertificates(estate: TestEstate, ca: LocalCa): TestEstate {
  const uris: Readonly<Record<string, string>> = { orders: ordersUri, portal: portalUri };
  return {
    ...estate,
    systems: estate.systems.map((system) => {
      const value = uris[system.id];
      return value === undefined
        ? system
        : { ...system, certificates: [{ trust: "workloads", kind: "uri" as const, value }] };
    }),
    trust: [{ name: "workloads", roots: [ca.certificatePem] }],
  };
}

/** A TLS listener for `localhost`, under a certificate of `ca`. */
export function tlsListener(ca: LocalCa): ListenerOptions {
  const { cert, key } = issueTestLeaf(ca, { dns: ["localhost"] }, { usage: "server" });
  return { name: "public", host: "127.0.0.1", port: 0, tls: { cert, key }, url: "https://localhost" };
}
