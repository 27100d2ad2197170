// Promises what the token endpoint may know of the registry: clients with their keys, and the active grants between systems.
// Trusts the compiled objects of one (tenant, environment) it is built from. Words: DESIGN "system", "integration"; RFC 8707 for audiences.
import { hash } from "node:crypto";
import type { ProofKind } from "@sallyport/protocol/principal.ts";
import type { CertificateIdentity } from "@sallyport/protocol/snapshot/objects.ts";
import { type LegacyAlgorithm, legacyAlgorithms } from "@sallyport/protocol/token/claims.ts";
import type {
  ClientAuthentication,
  ClientConfig,
  LegacyTokens,
  TokenForm,
  TokenLives,
} from "../registry/config/estate.ts";
import { defaultTokens } from "../registry/config/tokens-schema.ts";
import { type ExchangeRule, tokenExchangeGrantType } from "./exchange/decide-exchange.ts";

/** A public key a client may sign assertions with. */
export interface ClientKey {
  readonly jwk: Readonly<Record<string, unknown>>;
  /** Milliseconds since the epoch; absent: no bound. */
  readonly notBeforeMs?: number;
  readonly notAfterMs?: number;
  /** The client publishes it. */
  readonly isPublished?: true;
}

/** A secret of a client, as far as it can be checked: two are live while one follows the other. */
export interface ClientSecret {
  readonly id: string;
  /** SHA-256 of its ASCII text, base64url. */
  readonly digest: string;
  /** Milliseconds since the epoch; absent: no end of its own. */
  readonly notAfterMs?: number;
}

export interface IdentityClient {
  /** The YAML word; `client_id` and `sub`. */
  readonly id: string;
  /** The one system it belongs to. */
  readonly system: string;
  readonly keys: readonly ClientKey[];
  /** What it may send as `grant_type`. */
  readonly grantTypes: readonly string[];
  /** The one way it may prove itself; absent: `private_key_jwt` with `keys`. */
  readonly authentication?: ClientAuthentication;
  /** Those that were not ended by an operator. */
  readonly secrets?: readonly ClientSecret[];
  /** It cannot keep a key: it authenticates with nothing, and its tokens are always bound with DPoP. */
  readonly isPublic: boolean;
  /** Compared byte by byte; a public client's loopback addresses with any port (RFC 8252 §7.3). */
  readonly redirectUris: readonly string[];
  /** It asks users by signed requests alone (RFC 9101). */
  readonly signsRequests?: true;
  /** Where browsers may be sent after its user signed out; compared as `redirectUris`. */
  readonly postLogoutRedirectUris?: readonly string[];
  /** Where it is told of ends of sessions; absent: it is not told. */
  readonly backchannelLogout?: NonNullable<ClientConfig["backchannelLogout"]>;
  readonly lives: TokenLives;
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
  /** Absent: nothing is exchanged for tokens of this integration. */
  readonly exchange?: readonly ExchangeRule[];
}

export interface Directory {
  /** Changes whenever a client or one of its keys changes: the name of the provider built for it. */
  readonly version: string;
  readonly clients: ReadonlyMap<string, IdentityClient>;
  /** Active integrations from one system to another; empty when nothing is granted. */
  grants(from: string, to: string): readonly IdentityGrant[];
  /** What tokens for a system look like to their clients. */
  tokenForm(system: string): TokenForm;
  /** What tokens for a system are signed with at `now` (milliseconds) where that is RSA; null: with the ring's own key. */
  legacyAlgorithm(system: string, now: number): LegacyAlgorithm | null;
  /** Those that some system wants at `now`. */
  legacyAlgorithms(now: number): readonly LegacyAlgorithm[];
}

/** The parts of a registered estate that decide about tokens; SystemConfig and IntegrationConfig of registry/config have this shape. */
export interface DirectoryParts {
  /** Served systems only: a broken one gets no tokens. Keys are bare public JWKs from the declared files. */
  readonly systems: readonly {
    readonly id: string;
    readonly clients: readonly {
      readonly id: string;
      readonly keys: readonly object[];
      /** Default: client_credentials alone. */
      readonly grantTypes?: readonly string[];
      readonly authentication?: ClientAuthentication;
      readonly isPublic?: boolean;
      readonly redirectUris?: readonly string[];
      readonly signsRequests?: true;
      readonly postLogoutRedirectUris?: readonly string[];
      readonly backchannelLogout?: NonNullable<ClientConfig["backchannelLogout"]>;
      readonly tokens?: Partial<TokenLives>;
    }[];
    readonly certificates: readonly CertificateIdentity[];
    /** Default: `jwt`. */
    readonly tokens?: TokenForm;
    /** Absent: its tokens are signed as everybody's. */
    readonly legacyTokens?: LegacyTokens;
  }[];
  readonly integrations: readonly {
    readonly id: string;
    readonly from: string;
    readonly to: string;
    readonly proof: readonly ProofKind[];
    readonly operations: readonly { readonly name: string }[];
    readonly bearerUntilMs?: number;
    readonly expiresAtMs?: number;
    /** Names of operations without the system. */
    readonly exchange?: readonly (Omit<ExchangeRule, "operations" | "carries"> & {
      readonly operations: readonly string[];
      readonly carries?: Readonly<Record<string, readonly string[]>>;
    })[];
  }[];
  /** The longest any client may have; absent: the defaults. */
  readonly tokens?: TokenLives;
  /** State is not configuration: is this integration active now? */
  readonly isActive: (integration: string) => boolean;
  /** Client id -> keys from rows (`client keys add`), with their dates; verification uses the union. */
  readonly rows?: ReadonlyMap<string, readonly ClientKey[]>;
  /** Client id -> keys it publishes, as far as they are believed now. */
  readonly published?: ReadonlyMap<string, readonly ClientKey[]>;
  /** Client id -> secrets that were not ended (`client secret add`). */
  readonly secrets?: ReadonlyMap<string, readonly ClientSecret[]>;
}

