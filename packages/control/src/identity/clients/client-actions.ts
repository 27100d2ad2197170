// Promises what an operator can do about clients: list them, and give and take secrets and keys, each one transaction with its record.
// Trusts api.ts, which has proven the operator. A secret leaves this file once, in the answer. Specified in docs/identity/client-authentication.md.
import { sha256 } from "@sallyport/kernel/token-crypto.ts";
import { algorithmOf, parsePublicJwk, thumbprint } from "@sallyport/protocol/token/jwk.ts";
import { type Actor, AdminFault } from "../../admin/actions.ts";
import type { ControlParts } from "../../control-parts.ts";
import { suggest } from "../../registry/config/nearest.ts";
import type { IdentityClient } from "../directory.ts";
import { makeCode, makeSecret } from "./secret.ts";
import type { StoredClientKey, StoredCredentials, StoredSecret } from "./store.ts";

/** Times are milliseconds since the epoch. */
export interface ClientStatus {
  readonly client: string;
  readonly system: string;
  readonly environment: string;
  readonly method: string;
  /** Of a client that may use secrets: until when. */
  readonly until: number | null;
  /** Where it publishes its keys, and when they were seen last; null: it publishes none. */
  readonly published: { readonly uri: string; readonly seenAt: number | null } | null;
  readonly keys: readonly {
    readonly kid: string;
    readonly from: "estate" | "published" | "operator";
    readonly notBefore: number | null;
    readonly notAfter: number | null;
    readonly state: CredentialState;
  }[];
  readonly secrets: readonly (Omit<StoredSecret, "client" | "digest"> & { readonly state: CredentialState })[];
}

export type CredentialState = "live" | "waiting" | "ended";

interface OfClient {
  readonly environment: string;
  readonly client: string;
  readonly reason: string;
}

export interface ClientActions {
  clients(): Promise<readonly ClientStatus[]>;
  /** Rejects with AdminFault `conflict` when two are live, or the client may not use secrets. The secret is in this answer and nowhere else. */
  addClientSecret(
    actor: Actor,
    request: OfClient & { readonly overlapMs: number; readonly lifetimeMs?: number | undefined },
  ): Promise<{
    readonly client: string;
    readonly id: string;
    readonly secret: string;
    readonly notAfter: number | null;
    readonly follows: { readonly id: string; readonly notAfter: number } | null;
  }>;
  endClientSecret(
    actor: Actor,
    request: OfClient & { readonly secret: string; readonly revokeTokens: boolean },
  ): Promise<{ readonly ended: string }>;
  addClientKey(
    actor: Actor,
    request: OfClient & {
      readonly jwk: Readonly<Record<string, unknown>>;
      readonly notBefore?: number | undefined;
      readonly notAfter?: number | undefined;
    },
  ): Promise<{ readonly client: string; readonly kid: string }>;
  /** The code is in this answer and nowhere else; an earlier one of the client that was not used is worth nothing from now on. */
  makeEnrolmentCode(
    actor: Actor,
    request: OfClient & { readonly lifetimeMs: number; readonly keyLifetimeMs?: number | undefined },
  ): Promise<{ readonly client: string; readonly code: string; readonly issuer: string; readonly expiresAt: number }>;
  endClientKey(
    actor: Actor,
    request: OfClient & { readonly kid: string; readonly revokeTokens: boolean },
  ): Promise<{ readonly ended: string }>;
}

export function createClientActions(parts: ControlParts): ClientActions {
  const { tenant, store } = parts;
  const ended = async (isThere: boolean, name: string, what: string) => {
    if (!isThere)
      throw new AdminFault("not-found", `there is no live ${what} ${name}`, "sallyport client list shows them");
    await parts.changed();
    return { ended: name };
  };
  return {
    clients: () => clientStatus(parts),
    addClientSecret: (actor, request) => addSecret(parts, actor, request),
    endClientSecret: async (actor, { environment, client, secret, reason, revokeTokens }) => {
      const input = { tenant, environment, client, name: secret, actor, reason, revokeTokens };
      return ended(await store.run("endClientSecret", input), secret, `secret of ${client}`);
    },
    addClientKey: (actor, request) => addKey(parts, actor, request),
    makeEnrolmentCode: async (actor, { environment, client: id, reason, lifetimeMs, keyLifetimeMs = null }) => {
      const client = clientOf(parts, environment, id);
      refuseOtherWay(client);
      const { code, digest } = makeCode(parts.random);
      const request = { tenant, environment, client: id, digest, lifetimeMs, keyLifetimeMs, actor, reason };
      const { expiresAt } = await store.run("createEnrolmentCode", request);
      return { client: id, code, issuer: parts.identities.get(environment)?.issuer ?? "", expiresAt };
    },
    endClientKey: async (actor, { environment, client, kid, reason, revokeTokens }) => {
      const published = publishedKey(parts, { environment, client, kid });
      const input = { tenant, environment, client, name: kid, published, actor, reason, revokeTokens };
      return ended(await store.run("endClientKey", input), kid, `key of ${client}, added or published,`);
    },
  };
}

