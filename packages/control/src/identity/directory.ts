// Promises what the token endpoint may know of the registry: clients with their keys, and the active grants between systems.
// Trusts the compiled objects of one (tenant, environment) it is built from. Words: DESIGN "system", "integration"; RFC 8707 for audiences.
import type { ProofKind } from "@sallyport/protocol/principal.ts";
import type { CertificateIdentity, IntegrationObject, SystemObject } from "@sallyport/protocol/snapshot/objects.ts";

/** A public key a client may sign assertions with. */
export interface ClientKey {
  readonly jwk: Readonly<Record<string, unknown>>;
  /** Milliseconds since the epoch; absent: no bound. */
  readonly notBeforeMs?: number;
  readonly notAfterMs?: number;
}

export interface IdentityClient {
  /** The YAML word; `client_id` and `sub`. */
  readonly id: string;
  /** The one system it belongs to. */
  readonly system: string;
  readonly keys: readonly ClientKey[];
  /** Certificate identities of its system; empty: its tokens cannot be bound to a certificate. */
  readonly certificates: readonly CertificateIdentity[];
}

/** One active integration, as far as tokens are concerned. */
export interface IdentityGrant {
  readonly integration: string;
  /** Full names: `billing:invoice.create`. */
  readonly scopes: readonly string[];
  readonly proof: readonly ProofKind[];
  /** Milliseconds since the epoch until which a bearer token is allowed; absent: never. */
  readonly bearerUntilMs?: number;
  /** Milliseconds since the epoch at which the integration ends by itself. */
  readonly expiresAtMs?: number;
}

export interface Directory {
  /** Changes whenever a client or one of its keys changes: the name of the provider built for it. */
  readonly version: string;
  readonly clients: ReadonlyMap<string, IdentityClient>;
  /** Active integrations from one system to another; empty when nothing is granted. */
  grants(from: string, to: string): readonly IdentityGrant[];
}

export interface DirectoryParts {
  readonly version: string;
  readonly systems: readonly SystemObject[];
  readonly integrations: readonly IntegrationObject[];
  /** Client id -> union of the keys from YAML files and from rows. */
  readonly keys: ReadonlyMap<string, readonly ClientKey[]>;
  /** Integration id -> end of its bearer exception, milliseconds since the epoch. */
  readonly bearerUntil?: ReadonlyMap<string, number>;
}

/** Builds the directory of one (tenant, environment). Broken systems and everything not active are left out: they get no tokens. */
export function directoryOf(parts: DirectoryParts): Directory {
  const clients = new Map<string, IdentityClient>();
  for (const system of parts.systems) {
    if (system.broken !== undefined) continue;
    for (const id of system.clients) {
      clients.set(id, { id, system: system.id, keys: parts.keys.get(id) ?? [], certificates: system.certificates });
    }
  }
  const grants = new Map<string, IdentityGrant[]>();
  for (const integration of parts.integrations) {
    if (integration.state !== "active" || integration.broken !== undefined) continue;
    const until = parts.bearerUntil?.get(integration.id);
    const edge = `${integration.from} ${integration.to}`;
    const grant: IdentityGrant = {
      integration: integration.id,
      scopes: integration.operations.map((operation) => `${integration.to}:${operation.name}`),
      proof: integration.proof,
      ...(until === undefined ? {} : { bearerUntilMs: until }),
      ...(integration.expiresAtMs === undefined ? {} : { expiresAtMs: integration.expiresAtMs }),
    };
    grants.set(edge, [...(grants.get(edge) ?? []), grant]);
  }
  return { version: parts.version, clients, grants: (from, to) => grants.get(`${from} ${to}`) ?? [] };
}

/** The keys of a client that are valid now. */
export function keysInForce(client: IdentityClient, now: number): readonly ClientKey[] {
  return client.keys.filter(
    (key) => (key.notBeforeMs ?? 0) <= now && now < (key.notAfterMs ?? Number.POSITIVE_INFINITY),
  );
}

/** The next moment after `now` at which some client key begins or ends, in milliseconds since the epoch; Infinity when none does. */
export function nextKeyChange(directory: Directory, now: number): number {
  let next = Number.POSITIVE_INFINITY;
  for (const client of directory.clients.values()) {
    for (const key of client.keys) {
      for (const at of [key.notBeforeMs, key.notAfterMs]) if (at !== undefined && at > now && at < next) next = at;
    }
  }
  return next;
}