/** Builds the directory of one (tenant, environment); build a new one after every apply and every change of a state. */
export function directoryOf(parts: DirectoryParts): Directory {
  const clients = new Map<string, IdentityClient>();
  // Whoever has no rule anywhere need not even be told that there are rules.
  const exchanging = new Set(
    parts.integrations.flatMap(({ from, exchange = [] }) => (exchange.length > 0 ? [from] : [])),
  );
  for (const system of parts.systems) {
    for (const client of system.clients) {
      const { id, keys, grantTypes, isPublic, redirectUris, authentication } = client;
      const declared = keys.map((jwk): ClientKey => ({ jwk: { ...jwk } }));
      clients.set(id, {
        id,
        system: system.id,
        grantTypes: [
          ...(grantTypes ?? ["client_credentials"]),
          // Who cannot prove who it is exchanges nothing.
          ...(exchanging.has(system.id) && isPublic !== true ? [tokenExchangeGrantType] : []),
        ],
        isPublic: isPublic ?? false,
        redirectUris: redirectUris ?? [],
        ...(client.signsRequests === undefined ? {} : { signsRequests: client.signsRequests }),
        ...(client.postLogoutRedirectUris === undefined
          ? {}
          : { postLogoutRedirectUris: client.postLogoutRedirectUris }),
        ...(client.backchannelLogout === undefined ? {} : { backchannelLogout: client.backchannelLogout }),
        keys: [...declared, ...(parts.rows?.get(id) ?? []), ...(parts.published?.get(id) ?? [])],
        ...(authentication === undefined ? {} : { authentication }),
        secrets: parts.secrets?.get(id) ?? [],
        lives: shorterLives(parts.tokens ?? defaultTokens, client.tokens ?? {}),
        certificates: system.certificates,
      });
    }
  }
  const grants = new Map<string, IdentityGrant[]>();
  for (const integration of parts.integrations) {
    if (!parts.isActive(integration.id)) continue;
    const edge = `${integration.from} ${integration.to}`;
    const grant: IdentityGrant = {
      integration: integration.id,
      scopes: integration.operations.map((operation) => `${integration.to}:${operation.name}`),
      proof: integration.proof,
      ...(integration.bearerUntilMs === undefined ? {} : { bearerUntilMs: integration.bearerUntilMs }),
      ...(integration.expiresAtMs === undefined ? {} : { expiresAtMs: integration.expiresAtMs }),
      ...(integration.exchange === undefined
        ? {}
        : { exchange: integration.exchange.map((rule) => fullRule(integration.to, rule)) }),
    };
    grants.set(edge, [...(grants.get(edge) ?? []), grant]);
  }
  // Secrets are looked up at each request, so that a change of one builds nothing anew.
  const shapes = [...clients.values()].map(({ secrets: _, ...shape }) => shape);
  const version = hash("sha256", JSON.stringify(shapes.sort((a, b) => (a.id < b.id ? -1 : 1))), "base64url");
  return {
    version,
    clients,
    grants: (from, to) => grants.get(`${from} ${to}`) ?? [],
    ...tokensOf(parts.systems),
  };
}

type TokenWords = Pick<Directory, "tokenForm" | "legacyAlgorithm" | "legacyAlgorithms">;

/** What tokens for each system are like. */
function tokensOf(systems: DirectoryParts["systems"]): TokenWords {
  const forms = new Map(systems.map(({ id, tokens }) => [id, tokens ?? "jwt"]));
  const legacies = new Map(systems.map(({ id, legacyTokens }) => [id, legacyTokens]));
  const legacyAlgorithm = (system: string, now: number) => {
    const legacy = legacies.get(system);
    return legacy !== undefined && now < legacy.untilMs ? legacy.algorithm : null;
  };
  return {
    tokenForm: (system) => forms.get(system) ?? "jwt",
    legacyAlgorithm,
    legacyAlgorithms: (now) => {
      const wanted = new Set([...legacies.keys()].map((system) => legacyAlgorithm(system, now)));
      return legacyAlgorithms.filter((algorithm) => wanted.has(algorithm));
    },
  };
}

function shorterLives(most: TokenLives, own: Partial<TokenLives>): TokenLives {
  const shorter = (key: keyof TokenLives) => Math.min(most[key], own[key] ?? most[key]);
  return {
    machineSeconds: shorter("machineSeconds"),
    userSeconds: shorter("userSeconds"),
    refreshMs: shorter("refreshMs"),
    refreshIdleMs: shorter("refreshIdleMs"),
  };
}

type DeclaredRule = NonNullable<DirectoryParts["integrations"][number]["exchange"]>[number];

function fullRule(to: string, { operations, carries, ...rule }: DeclaredRule): ExchangeRule {
  const full = (names: readonly string[]) => names.map((name) => `${to}:${name}`);
  const entries = Object.entries(carries ?? {}).map(([word, names]) => [word, full(names)] as const);
  return {
    ...rule,
    operations: full(operations),
    ...(carries === undefined ? {} : { carries: Object.fromEntries(entries) }),
  };
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