function clientOf(parts: ControlParts, environment: string, id: string): IdentityClient {
  const clients = parts.identities.get(environment)?.clients();
  if (clients === undefined)
    throw new AdminFault(
      "not-found",
      `there is no environment ${environment}`,
      `known: ${[...parts.identities.keys()].join(", ")}`,
    );
  const client = clients.get(id);
  if (client !== undefined) return client;
  throw new AdminFault(
    "not-found",
    `there is no client ${id} in ${environment}`,
    `${suggest(id, [...clients.keys()])}; a client is declared under \`identity\` of its system`,
  );
}

const methodOf = ({ authentication }: IdentityClient): string => authentication?.method ?? "private_key_jwt";

async function addSecret(
  parts: ControlParts,
  actor: Actor,
  request: Parameters<ClientActions["addClientSecret"]>[1],
): ReturnType<ClientActions["addClientSecret"]> {
  const { tenant, store, clock, random } = parts;
  const { environment, client: id, reason, overlapMs, lifetimeMs } = request;
  const client = clientOf(parts, environment, id);
  const way = client.authentication;
  if (way?.method !== "client_secret_basic")
    throw new AdminFault(
      "conflict",
      `the client ${id} proves itself by ${methodOf(client)}, so a secret would be refused`,
      "declare `secrets: { reason: …, until: <date> }` under `identity` of its system, in place of its keys",
    );
  const { secret, id: name, digest } = makeSecret(random);
  const notAfter = lifetimeMs === undefined ? null : clock.now() + lifetimeMs;
  const added = await store.run("addClientSecret", {
    tenant,
    environment,
    client: id,
    id: name,
    digest,
    notAfter,
    overlapMs,
    actor,
    reason,
  });
  if (added.kind === "full")
    throw new AdminFault(
      "conflict",
      `the client ${id} has two live secrets: ${added.live.join(", ")}`,
      "end the one that is no longer used: sallyport client secret end",
    );
  await parts.changed();
  return { client: id, id: name, secret, notAfter, follows: added.follows };
}

/** A key added to a client that does not sign would lie there, good again the day its file changes. */
function refuseOtherWay(client: IdentityClient): void {
  if (client.isPublic)
    throw new AdminFault(
      "conflict",
      `the client ${client.id} is public: it cannot keep a key`,
      "remove `public: true`",
    );
  if (client.authentication !== undefined)
    throw new AdminFault(
      "conflict",
      `the client ${client.id} proves itself by ${methodOf(client)} and not by keys of this list`,
      "take `tls` or `secrets` out of `identity` of its system",
    );
}

