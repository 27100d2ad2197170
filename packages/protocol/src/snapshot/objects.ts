// Promises the shapes that control compiles and a gateway obeys: the content of the blobs a manifest names.
// Trusts the manifest's signature (manifest.ts); blobs are checked against their SHA-256. Specified in docs/formats/snapshot.md.
import type { ProofKind } from "../principal.ts";
import type { SignaturesObject } from "../signature/signature-key.ts";
import type { StepUp } from "../token/acr.ts";
import type { LegacyAlgorithm } from "../token/claims.ts";
import type { OutsideAccessIssuer } from "../token/outside-access-token.ts";
import type { OutsideJwk } from "../token/outside-jwk.ts";
import type { BodyRule } from "./body-rule.ts";
import type { BotsObject } from "./bot-rule.ts";
import type { CorsObject } from "./cors-object.ts";
import type { HedgeRule } from "./hedge-rule.ts";
import type { ConcurrencyLimit, Priority, QuotaLimit, RateLimit } from "./limit-objects.ts";
import type { LookupRule } from "./lookup-rule.ts";
import type { ParameterRule } from "./parameter-rule.ts";
import type { BusinessErrorSign, ResponseRule } from "./response-rule.ts";
import type { RevocationObject } from "./revocation-object.ts";
import type { ThreatsObject } from "./threat-rule.ts";
import type { UpstreamObject } from "./upstream-object.ts";

/** sha-256 in lower-case hex of a blob's bytes. */
export type BlobId = string;

export type Scalar = string | number | boolean;

/** Where an attribute of the resource comes from. `type` decides its Cedar type; a value of another type is `attribute-missing`. */
export interface AttributeSource {
  readonly from: "path" | "query" | "header" | "body" | "response" | "lookup";
  /** Path parameter, query parameter or header name; for `body` and `response` a JSONPath of the form `$.a.b` (RFC 9535 subset: member names only); for `lookup` its name, a colon and such a path. */
  readonly name: string;
  readonly type: "string" | "long" | "boolean";
}

export type DataClass = "public" | "internal" | "confidential" | "restricted" | "pii" | "secret" | "payment" | "health";
/** What staleness and record rules read; derived from data classes, can only be raised. */
export type Classification = "public" | "internal" | "confidential" | "restricted";

/** A way past enforcement that a human declared: it ends by itself, by the gateway's own clock, without a newer snapshot. */
export interface DatedException {
  /** Milliseconds since the epoch. */
  readonly untilMs: number;
  readonly reason: string;
}

/** What a denial does. Where an object says nothing, what stands around it decides (integration, system, estate), and in the end `enforce`. */
export type ModeObject = { readonly mode: "enforce" } | ({ readonly mode: "observe" } & DatedException);

/** Of a member: it is dropped. */
export const droppedNode = -1;

/** What is kept of one place of a JSON value; texts, numbers, booleans and null are kept as they are. */
export interface ProjectionNode {
  /** Place of each member that is declared by name, or `droppedNode`. */
  readonly members?: Readonly<Record<string, number>>;
  /** Place of every other member; absent: dropped. */
  readonly rest?: number;
  /** Place of the items of an array; absent: dropped. */
  readonly items?: number;
  /** `false`: only an object, a list or null is declared here, so a text, a number or a truth value is dropped. */
  readonly scalar?: false;
}

/** Places of a JSON value by index; the first is the whole value. */
export type Projection = readonly ProjectionNode[];

/** What of each crossing is kept, sealed for the data subject it is about. */
export interface PayloadRule {
  readonly subject: AttributeSource;
  /** Until the key of the payload is destroyed, and up to one more. */
  readonly days: number;
  /** Of one payload, after dropping. */
  readonly bytesMax: number;
  /** Absent: it is not kept. */
  readonly request?: Projection;
  readonly response?: Projection;
}

/** A decision point outside (OPA's data API) that is asked after the policies allowed, and can only narrow them. */
export interface OutsideDecisionObject {
  /** Origin. */
  readonly url: string;
  /** Behind `/v1/data/`. */
  readonly path: string;
  readonly timeoutMs: number;
  /** It may stand on a loopback or private address. */
  readonly allowPrivate: boolean;
}

