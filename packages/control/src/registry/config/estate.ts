// Promises the estate as data: per environment, resolved, self-contained (schemas, keys and roots included), plain JSON.
// Trusts load.ts, which makes it from files. An environment never holds a value of another one: the wall is in the shape.
// Specified in docs/configuration.md.

import type { PeerIdentity } from "@sallyport/kernel/x509/peer-policy.ts";
import type { ProofKind } from "@sallyport/protocol/principal.ts";
import type { SignaturesObject } from "@sallyport/protocol/signature/signature-key.ts";
import type { BotsObject } from "@sallyport/protocol/snapshot/bot-rule.ts";
import type { CorsObject } from "@sallyport/protocol/snapshot/cors-object.ts";
import type { ConcurrencyLimit, QuotaLimit, RateLimit } from "@sallyport/protocol/snapshot/limit-objects.ts";
import type {
  AuthorizerObject,
  CertificateIdentity,
  Classification,
  DataClass,
  DatedException,
  GrantedOperation,
  ModeObject,
  Scalar,
} from "@sallyport/protocol/snapshot/objects.ts";
import type { RevocationObject } from "@sallyport/protocol/snapshot/revocation-object.ts";
import type { Acr } from "@sallyport/protocol/token/acr.ts";
import type { LegacyAlgorithm, SigningAlgorithm } from "@sallyport/protocol/token/claims.ts";
import type { IntrospectionRule, OutsideAccessRule } from "@sallyport/protocol/token/outside-access-token.ts";
import type { OutsideAlgorithm, OutsideJwk } from "@sallyport/protocol/token/outside-jwk.ts";
import type { OutsidePins } from "@sallyport/protocol/token/outside-mapping.ts";
import type { OutsideKind } from "@sallyport/protocol/token/outside-token.ts";
import type { OperatorRole } from "../../admin/permissions.ts";
import type { DescriptionNotes } from "../openapi/describe-system.ts";
import type { Finding, Place } from "./finding.ts";
import type { OperationConfig } from "./operation-config.ts";
import type { UpstreamConfig } from "./upstream-config.ts";
import type { MapTree, Tree } from "./yaml-tree.ts";

export type PublicJwk = Readonly<Record<string, string>>;

/** How a client proves itself at the issuer: one way, and no other is accepted from it. */
export type ClientAuthentication =
  /** Any kind but `x5t`. */
  | { readonly method: "tls_client_auth"; readonly identity: PeerIdentity }
  /** SHA-256 of each certificate, base64url. */
  | { readonly method: "self_signed_tls_client_auth"; readonly x5t: readonly string[] }
  /** Until then, milliseconds since the epoch. */
  | { readonly method: "client_secret_basic"; readonly reason: string; readonly untilMs: number };

/** Where somebody publishes public keys: fetched by control alone. `trust`: bundle the server must chain to, in place of the public roots. */
export interface KeysUri {
  readonly uri: string;
  readonly allowPrivate: boolean;
  readonly trust?: string;
}

/** How long tokens live. */
export interface TokenLives {
  /** Access token of a client for itself, 30 to 300. */
  readonly machineSeconds: number;
  /** Access token for a user, 30 to 600. */
  readonly userSeconds: number;
  /** A grant in all. */
  readonly refreshMs: number;
  /** A refresh token unused. */
  readonly refreshIdleMs: number;
}

export interface TokensConfig extends TokenLives {
  readonly algorithm: SigningAlgorithm;
  readonly rotateEveryMs: number;
}

export interface ClientConfig {
  readonly id: string;
  readonly keys: readonly PublicJwk[];
  /** Absent: it publishes none. */
  readonly published?: KeysUri;
  /** Absent: `private_key_jwt` with `keys`, those it publishes and those in rows. */
  readonly authentication?: ClientAuthentication;
  /** Absent: client_credentials alone. */
  readonly grantTypes?: readonly string[];
  readonly isPublic?: true;
  readonly redirectUris?: readonly string[];
  /** Its authorization requests are signed, all of them. */
  readonly signsRequests?: true;
  readonly postLogoutRedirectUris?: readonly string[];
  /** Absent: it is not told of ends. */
  readonly backchannelLogout?: { readonly uri: string; readonly allowPrivate: boolean; readonly trust?: string };
  /** Holds where it is shorter than the environment's. */
  readonly tokens?: Partial<TokenLives>;
}

/** What access tokens for a system look like to its callers. docs/identity/token-forms.md. */
export type TokenForm = "jwt" | "opaque" | "encrypted";

/** Tokens for a system are signed with RSA until then. docs/identity/keys.md. */
export interface LegacyTokens {
  readonly algorithm: LegacyAlgorithm;
  readonly reason: string;
  /** Milliseconds since the epoch. */
  readonly untilMs: number;
}

