// Promises the marketplace estate (estate/, which is also its documentation) with the ports, keys and roots of one run.
// Trusts the files beside it. Only values change: comments and order of the YAML stay, so that what runs reads like what is documented.
import { cpSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { type Document, isMap, parseDocument } from "yaml";

export const marketplaceEnvironments = ["production", "staging"] as const;
export type MarketplaceEnvironment = (typeof marketplaceEnvironments)[number];
/** Systems that serve operations. */
export type MarketplaceProvider = "orders" | "billing" | "payments";
/** Systems with an OAuth client of the same name. */
export type MarketplaceClient = "portal" | "orders" | "billing";

export interface PublicJwks {
  readonly keys: readonly Readonly<Record<string, unknown>>[];
}

export interface EstateValues {
  /** Origin clients use. Listeners left out keep the values of estate/. */
  readonly listeners: Readonly<Partial<Record<MarketplaceEnvironment, { readonly url: string }>>>;
  /** Origin of each provider in each environment. An https one is checked against `marketplace-ca` of that environment. */
  readonly upstreams: Readonly<Record<MarketplaceEnvironment, Readonly<Record<MarketplaceProvider, string>>>>;
  /** Public keys only: a private one would make the estate refuse to serve that system. */
  readonly jwks: Readonly<Record<MarketplaceEnvironment, Readonly<Record<MarketplaceClient, PublicJwks>>>>;
  /** Public keys that the carrier signs requests with. */
  readonly courier?: PublicJwks;
  /** PEM of the CA certificate each environment trusts. */
  readonly roots: Readonly<Record<MarketplaceEnvironment, string>>;
  /** Origin of the shop front in production; left out, that of estate/ stays. */
  readonly portal?: string;
  /** Public keys of people who may use the admin API, by id. */
  readonly operators?: Readonly<Record<string, PublicJwks>>;
}

/** The one URI in the certificate of the caller that has no token. */
export function analyticsUri(environment: MarketplaceEnvironment): string {
  return `spiffe://marketplace.example/${environment}/analytics`;
}

/** Writes the estate into `dir` (made if absent). Returns the paths of the files it changed, relative to `dir`. */
export function writeEstate(dir: string, values: EstateValues): readonly string[] {
  const source = join(dirname(fileURLToPath(import.meta.url)), "estate");
  mkdirSync(dir, { recursive: true });
  cpSync(source, dir, { recursive: true });
  const written = [editYaml(dir, "sallyport.yaml", (document) => editSettings(document, values))];
  for (const provider of ["orders", "billing", "payments"] as const) {
    written.push(editYaml(dir, `systems/${provider}.yaml`, (document) => editUpstreams(document, provider, values)));
  }
  const { portal } = values;
  if (portal !== undefined)
    written.push(
      editYaml(dir, "systems/portal.yaml", (document) => {
        document.setIn(["environments", "production", "identity", "redirectUris"], [`${portal}/callback`]);
      }),
    );
  if (values.courier !== undefined)
    written.push(write(dir, "keys/production/courier.jwks.json", `${JSON.stringify(values.courier, null, 2)}\n`));
  written.push(beginTrial(dir));
  for (const environment of marketplaceEnvironments) {
    written.push(write(dir, `trust/${environment}/marketplace-ca.pem`, values.roots[environment]));
    for (const [client, jwks] of Object.entries(values.jwks[environment])) {
      written.push(write(dir, `keys/${environment}/${client}.jwks.json`, `${JSON.stringify(jwks, null, 2)}\n`));
    }
  }
  for (const [operator, jwks] of Object.entries(values.operators ?? {})) {
    written.push(write(dir, `keys/operators/${operator}.jwks.json`, `${JSON.stringify(jwks, null, 2)}\n`));
  }
  return written;
}

/** A policy on trial began when it was written down: in a run that is today. */
function beginTrial(dir: string): string {
  const file = "policies/carriers.cedar";
  const text = readFileSync(join(dir, file), "utf8");
  return write(dir, file, text.replace(/@shadow\("[^"]*"\)/, `@shadow("${new Date().toISOString().slice(0, 10)}")`));
}

function editSettings(document: Document, values: EstateValues): void {
  for (const [name, listener] of Object.entries(values.listeners)) {
    document.setIn(["listeners", name, "url"], listener.url);
  }
  const operators = Object.keys(values.operators ?? {});
  if (operators.length === 0) return;
  const declared = operators.map((operator) => [operator, { keys: [`keys/operators/${operator}.jwks.json`] }]);
  document.set("operators", document.createNode(Object.fromEntries(declared)));
}

function editUpstreams(document: Document, provider: MarketplaceProvider, values: EstateValues): void {
  for (const environment of marketplaceEnvironments) {
    const url = values.upstreams[environment][provider];
    document.setIn(["environments", environment, "url"], url);
    // The demo's providers stand on this machine: an address that is dialled only because the configuration says so.
    document.setIn(["environments", environment, "allowPrivate"], true);
    if (url.startsWith("https:"))
      document.setIn(["environments", environment, "tls"], document.createNode({ ca: "marketplace-ca" }));
  }
}

function editYaml(dir: string, file: string, edit: (document: Document) => void): string {
  const document = parseDocument(readFileSync(join(dir, file), "utf8"));
  if (document.errors.length > 0 || !isMap(document.contents))
    throw new Error(`examples/marketplace/estate/${file} is not a YAML map`);
  edit(document);
  return write(dir, file, document.toString({ lineWidth: 120 }));
}

function write(dir: string, file: string, text: string): string {
  mkdirSync(dirname(join(dir, file)), { recursive: true });
  writeFileSync(join(dir, file), text);
  return file;
}