/** How an operation that is a WebSocket may be used. */
export interface WebSocketRule {
  /** Origins (`https://shop.example`) of pages that may open it from a browser; empty: none may. */
  readonly origins: readonly string[];
  /** Subprotocols that may be agreed on; empty: none is offered to the provider. */
  readonly protocols: readonly string[];
  readonly messageBytesMax: number;
  /** Octets of each side in all. */
  readonly bytesMax: number;
  /** Milliseconds without a frame either way after which it is closed. */
  readonly idleMs: number;
}

/** How an operation bears repeats. */
export interface IdempotencyRule {
  readonly key: "required" | "optional";
  /** How long a key and its answer are kept. */
  readonly ttlMs: number;
  /** The provider has one effect per key itself: it is told one, and may be asked again. Absent: it is not. */
  readonly provider?: "honours";
}

/** Said to a caller in place of a provider that failed. */
export interface StaticFallback {
  /** 200 to 299. */
  readonly status: number;
  readonly contentType: string;
  /** UTF-8. */
  readonly body: string;
}

export interface OperationObject {
  /** `systems/billing.yaml:7`; absent: from a control plane of before. */
  readonly declaredAt?: string;
  /** `invoice.create`; the full name is `<system>:<name>`. */
  readonly name: string;
  /** Upper case. */
  readonly method: string;
  /** `/v1/invoices/{id}`: segments, each literal or one whole `{parameter}`; matched against the path after the public prefix was stripped. */
  readonly path: string;
  /** All methods but GET, HEAD and OPTIONS are effects. */
  readonly effect: boolean;
  readonly classification: Classification;
  /** `grant`: the integration's permit decides, narrowed by policies; `policy`: only policies permit. */
  readonly authorize: "grant" | "policy";
  readonly attributes: Readonly<Record<string, AttributeSource>>;
  readonly lookups?: Readonly<Record<string, LookupRule>>; // By name: where attributes are looked up. Absent: nowhere.
  /** Absent: parameters are the provider's to check. */
  readonly parameters?: ParameterRule;
  /** Absent: texts of its requests are held against no rule about threats. */
  readonly threats?: ThreatsObject;
  readonly body?: BodyRule; // Absent: the operation takes no body.
  /** An authoriser, which sees no body, may allow it although it takes one. Absent: it does not. */
  readonly unseenBody?: true;
  readonly bodyBytesMax: number;
  readonly timeoutMs: number;
  /** Status codes that mean the provider said no; others >= 500 are system errors, the rest success. */
  readonly businessErrors: readonly number[];
  /** What in the JSON of a successful answer means the same: any of these that holds. Absent: nothing. */
  readonly businessErrorsIn?: readonly BusinessErrorSign[];
  readonly grpc?: { readonly businessErrors: readonly number[] }; // Calls of gRPC; absent: none. Its statuses, 1 to 16, that are a no.
  /** Staleness the operation bears: `bound` by classification, or until the snapshot's expiry. */
  readonly offline: "bound" | "until-expiry";
  /** Absent: nothing of its crossings is kept but their records. */
  readonly payload?: PayloadRule;
  /** Absent: answers are passed on unread, unless a grant of it redacts. */
  readonly response?: ResponseRule;
  /** Its whole answers may go out before their records are durable: only of a read, and never where it is restricted. Absent: durable. */
  readonly record?: "buffered";
  /** Its requests become WebSockets, and nothing else is served of it. Absent: no request does. */
  readonly webSocket?: WebSocketRule;
  /** One effect for each key of a principal; absent: keys mean nothing here. */
  readonly idempotency?: IdempotencyRule;
  /** The request has to name the version it changes, in If-Match; `if-match-strong`: by strong entity tags. Absent: it may. */
  readonly precondition?: "if-match" | "if-match-strong";
  /** Effects that name the same value there run one at a time; absent: side by side. */
  readonly serialize?: AttributeSource;
  /** What is asked of the user's log-in; absent: nothing, and a caller may act for itself. */
  readonly stepUp?: StepUp;
  readonly opa?: OutsideDecisionObject;
  /** Only of a read; absent: its callers are told that the provider failed. */
  readonly fallback?: StaticFallback;
  /** How old an answer of before may be that stands in for a provider that failed: only of a read, never where it is restricted. Absent: none does. */
  readonly staleMs?: number;
  readonly hedge?: HedgeRule; // Only where it may be sent twice; absent: attempts are made one after another.
  /** Compiled policy slice (PolicySlice of kernel/policy as JSON); absent when the slice could not be compiled: then `broken` says why. */
  readonly policy?: BlobId;
}

