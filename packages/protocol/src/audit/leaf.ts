// Promises the fields of audit leaves. Trusts `record`, which fills them. Byte-exact in docs/formats/leaf.md: ASCII JSON, fixed key order.

import type { ProofKind } from "../principal.ts";
import type { ProblemCode } from "../problem.ts";
import type { GrantWord } from "../token/grant-type.ts";
import type { Outcome, StageName } from "../verdict.ts";

/** `<epoch>:<22 base64url chars>`: HMAC-SHA-256 under the pseudonym key of that epoch, truncated to 128 bits. */
export type Pseudonym = string;

/** Coarse class of an address, never the address. */
export type AddressClass = "loopback" | "private" | "public-v4" | "public-v6" | "other";

/** Was the verdict carried out? `observe` and `passthrough`: the crossing went on whatever it says. */
export type CrossingMode = "enforce" | "observe" | "passthrough";

interface LeafCommon {
  readonly tenant: string;
  readonly environment: string;
  readonly region: string;
  readonly node: string;
  /** Milliseconds since the epoch. */
  readonly at: number;
}

/** What was decided; part of `crossing` and `intent`. */
export interface DecisionFields {
  /** `<node>-<ulid>` */
  readonly id: string;
  readonly kind: "api";
  readonly caller: Pseudonym | null;
  readonly subject: Pseudonym | null;
  readonly proof: ProofKind | null;
  /** Id (in the estate) of the issuer outside whose token proved the caller; null only beside a token. Alone it makes the leaf v2. */
  readonly issuer?: string | null;
  /** The token that was presented and whose signature held, also where it then proved nobody: equal to `token` of its issuance. Makes the leaf v3. */
  readonly token?: Pseudonym;
  /** Declared names only, or `<system>:(undeclared)`. */
  readonly operation: string | null;
  readonly integration: string | null;
  readonly mode: CrossingMode;
  /** With another mode than `enforce`: what enforcement would have said. */
  readonly verdict: "allow" | "deny";
  readonly code: ProblemCode | null;
  readonly stage: StageName | null;
  readonly policies: readonly string[];
  /** Hash of the policy set in force (hex), null before a snapshot decided. */
  readonly policySet: string | null;
  /** SHA-256 (hex) of the sealed decision inputs. */
  readonly inputs: string | null;
  readonly address: Pseudonym | null;
  readonly addressClass: AddressClass;
}

export interface OutcomeFields {
  readonly outcome: Outcome;
  /** Status sent to the caller; 0 when none was. */
  readonly status: number;
  /** Status of the provider; 0 when none was received. */
  readonly upstreamStatus: number;
  readonly bytesIn: number;
  readonly bytesOut: number;
  /** Whole microseconds. */
  readonly totalUs: number;
  readonly upstreamUs: number;
}

/** Why a crossing that was under way was ended, and what it carried beside octets. Makes its outcome v2. */
export interface EndFields {
  /** Null: nothing ended it but its own two sides. */
  readonly code: ProblemCode | null;
  readonly stage: StageName | null;
  /** Whole messages from the caller, and to it; 0 where none were counted. */
  readonly messagesIn: number;
  readonly messagesOut: number;
}

export interface FormerIssuanceFields {
  readonly id: string;
  readonly client: Pseudonym | null;
  readonly audience: string | null;
  readonly verdict: "allow" | "deny";
  readonly code: string | null;
  readonly token: Pseudonym | null;
  readonly proof: ProofKind | null;
  readonly expiresAt: number;
}

export interface IssuanceFields extends FormerIssuanceFields {
  /** Null: refused before it was known. */
  readonly grantType: GrantWord | null;
  /** Whom the token speaks for, where that is not its client; equal to the `subject` of crossings with it. */
  readonly subject: Pseudonym | null;
  /** Ids of the grants it descends from, the root first. */
  readonly grants: readonly string[];
  /** Its scope, in names of operations; null: it has none, the grant alone decides. */
  readonly operations: readonly string[] | null;
  /** Permits that held, or what refused. */
  readonly policies: readonly string[];
  /** SHA-256 (hex) of the sealed decision inputs; null: there are none. */
  readonly inputs: string | null;
}

