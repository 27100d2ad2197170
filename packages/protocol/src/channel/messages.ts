// Promises the messages between control and a gateway. Trusts the mTLS connection they travel on. Specified in docs/formats/join.md.
import type { AddressClass, CrossingMode, Pseudonym } from "../audit/leaf.ts";
import type { ProblemCode } from "../problem.ts";
import type { SignedManifest } from "../snapshot/manifest.ts";
import type { LegacyAlgorithm } from "../token/claims.ts";
import type { IntrospectionAnswer } from "../token/outside-introspection.ts";
import type { StageName } from "../verdict.ts";
import type { NextHopAnswer, NextHopRequest } from "./next-hop.ts";

/** Public key of the token ring, as pushed to gateways. `seq` grows by one per change of the ring of one (tenant, environment). */
export interface RingKey {
  /** RFC 7638 thumbprint. */
  readonly kid: string;
  readonly alg: "ES256" | "EdDSA";
  /** Public JWK. */
  readonly jwk: Readonly<Record<string, string>>;
  readonly state: "next" | "active" | "retiring";
}

/** The same of a key for audiences that know only RSA; in a list of its own, which gateways of before do not read. */
export interface LegacyRingKey extends Omit<RingKey, "alg"> {
  readonly alg: LegacyAlgorithm;
}

export type RevocationKind = "jti" | "client" | "integration" | "kid" | "node" | "grant" | "session" | "subject";

export interface Revocation {
  readonly seq: number;
  readonly kind: RevocationKind;
  readonly value: string;
  /** Milliseconds since the epoch: tokens issued at or before it are dead (`client`, `integration`, `kid`, `subject`); for `jti`, `grant` and `session` the id alone decides. */
  readonly notBefore: number;
  /** Milliseconds since the epoch after which the entry may be forgotten (end of the longest token it could concern). */
  readonly until: number;
}

/** A log key (pseudonyms, reference sealing recipient) for one year, sealed to the node key. */
export interface LogKeys {
  /** Names the pseudonym epoch, for example `2026`. */
  readonly epoch: string;
  /** HMAC key, base64url, sealed to the node's X25519 key (seal/v1 recipient form). */
  readonly pseudonymKeySealed: string;
  /** What the data-plane stores of the environment hash and seal under, base64url, sealed alike; a control older than these stores sends none. */
  readonly dataKeySealed?: string;
  /** Control's X25519 public key (raw, base64url): decision inputs are sealed to it. */
  readonly referenceRecipient: string;
  /** The same crossing ids, leaf and references are opened by control under this key id. */
  readonly referenceKeyId: string;
}

/**
 * Crossings under observe or passthrough that are alike, counted by the node they went through. Holds what their leaves hold and no more.
 */
export interface ObservedGroup {
  readonly mode: Exclude<CrossingMode, "enforce">;
  readonly operation: string;
  readonly caller: Pseudonym | null;
  readonly addressClass: AddressClass;
  /** Null: enforcement would have allowed them. */
  readonly code: ProblemCode | null;
  readonly stage: StageName | null;
  /** Of an undeclared operation: tells method and path template apart without saying them; null once there were too many. */
  readonly shape: Pseudonym | null;
  readonly count: number;
  /** Milliseconds since the epoch. */
  readonly firstMs: number;
  readonly lastMs: number;
  /** Crossing ids, the newest first. */
  readonly examples: readonly string[];
}

/** Crossings of one caller and operation that a policy in shadow would have decided otherwise. */
export interface ObservedShadow {
  readonly policy: string;
  readonly would: "allow" | "deny" | "error";
  readonly operation: string;
  readonly caller: Pseudonym;
  readonly count: number;
  /** Milliseconds since the epoch. */
  readonly firstMs: number;
  readonly lastMs: number;
  /** Crossing ids, the newest first. */
  readonly examples: readonly string[];
}

/** Groups in one answer. */
export const observedGroupsMax = 1_024;
export const observedShadowsMax = 512;
export const observedExamplesMax = 3;