export interface CertificateIdentity {
  /** Name of a trust bundle (`trust/<name>`). */
  readonly trust: string;
  readonly kind: "uri" | "dns" | "x5t";
  readonly value: string;
}

/** One place where a system is served. */
export interface EndpointObject {
  /** As `upstream.url`. */
  readonly url: string;
  /** Share of the requests beside its siblings, 1 to 100. */
  readonly weight: number;
}

/** What a gateway does when a provider fails, each member absent where it does nothing (docs/resilience.md). */
export interface ResilienceObject {
  /** `attempts` in all, retries at most `budget` (0 to 1) per request, and `least` in ten seconds. */
  readonly retries?: { readonly attempts: number; readonly budget: number; readonly least: number };
  /** Opens after `failures` in a row, or at the `share` (0 to 1) of at least `requests` in ten seconds. */
  readonly breaker?: {
    readonly failures: number;
    readonly share?: number;
    readonly requests: number;
    readonly openMs: number;
    readonly openMsMax: number;
  };
  /** For a new connection; absent: five seconds. */
  readonly connectMs?: number;
  /** For one attempt, up to the fields of its answer; absent: what the operation has. */
  readonly attemptMs?: number;
  /** Asked of each endpoint in turn while the system is used; only prefers one endpoint to another. */
  readonly health?: {
    /** Behind the base path; absent: asked over gRPC. */
    readonly path?: string;
    readonly grpc?: string; // Service that grpc.health.v1.Health/Check is asked about; empty: all of it.
    readonly everyMs: number;
    readonly timeoutMs: number;
    readonly failures: number;
    readonly successes: number;
  };
  /** Requests under way, of this gateway: over all endpoints, at each, and in line for them. */
  readonly inFlight?: {
    readonly total?: number;
    readonly each?: number;
    readonly waiting: number;
    readonly waitMs: number;
  };
}

export interface SystemObject {
  readonly id: string;
  readonly owner: string;
  readonly zone: string;
  readonly region: string;
  /** `aud` and RFC 8707 `resource` of its tokens: `<issuer>/systems/<id>`. */
  readonly audience: string;
  /** Its tokens are signed with RSA until then (milliseconds since the epoch), and with nothing else; absent: with ES256 or EdDSA. */
  readonly legacyTokens?: { readonly algorithm: LegacyAlgorithm; readonly untilMs: number };
  /** Absent: the system only consumes. */
  readonly upstream?: UpstreamObject;
  /** Where callers reach it on the gateway's public listeners. Default path `/<id>`, stripped. */
  readonly public: { readonly host?: string; readonly path: string; readonly strip: boolean };
  /** OAuth clients that belong to this system. A client belongs to exactly one. */
  readonly clients: readonly string[];
  readonly certificates: readonly CertificateIdentity[];
  /** How its requests are signed (RFC 9421); absent: a signature proves nothing of it. */
  readonly signatures?: SignaturesObject;
  /** Attributes of the caller as a Cedar principal. */
  readonly attributes: Readonly<Record<string, Scalar>>;
  readonly operations: readonly OperationObject[];
  readonly mode?: ModeObject;
  /** Requests that match no operation go on to the provider, recorded, until then. */
  readonly passthrough?: DatedException;
  /** Why it is not served, with file, line and fix. A broken object is in the snapshot so that its denial is `not-served`, not `no-route`. */
  readonly broken?: string;
}

export interface GrantedOperation {
  readonly name: string;
  readonly bodyBytesMax?: number;
  readonly timeoutMs?: number;
  /** Besides what the operation asks. */
  readonly stepUp?: StepUp;
  /** JSONPaths of what this consumer does not get, besides those of the operation. */
  readonly redact?: readonly string[];
  /** Absent: `normal`. */
  readonly priority?: Priority;
}