async function addKey(
  parts: ControlParts,
  actor: Actor,
  request: Parameters<ClientActions["addClientKey"]>[1],
): ReturnType<ClientActions["addClientKey"]> {
  const { environment, client: id, reason, notBefore = null, notAfter = null } = request;
  const client = clientOf(parts, environment, id);
  refuseOtherWay(client);
  // Names and uses may stand beside the key; our name for it is its thumbprint.
  const jwk = parsePublicJwk(request.jwk);
  if (jwk === null)
    throw new AdminFault(
      "bad-request",
      "jwk: not a public ES256 or EdDSA (Ed25519) key",
      "send the public half only, as `sallyport client-key new` writes it",
    );
  if (notAfter !== null && notAfter <= (notBefore ?? parts.clock.now()))
    throw new AdminFault("bad-request", "notAfter: the key would never be good");
  const kid = thumbprint(jwk, { sha256 });
  if (client.keys.some((key) => isKey(key.jwk, kid)))
    throw new AdminFault("conflict", `the client ${id} has this key already`);
  const { tenant, store } = parts;
  const stored: StoredClientKey["jwk"] = { ...jwk, alg: algorithmOf(jwk) };
  const added = await store.run("addClientKey", {
    tenant,
    environment,
    client: id,
    kid,
    jwk: stored,
    notBefore,
    notAfter,
    actor,
    reason,
  });
  if (added.kind === "spent")
    throw new AdminFault(
      "conflict",
      `the key ${kid} was ended before, or is ${added.client}'s in another environment`,
      "make a new pair: sallyport client-key new",
    );
  if (added.kind === "full")
    throw new AdminFault(
      "conflict",
      `the client ${id} has ${added.live.length} added keys`,
      "end those that are no longer used: sallyport client key end",
    );
  await parts.changed();
  return { client: id, kid };
}

/** The key as the client publishes it; null: it does not. */
function publishedKey(
  parts: ControlParts,
  of: { readonly environment: string; readonly client: string; readonly kid: string },
): StoredClientKey["jwk"] | null {
  const keys = parts.identities.get(of.environment)?.clients().get(of.client)?.keys ?? [];
  const found = keys.find((key) => key.isPublished === true && isKey(key.jwk, of.kid));
  const jwk = found === undefined ? null : parsePublicJwk(found.jwk);
  return jwk === null ? null : { ...jwk, alg: algorithmOf(jwk) };
}

function isKey(jwk: Readonly<Record<string, unknown>>, kid: string): boolean {
  const parsed = parsePublicJwk(jwk);
  return parsed !== null && thumbprint(parsed, { sha256 }) === kid;
}

async function clientStatus(parts: ControlParts): Promise<readonly ClientStatus[]> {
  const { tenant, store, clock } = parts;
  const now = clock.now();
  const all: ClientStatus[] = [];
  for (const [environment, identity] of parts.identities) {
    const stored = await store.run("readClientCredentials", { tenant, environment });
    for (const client of [...identity.clients().values()].sort((a, b) => (a.id < b.id ? -1 : 1)))
      all.push(statusOf(client, environment, { stored, now, published: identity.published.placeOf(client.id) }));
  }
  return all;
}

function statusOf(
  client: IdentityClient,
  environment: string,
  {
    stored,
    now,
    published,
  }: { readonly stored: StoredCredentials; readonly now: number } & Pick<ClientStatus, "published">,
): ClientStatus {
  const way = client.authentication;
  const rows = stored.keys.filter((key) => key.client === client.id);
  const rowKids = new Set(rows.map(({ kid }) => kid));
  const others = client.keys.flatMap(({ jwk, isPublished }) => {
    const parsed = parsePublicJwk(jwk);
    const kid = parsed === null ? "" : thumbprint(parsed, { sha256 });
    return parsed === null || rowKids.has(kid)
      ? []
      : [
          {
            kid,
            from: isPublished === true ? "published" : "estate",
            notBefore: null,
            notAfter: null,
            state: "live",
          } as const,
        ];
  });
  return {
    client: client.id,
    system: client.system,
    environment,
    method: methodOf(client),
    until: way?.method === "client_secret_basic" ? way.untilMs : null,
    published,
    keys: [
      ...others,
      ...rows.map(({ kid, notBefore, notAfter, endedAt }) => ({
        kid,
        from: "operator" as const,
        notBefore,
        notAfter,
        state: stateOf({ notBefore, notAfter, endedAt }, now),
      })),
    ],
    secrets: stored.secrets
      .filter((secret) => secret.client === client.id)
      .map(({ client: _client, digest: _digest, ...shown }) => ({
        ...shown,
        state: stateOf({ notBefore: null, ...shown }, now),
      })),
  };
}

function stateOf(
  dates: { readonly notBefore: number | null; readonly notAfter: number | null; readonly endedAt: number | null },
  now: number,
): CredentialState {
  if (dates.endedAt !== null || (dates.notAfter !== null && dates.notAfter <= now)) return "ended";
  return dates.notBefore !== null && dates.notBefore > now ? "waiting" : "live";
}