/** Counts of the windows from `from` (inclusive) to `to` (exclusive), milliseconds, multiples of 10,000. */
export interface TallyFields {
  readonly from: number;
  readonly to: number;
  /** Requests that arrived. */
  readonly seen: number;
  /** Of those, with a durable leaf of that type. */
  readonly crossings: number;
  readonly intents: number;
  /** Of those, counted in `denials` leaves. */
  readonly counted: number;
  /** Of those, refused because nothing could be recorded. */
  readonly refused: number;
  /** Beside those: what never became a request. */
  readonly unread: number;
  /** `stop`: the last one of its run. */
  readonly closed: "time" | "stop";
}

/** What was read from, or of, the provider. */
export type PayloadDirection = "request" | "response";

/** A payload that was kept: its ciphertext is the reference of this leaf. */
export interface PayloadFields {
  readonly direction: PayloadDirection;
  /** Whom it is about; also names the year of its key. */
  readonly dataSubject: Pseudonym;
  /** Id of the public key it is sealed to, which is this data subject's alone. */
  readonly key: string;
  /** SHA-256 (hex) of the ciphertext. */
  readonly content: string;
  /** Of the ciphertext. */
  readonly bytes: number;
  /** Milliseconds since the epoch: when its key is destroyed. */
  readonly endsAt: number;
}

/** Why a payload that was to be kept was not. */
export const unkeptReasons = ["no-subject", "unenforced", "empty", "not-json", "not-whole", "too-large"] as const;
export type UnkeptReason = (typeof unkeptReasons)[number];

export interface UnkeptFields {
  readonly direction: PayloadDirection;
  readonly reason: UnkeptReason;
  /** Of the content that was not kept, as far as it was read. */
  readonly bytes: number;
}

/** What a gateway promises before it answers reads of some operations ahead of their records. */
export interface BufferedFields {
  /** At most so many crossings are answered whose records are not durable yet. */
  readonly upTo: number;
}

/** Ends that promise: every crossing answered early has its record. */
export interface SettledFields {
  /** Crossings that were answered ahead of their records. */
  readonly early: number;
}

export type Leaf =
  /** One whole crossing. */
  | (LeafCommon & { readonly t: "crossing" } & DecisionFields & OutcomeFields)
  /** Durable before an effect is forwarded. */
  | (LeafCommon & { readonly t: "intent" } & DecisionFields)
  | (LeafCommon & { readonly t: "progress"; readonly id: string; readonly bytesIn: number; readonly bytesOut: number })
  | (LeafCommon & { readonly t: "outcome"; readonly id: string } & OutcomeFields)
  /** An outcome with a reason or with messages (v2). */
  | (LeafCommon & { readonly t: "outcome"; readonly id: string } & OutcomeFields & EndFields)
  /** Unidentified denials beyond the first eight per (source prefix, reason, 10 s). */
  | (LeafCommon & {
      readonly t: "denials";
      readonly id: string;
      readonly code: ProblemCode;
      readonly prefix: Pseudonym;
      readonly count: number;
      readonly windowMs: number;
    })
  /** What the listeners of a gateway saw in windows that are closed. */
  | (LeafCommon & { readonly t: "tally"; readonly id: string } & TallyFields)
  /** A payload of a crossing, kept before it has an effect or an answer. */
  | (LeafCommon & { readonly t: "payload"; readonly id: string } & PayloadFields)
  /** A payload that was to be kept and was not. */
  | (LeafCommon & { readonly t: "unkept"; readonly id: string } & UnkeptFields)
  /** From here on crossings may be answered before they are durable. */
  | (LeafCommon & { readonly t: "buffered"; readonly id: string } & BufferedFields)
  | (LeafCommon & { readonly t: "settled"; readonly id: string } & SettledFields)
  /** First leaf of an origin: the previous origin's last checkpoint body hash, or null for the very first. */
  | (LeafCommon & {
      readonly t: "origin";
      readonly origin: string;
      readonly previous: string | null;
      readonly previousOrigin: string | null;
      readonly previousSize: number;
    })
  /** Process start; `recovered` counts intents that got `unknown`. */
  | (LeafCommon & {
      readonly t: "start";
      readonly role: "all" | "control" | "gateway";
      readonly version: string;
      readonly recovered: number;
    })
  /** Administrative act, drained from audit_outbox or appended directly. */
  | (LeafCommon & {
      readonly t: "admin";
      readonly id: string;
      readonly actor: Pseudonym;
      readonly action: string;
      readonly object: string;
      readonly facts: string | null;
    })
  /** Token issued or refused, as 0.1.0 wrote it (v1). */
  | (LeafCommon & { readonly t: "issuance" } & FormerIssuanceFields)
  /** Token issued or refused (v2). */
  | (LeafCommon & { readonly t: "issuance" } & IssuanceFields);