/** One system in one environment. */
export interface SystemConfig {
  readonly id: string;
  readonly owner: string;
  readonly zone: string;
  readonly region: string;
  readonly upstream?: UpstreamConfig;
  readonly public: { readonly host?: string; readonly path: string; readonly strip: boolean };
  readonly clients: readonly ClientConfig[];
  readonly certificates: readonly CertificateIdentity[];
  readonly apiKeys?: { readonly header?: string | undefined }; // Absent: no API key stands for it.
  readonly signatures?: SignaturesObject; // Absent: a signature proves nothing of it.
  readonly attributes: Readonly<Record<string, Scalar>>;
  readonly operations: readonly OperationConfig[];
  /** Absent: `jwt`. */
  readonly tokens?: TokenForm;
  readonly legacyTokens?: LegacyTokens;
  /** Absent: the environment decides. */
  readonly mode?: ModeObject;
  readonly passthrough?: DatedException;
  readonly declaredAt: Place;
}

/** One rule of token exchange; names of operations are without the system. docs/identity/token-exchange.md. */
export interface ExchangeConfig {
  /** `own`, or the id of a trusted issuer. */
  readonly subject: string;
  readonly as: "delegate" | "impersonate";
  readonly operations: readonly string[];
  readonly carries?: Readonly<Record<string, readonly string[]>>;
  readonly depth: number;
  readonly binding: "keep" | "rebind";
}

/** One integration in one environment. Its state is not here: state is not configuration. */
export interface IntegrationConfig {
  readonly id: string;
  readonly from: string;
  readonly to: string;
  readonly owner: string;
  readonly purpose: string;
  readonly proof: readonly ProofKind[];
  /** Milliseconds since the epoch until which `bearer` is accepted; present exactly when `proof` has it. */
  readonly bearerUntilMs?: number;
  readonly bearerReason?: string;
  readonly limits: readonly RateLimit[];
  /** Absent: none. */
  readonly concurrency?: readonly ConcurrencyLimit[];
  /** Absent: none. */
  readonly quotas?: readonly QuotaLimit[];
  /** Where in the file's `limits` each of `limits` stands; absent: there is nothing else in it. */
  readonly ratesAt?: readonly number[];
  readonly operations: readonly GrantedOperation[];
  /** Classes of fields that may be read; absent: all but those that need the word. */
  readonly data?: readonly DataClass[];
  /** Absent: no page of a browser may call under it. */
  readonly cors?: CorsObject;
  readonly reviewMs?: number;
  readonly expiresAtMs?: number;
  readonly onExpiry: "alert" | "suspend";
  /** Absent: nothing is exchanged. */
  readonly exchange?: readonly ExchangeConfig[];
  /** Absent: the provider decides. */
  readonly mode?: ModeObject;
  readonly declaredAt: Place;
}

export interface TrustConfig {
  readonly name: string;
  /** PEM certificates. */
  readonly roots: readonly string[];
  readonly revocation?: RevocationConfig;
  readonly declaredAt: Place;
}

export interface RevocationConfig extends RevocationObject {
  readonly declaredAt: Place;
}

/** One trusted outside issuer in one environment. */
export interface IssuerConfig {
  readonly id: string;
  /** `iss` of its tokens. */
  readonly url: string;
  readonly kind: OutsideKind;
  readonly algorithms: readonly OutsideAlgorithm[];
  /** Empty: the environment's own issuer. */
  readonly audiences: readonly string[];
  readonly companions: readonly string[];
  readonly parties: readonly string[] | null;
  readonly lifetimeSecondsMax: number;
  readonly keys: { readonly from: "file"; readonly keys: readonly OutsideJwk[] } | ({ readonly from: "uri" } & KeysUri);
  readonly systems: readonly (OutsidePins & { readonly system: string })[];
  /** Absent: none of its tokens may be presented at gateways. */
  readonly gateways?: readonly OutsideAccessRule[];
  /** Absent: it is asked about no token. */
  readonly introspection?: IntrospectionConfig;
  readonly declaredAt: Place;
}

/** Where an issuer is asked about its opaque tokens, and for which providers. */
export interface IntrospectionConfig extends KeysUri, IntrospectionRule {
  /** Our client id there. */
  readonly client: string;
  /** Questions it is asked in a second at most. */
  readonly perSecond: number;
}

export interface PolicyFile {
  /** `policies/regions.cedar`, relative to the estate. */
  readonly file: string;
  readonly text: string;
}

export interface ListenerConfig {
  readonly name: string;
  readonly serves: "gateway";
  readonly url: string;
  /** Null: every region. */
  readonly region: string | null;
  /** Absent: HTTP/2 is offered over TLS. */
  readonly http2?: false;
  readonly bots?: BotsObject;
  /** Behind these load balancers, which tell where each connection came from. None: what was written is broken, and nobody may connect. */
  readonly proxyProtocol?: { readonly trustedProxies: readonly string[] };
  /** It answers proxies and serves nobody. Nobody in both: what was written is broken, and nobody may ask. */
  readonly authorizer?: AuthorizerObject & {
    /** Addresses and CIDRs; empty: the certificate alone decides. */
    readonly trustedProxies: readonly string[];
  };
}

