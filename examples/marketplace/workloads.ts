// Promises every workload of the marketplace its own credentials, made at start and gone with the run: a CA per environment, client keys,
// the certificate of the caller that has no token. Trusts kernel/x509. Nothing here is known to Sallyport but public halves and roots.
import { generateKeyPairSync, randomBytes } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { createLocalCa, issueLeaf, type LocalCa } from "@sallyport/kernel/x509/issue.ts";
import type { CertificateNames } from "@sallyport/kernel/x509/names.ts";
import { type ClientKey, generateClientKey, publicJwks } from "@sallyport/sdk/node-crypto.ts";
import type { CourierKey } from "./courier.ts";
import { analyticsUri, type MarketplaceClient, type MarketplaceEnvironment, type PublicJwks } from "./estate.ts";

const lifetimeMs = 24 * 3_600_000;
const random = { bytes: (length: number) => new Uint8Array(randomBytes(length)) };

export interface KeyedCertificate {
  /** PEM. */
  readonly cert: string;
  readonly key: string;
}

export interface Workloads {
  readonly root: string;
  readonly clients: Readonly<Record<MarketplaceClient, ClientKey>>;
  readonly analytics: KeyedCertificate & { readonly certFile: string; readonly keyFile: string };
  /** Of the payment provider's server, and of the portal's. */
  readonly payments: KeyedCertificate;
  readonly portal: KeyedCertificate;
  readonly jwks: Readonly<Record<MarketplaceClient, PublicJwks>>;
  readonly courier: CourierKey & { readonly jwks: PublicJwks };
}

/** Makes the credentials of one environment; `directory` gets the two files that curl reads. */
export function createWorkloads(environment: MarketplaceEnvironment, directory: string): Workloads {
  const nowMs = Date.now();
  const ca = createLocalCa({
    tenant: "main",
    environment,
    random,
    notBeforeMs: nowMs,
    notAfterMs: nowMs + 2 * lifetimeMs,
    use: "marketplace",
  });
  const clients = { portal: generateClientKey(), orders: generateClientKey(), billing: generateClientKey() };
  const analytics = certify(ca, { uri: analyticsUri(environment) }, "client");
  const certFile = join(directory, `analytics-${environment}.pem`);
  const keyFile = join(directory, `analytics-${environment}.key.pem`);
  writeFileSync(certFile, analytics.cert);
  writeFileSync(keyFile, analytics.key, { mode: 0o600 });
  const jwksOf = (client: MarketplaceClient) => publicJwks([clients[client].signer]);
  return {
    root: ca.certificatePem,
    clients,
    analytics: { ...analytics, certFile, keyFile },
    payments: certify(ca, { dns: ["localhost"], ip: ["127.0.0.1"] }, "server"),
    portal: certify(ca, { dns: ["localhost"], ip: ["127.0.0.1"] }, "server"),
    jwks: { portal: jwksOf("portal"), orders: jwksOf("orders"), billing: jwksOf("billing") },
    courier: createCourier(environment),
  };
}

function createCourier(environment: MarketplaceEnvironment): Workloads["courier"] {
  const { privateKey, publicKey } = generateKeyPairSync("ed25519");
  const id = `courier-${environment}`;
  return { id, privateKey, jwks: { keys: [{ ...publicKey.export({ format: "jwk" }), kid: id }] } };
}

function certify(ca: LocalCa, names: CertificateNames, usage: "client" | "server"): KeyedCertificate {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const nowMs = Date.now();
  const leaf = issueLeaf({
    ca,
    publicKeySpki: publicKey.export({ format: "der", type: "spki" }),
    names,
    usage,
    notBeforeMs: nowMs,
    notAfterMs: nowMs + lifetimeMs,
    random,
  });
  return { cert: leaf.pem, key: privateKey.export({ format: "pem", type: "pkcs8" }).toString() };
}