/** Down the channel: one JSON object per line. */
export type DownMessage =
  | { readonly t: "hello"; readonly node: string; readonly epoch: number; readonly at: number }
  | { readonly t: "heartbeat"; readonly at: number; readonly keySeq: number; readonly revocationSeq: number }
  | { readonly t: "snapshot"; readonly signed: SignedManifest }
  /** `legacy` is absent while there are none. */
  | {
      readonly t: "keys";
      readonly seq: number;
      readonly keys: readonly RingKey[];
      readonly legacy?: readonly LegacyRingKey[];
    }
  /** Everything from sequence `from` through `through` that still matters, ascending: a sequence in between that is not listed has ended. */
  | {
      readonly t: "revocations";
      readonly from: number;
      readonly through: number;
      readonly entries: readonly Revocation[];
    }
  | { readonly t: "log-keys"; readonly keys: LogKeys }
  | { readonly t: "hop-certificate"; readonly kid: string; readonly jws: string }
  | { readonly t: "question"; readonly id: string; readonly ask: "crossing"; readonly crossing: string }
  /** `sinceMs`: milliseconds since the epoch; `shadows`: the answer shall have them. */
  | {
      readonly t: "question";
      readonly id: string;
      readonly ask: "observed";
      readonly sinceMs: number;
      readonly shadows?: true;
    }
  | ({ readonly t: "question"; readonly id: string; readonly ask: "witness" } & WitnessQuestion);

/** Control asks a gateway to witness control's own log. */
export interface WitnessQuestion {
  /** Verifier key of the log (C2SP signed-note). */
  readonly key: string;
  /** The body of an `add-checkpoint` request (C2SP tlog-witness). */
  readonly body: string;
  /** Of an origin that begins: its first leaf and the receipt of it; else null. */
  readonly begins: { readonly leaf: string; readonly proof: string } | null;
}

/** What the gateway's witness answers. */
export interface WitnessReply {
  /** Verifier key of the gateway's witness (C2SP, type 0x04). */
  readonly key: string;
  /** Status and body of the answer to the `add-checkpoint` request. */
  readonly status: number;
  readonly body: string;
  /** Where it did not cosign: the checkpoint of the log that it cosigned last; else null. */
  readonly kept: string | null;
}

export interface NodeState {
  /** The node's clock, milliseconds since the epoch. */
  readonly at: number;
  readonly version: string;
  /** Milliseconds since control was last heard without a gap; null: never. */
  readonly stalenessMs: number | null;
  readonly logOrigin: string;
  readonly logLeaves: number;
  /** Crossings under way. */
  readonly inFlight: number;
  /** How long a newer snapshot has been waiting to come into force; 0: none waits. */
  readonly waitingMs: number;
  /** What the node would need and cannot use, in words for operators; absent: nothing, or a node of before this version. */
  readonly faults?: readonly string[];
}

/** Of one report, and of one of its texts. */
export const nodeFaultsMax = 8;
export const nodeFaultCharactersMax = 400;

/** A node's state as control heard it. */
export interface NodeReport extends NodeState {
  /** Control's clock when it came. */
  readonly receivedAt: number;
  /** The node's clock less control's, as far as the way between them lets it be known. */
  readonly skewMs: number;
}