export interface IntegrationObject {
  readonly id: string;
  readonly from: string;
  readonly to: string;
  readonly owner: string;
  readonly purpose: string;
  /** Only `active` ones are served. */
  readonly state: "proposed" | "active" | "suspended" | "expired" | "retired";
  readonly proof: readonly ProofKind[];
  readonly limits: readonly RateLimit[];
  /** Absent: none. */
  readonly concurrency?: readonly ConcurrencyLimit[];
  /** Absent: none. */
  readonly quotas?: readonly QuotaLimit[];
  readonly operations: readonly GrantedOperation[];
  /** Classes of fields that the consumer may read besides `public` and `internal`; absent: all but `restricted` and `secret`. */
  readonly data?: readonly DataClass[];
  /** Absent: no page of a browser may call under it. */
  readonly cors?: CorsObject;
  /** Milliseconds since the epoch. */
  readonly expiresAtMs?: number;
  /** Where it is declared, for `not-granted` fixes and `why`: `systems/orders.yaml:4`. */
  readonly declaredAt: string;
  readonly mode?: ModeObject;
  readonly broken?: string;
}

export interface TrustObject {
  readonly name: string;
  /** PEM certificates that may end a chain. */
  readonly roots: readonly string[];
  readonly revocation?: RevocationObject;
}

/** A listener that answers proxies whether a request may pass, and serves nobody. Its `trustedProxies` and `certificate` say who may ask. */
export interface AuthorizerObject {
  /** How it tells the request it asks about; `services` are no proxies: they ask about callers of their own operations, and prove themselves. */
  readonly proxy: "nginx" | "caddy" | "traefik" | "envoy" | "envoy-grpc" | "services";
  /** Shown by every proxy that asks; absent: the addresses alone decide. */
  readonly certificate?: CertificateIdentity;
}

export interface ListenerObject {
  readonly url: string;
  readonly trustedProxies: readonly string[];
  readonly authorizer?: AuthorizerObject;
  /** Each connection comes from one of `trustedProxies` and begins with a header of the PROXY protocol, version 2. */
  readonly proxyProtocol?: "v2";
  /** Only HTTP/1.1 is offered. Absent: over TLS HTTP/2 too, by gateways that speak it. */
  readonly http2?: false;
  /** Absent: nobody looks at who looks around. */
  readonly bots?: BotsObject;
}

/** One per snapshot, under the name `estate`. */
export interface EstateObject {
  readonly issuer: string;
  /** Milliseconds without a heartbeat after which operations of that classification are denied. */
  readonly stalenessMs: Readonly<Record<Classification, number>>;
  /** Origin that callers use for this group's listeners (scheme, host, port), for DPoP `htu`; index = listener name. */
  readonly listeners: Readonly<Record<string, ListenerObject>>;
  readonly hop: { readonly lifetimeMs: number };
  /** Hash of all policy slices together: `policy-set hash` of the leaf. */
  readonly policySet: string;
  readonly mode?: ModeObject;
  /** What a gateway must understand to obey this snapshot; one that does not know a word refuses it. Absent: nothing beyond the first version. */
  readonly needs?: readonly string[];
}

/** Every word of `needs` there is. */
export const snapshotNeeds = [
  "observe",
  "passthrough",
  "step-up",
  "outside-tokens",
  "signals",
  "token-handles",
  "token-encryption",
  "token-algorithms",
  "payloads",
  "websocket",
  "authorizer",
  "limits",
  "responses",
  "resilience",
  "stale",
  "hedge",
  "grpc-endpoints",
  "opa",
  "idempotency",
  "response-attributes",
  "outcome-signs",
  "grpc",
  "quotas",
  "parameters",
  "message-signatures",
  "signed-requests",
  "next-hop",
  "authorizer-grpc",
  "upstream-certificates",
  "proxy-protocol",
  "content-types",
  "shared-limits",
  "priority",
  "cors",
  "api-keys",
  "lookups",
  "reported-answers",
  "introspection",
  "threats",
  "bots",
  "revocation-lists",
] as const;

/** Whose access tokens may be presented, as which systems, and the public keys they are verified with: `issuer/<id>`. */
export interface OutsideIssuerObject extends OutsideAccessIssuer {
  /** In ascending order of `kid`; empty while none is believed. */
  readonly keys: readonly OutsideJwk[];
}

/** What is not served and why; readiness detail and `status` show it. */
export interface BrokenObject {
  readonly object: string;
  readonly file: string;
  readonly line: number;
  readonly why: string;
}

/**
 * Names in the manifest's `objects`: `estate`, `broken` (BrokenObject[]), `system/<id>`, `integration/<id>`, `trust/<name>`, `issuer/<id>`,
 * `apikeys` (ApiKeysObject), `policy/<system>:<operation>` (PolicySlice), `schema/<sha256>` (JSON Schema 2020-12).
 */
export type ObjectName = string;
