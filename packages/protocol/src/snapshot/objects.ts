// Promises the shapes that control compiles and a gateway obeys: the content of the blobs a manifest names.
// Trusts the manifest's signature (manifest.ts); blobs are checked against their SHA-256. Specified in docs/formats/snapshot.md.
import type { ProofKind } from "../principal.ts";
import type { StepUp } from "../token/acr.ts";
import type { LegacyAlgorithm } from "../token/claims.ts";
import type { OutsideAccessIssuer } from "../token/outside-access-token.ts";
import type { OutsideJwk } from "../token/outside-jwk.ts";

/** sha-256 in lower-case hex of a blob's bytes. */
export type BlobId = string;

export type Scalar = string | number | boolean;

/** Where an attribute of the resource comes from. `type` decides its Cedar type; a value of another type is `attribute-missing`. */
export interface AttributeSource {
  readonly from: "path" | "query" | "header" | "body";
  /** Path parameter, query parameter or header name; for `body` a JSONPath of the form `$.a.b` (RFC 9535 subset: member names only). */
  readonly name: string;
  readonly type: "string" | "long" | "boolean";
}

export type DataClass = "public" | "internal" | "confidential" | "restricted" | "pii" | "secret" | "payment" | "health";
/** What staleness and record rules read; derived from data classes, can only be raised. */
export type Classification = "public" | "internal" | "confidential" | "restricted";

/** GCRA limit: `rate` permits per `periodMs`, at most `burst` at once. */
export interface RateLimit {
  readonly per: "client" | "integration";
  readonly rate: number;
  readonly periodMs: number;
  readonly burst: number;
}

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

export interface OperationObject {
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
  /** Absent: the operation takes no body. `json` is parsed and checked; `opaque` streams through. */
  readonly body?: { readonly content: "json" | "opaque"; readonly contentType: string; readonly schema?: BlobId };
  readonly bodyBytesMax: number;
  readonly timeoutMs: number;
  /** Status codes that mean the provider said no; others >= 500 are system errors, the rest success. */
  readonly businessErrors: readonly number[];
  /** Staleness the operation bears: `bound` by classification, or until the snapshot's expiry. */
  readonly offline: "bound" | "until-expiry";
  /** Absent: nothing of its crossings is kept but their records. */
  readonly payload?: PayloadRule;
  /** Its whole answers may go out before their records are durable: only of a read, and never where it is restricted. Absent: durable. */
  readonly record?: "buffered";
  /** What is asked of the user's log-in; absent: nothing, and a caller may act for itself. */
  readonly stepUp?: StepUp;
  /** Compiled policy slice (PolicySlice of kernel/policy as JSON); absent when the slice could not be compiled: then `broken` says why. */
  readonly policy?: BlobId;
}

export interface CertificateIdentity {
  /** Name of a trust bundle (`trust/<name>`). */
  readonly trust: string;
  readonly kind: "uri" | "dns" | "x5t";
  readonly value: string;
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
  readonly upstream?: {
    /** Origin, optionally with a base path without trailing slash. */
    readonly url: string;
    /** PEM roots to trust instead of the public ones. */
    readonly ca?: string;
    /** The upstream may stand on a loopback or private address (an explicit word in config). */
    readonly allowPrivate: boolean;
  };
  /** Where callers reach it on the gateway's public listeners. Default path `/<id>`, stripped. */
  readonly public: { readonly host?: string; readonly path: string; readonly strip: boolean };
  /** OAuth clients that belong to this system. A client belongs to exactly one. */
  readonly clients: readonly string[];
  readonly certificates: readonly CertificateIdentity[];
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
  readonly operations: readonly GrantedOperation[];
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
}

/** One per snapshot, under the name `estate`. */
export interface EstateObject {
  readonly issuer: string;
  /** Milliseconds without a heartbeat after which operations of that classification are denied. */
  readonly stalenessMs: Readonly<Record<Classification, number>>;
  /** Origin that callers use for this group's listeners (scheme, host, port), for DPoP `htu`; index = listener name. */
  readonly listeners: Readonly<Record<string, { readonly url: string; readonly trustedProxies: readonly string[] }>>;
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
 * `policy/<system>:<operation>` (PolicySlice), `schema/<sha256>` (JSON Schema 2020-12).
 */
export type ObjectName = string;