/** POST /channel/v1/up, one JSON object. */
export type UpMessage =
  | {
      readonly t: "ack";
      readonly keySeq: number;
      readonly revocationSeq: number;
      readonly epoch: number;
      readonly version: number;
    }
  | { readonly t: "refused-snapshot"; readonly epoch: number; readonly version: number; readonly why: string }
  /** `key`: verifier key of the origin (C2SP signed-note). */
  | { readonly t: "checkpoint"; readonly origin: string; readonly note: string; readonly key: string }
  /** `proof`: ES256 (base64url) by that key over `hopKeyProofText` of hop-token.ts. */
  | { readonly t: "hop-key"; readonly jwk: Readonly<Record<string, string>>; readonly proof: string }
  /** A token named a key of this issuer (id in the estate) that the node does not hold: control may look for it. */
  | { readonly t: "look-for-keys"; readonly issuer: string }
  /** What the node says of itself, every few seconds; nothing is decided by it. */
  | ({ readonly t: "state" } & NodeState)
  | {
      readonly t: "answer";
      readonly id: string;
      readonly found: boolean;
      readonly leaves: readonly string[];
      readonly reference: string | null;
    }
  | ({ readonly t: "witnessed"; readonly id: string } & WitnessReply)
  /** A witness holds a checkpoint of the node's log, or the node's witness one of control's, that contradicts another: docs/witnesses.md. */
  | {
      readonly t: "log-finding";
      readonly code: string;
      readonly origin: string;
      readonly witness: string;
      readonly kept: string;
      readonly shown: string;
    }
  /** `sinceMs`: what is counted begins here, or with the UTC day of what was asked; `uncounted`: crossings that found no room in the table. */
  | {
      readonly t: "observed";
      readonly id: string;
      readonly sinceMs: number;
      readonly uncounted: number;
      readonly groups: readonly ObservedGroup[];
      /** Where they were asked for, and how many verdicts found no room. */
      readonly shadows?: readonly ObservedShadow[];
      readonly uncountedShadows?: number;
    };

/** What a gateway asks of whoever feeds it: the channel in every role; a test-bed feeds it in process. */
/** POST /channel/v1/payload-keys: a gateway asks for the public key of a data subject. */
export interface PayloadKeyRequest {
  readonly subject: Pseudonym;
  /** For payloads that are kept so many days. */
  readonly days: number;
}

export interface PayloadKeyAnswer {
  /** X25519 public key, raw, base64url. */
  readonly key: string;
  /** Milliseconds since the epoch: when its private half is destroyed at the latest. */
  readonly endsAt: number;
  /** How long it may be used before control is asked again. */
  readonly freshMs: number;
}

export const payloadDaysMax = 3_650;

/** Asked of control about a token that says nothing by itself: is it active at the issuer outside that is asked for this provider? */
export interface IntrospectionQuestion {
  /** Id of the issuer in the estate. */
  readonly issuer: string;
  /** Id of the provider the token was presented for. */
  readonly provider: string;
  readonly token: string;
  /** The issuer has said yes to this gateway about it before: such questions find room that a crowd of made-up tokens cannot take. */
  readonly known: boolean;
}

/** Why there is neither a yes nor a no. */
export const introspectionTroubles = [
  /** No such issuer is asked for this provider, or the token is none to ask about. */
  "not-asked",
  /** As many questions as the issuer is asked at once, or within a second, are on their way. */
  "busy",
  /** It did not answer in time, or not at all. */
  "unreachable",
  /** It does not let control ask: control's client there is unknown, or its key. */
  "client-refused",
  /** Its answer is none of RFC 7662. */
  "malformed",
] as const;
export type IntrospectionTrouble = (typeof introspectionTroubles)[number];
export type IntrospectionReply = IntrospectionAnswer | { readonly trouble: IntrospectionTrouble };

export interface SnapshotFeed {
  /** Blob bytes by sha-256 hex; rejects when control does not know it or the group may not have it. */
  blob(id: string): Promise<Uint8Array>;
  /** The token behind a handle, by base64url SHA-256 of the handle; null: control knows none. Rejects when control cannot be asked. */
  handle(digest: string): Promise<string | null>;
  /** A key that tokens are encrypted to, by its thumbprint, sealed to this node (base64url); null: control has none. Rejects as `handle` does. */
  tokenKey(kid: string): Promise<string | null>;
  /** The key that payloads about a data subject are sealed to. Rejects as `handle` does, and where control has none to give. */
  payloadKey(request: PayloadKeyRequest): Promise<PayloadKeyAnswer>;
  /** What an issuer outside says about a token. Rejects when control cannot be asked. */
  introspect(question: IntrospectionQuestion): Promise<IntrospectionReply>;
  /** The token a provider is shown for a crossing, or why there is none. Rejects as `handle` does. */
  nextHopToken(request: NextHopRequest): Promise<NextHopAnswer>;
  /** Calls `on` for every message in order until closed; reconnects by itself. */
  open(on: (message: DownMessage) => void): { send(message: UpMessage): Promise<void>; close(): Promise<void> };
}