/** Something that is not served, with the error that says why. `object`: `system/billing`, `integration/orders-to-billing`, `trust/…`, `environment/…`. */
export interface BrokenConfig extends Place {
  readonly object: string;
  readonly why: string;
  /** Of a system: where callers look for it, when that much is known. */
  readonly public?: SystemConfig["public"];
  /** Of an integration: what it would grant, when that much is known. */
  readonly grants?: { readonly from: string; readonly to: string; readonly operations: readonly string[] };
}

/** An OpenID Connect provider outside that people of one environment may sign in through. */
export interface ProviderConfig {
  readonly id: string;
  readonly name: string;
  readonly issuer: string;
  /** Our client id there. */
  readonly client: string;
  /** What a log-in there is worth here. */
  readonly acr: Acr;
  readonly jit: boolean;
  readonly allowPrivate: boolean;
  readonly trust?: string;
}

/** Log-in pages of an environment. */
export interface PeopleConfig {
  /** Sorted. */
  readonly signIn: readonly string[];
  /** Each is named in `signIn`; absent: none. */
  readonly providers?: readonly ProviderConfig[];
  readonly idleMs: number;
  readonly absoluteMs: number;
}

export interface EnvironmentConfig {
  readonly name: string;
  readonly approval: "none" | "operator";
  readonly stalenessMs: Readonly<Record<Classification, number>>;
  /** Absent: `enforce`. */
  readonly mode?: ModeObject;
  /** Absent: nobody signs in here. */
  readonly people?: PeopleConfig;
  /** Absent: the defaults of tokens-schema.ts. */
  readonly tokens?: TokensConfig;
  readonly systems: readonly SystemConfig[];
  readonly integrations: readonly IntegrationConfig[];
  readonly trust: readonly TrustConfig[];
  readonly issuers: readonly IssuerConfig[];
  readonly policies: readonly PolicyFile[];
  readonly listeners: readonly ListenerConfig[];
  readonly broken: readonly BrokenConfig[];
}

export interface OperatorConfig {
  readonly id: string;
  readonly name?: string;
  readonly keys: readonly PublicJwk[];
  readonly roles: readonly OperatorRole[];
}

export interface TeamConfig {
  readonly id: string;
  readonly name?: string;
  readonly contact?: string;
}

/** A witness outside that is asked to cosign the installation's logs. */
export interface OutsideWitnessConfig {
  readonly id: string;
  /** Without a slash at its end. */
  readonly url: string;
  /** C2SP verifier key, type 0x04. */
  readonly key: string;
  readonly allowPrivate: boolean;
}

/** A log of somebody else that this control cosigns. */
export interface WitnessedLogConfig {
  readonly id: string;
  /** C2SP verifier key, type 0x01; its name is the origin. */
  readonly key: string;
  readonly everyYear: boolean;
}

export interface WitnessesConfig {
  /** Outside witnesses that must have cosigned. */
  readonly quorum: number | "all";
  /** In ascending order of id. */
  readonly outside: readonly OutsideWitnessConfig[];
  readonly logs: readonly WitnessedLogConfig[];
}

export interface Estate {
  readonly name: string;
  readonly tenant: string;
  /** `config:<name>`: what every object of this estate is managed by. */
  readonly managedBy: string;
  readonly teams: readonly TeamConfig[];
  readonly operators: readonly OperatorConfig[];
  /** Absent: nothing is said of witnesses. */
  readonly witnesses?: WitnessesConfig;
  /** In ascending order of name. */
  readonly environments: readonly EnvironmentConfig[];
}

/** The text behind the objects of one environment, its overrides merged in; every value knows its place. */
export interface EnvironmentSources {
  readonly systems: ReadonlyMap<string, MapTree>;
  /** Of the systems that name a description. */
  readonly descriptions: ReadonlyMap<string, DescriptionNotes>;
  readonly integrations: ReadonlyMap<string, MapTree>;
  readonly trust: ReadonlyMap<string, MapTree>;
  readonly issuers: ReadonlyMap<string, MapTree>;
}

/** What was written, for whoever has something to say about a key: lint. Never stored and never sent. */
export interface EstateSources {
  /** sallyport.yaml; null where there is none. */
  readonly root: MapTree | null;
  readonly environments: ReadonlyMap<string, EnvironmentSources>;
  /** The value of `waivers` in each file that has one. */
  readonly waivers: readonly { readonly file: string; readonly tree: Tree }[];
}

export interface LoadedEstate {
  readonly estate: Estate;
  readonly findings: readonly Finding[];
  readonly sources: EstateSources;
}

/** What an integration that nobody decided about yet is in: approval rules hold from the first apply on. */
export function initialState(environment: Pick<EnvironmentConfig, "approval">): "active" | "proposed" {
  return environment.approval === "none" ? "active" : "proposed";
}
