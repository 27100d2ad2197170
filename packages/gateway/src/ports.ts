// Promises everything a gateway is given from outside, in one place: nothing in this package reaches for a clock, a socket or a key by itself.
// Trusts whoever wires it (the cli, a test-bed). Each member says what it must do.

import type { Dialer } from "@sallyport/kernel/dial/port.ts";
import type { GeoFile } from "@sallyport/kernel/geo/geo-file.ts";
import type { LogHandle } from "@sallyport/kernel/log/port.ts";
import type { PolicyEngine } from "@sallyport/kernel/policy/port.ts";
import type { Clock, Random } from "@sallyport/kernel/ports.ts";
import type { ReceiptSource } from "@sallyport/kernel/receipts/port.ts";
import type { LogKeys, SnapshotFeed, WitnessQuestion, WitnessReply } from "@sallyport/protocol/channel/messages.ts";
import type { TokenSigner } from "@sallyport/protocol/token/crypto.ts";
import type { AdmissionLimits } from "./admit/admission.ts";
import type { DoorLimits } from "./admit/door.ts";
import type { SourceShare } from "./admit/source-share.ts";
import type { ShippingStanding } from "./archive/shipper.ts";
import type { Exchange } from "./exchange.ts";
import type { UpstreamKeys } from "./forward/upstream-keys.ts";
import type { DataStorePort } from "./idempotency/data-plane.ts";
import type { LimitsStorePort } from "./limit/limits-store.ts";
import type { Ended } from "./record/recorder.ts";
import type { LastKnownGood } from "./snapshot/last-known-good.ts";
import type { RefreshElsewhere } from "./streams/refresh.ts";
import type { NodeMemory } from "./workers/node-memory.ts";

/** The part of pino that is used. Messages are ours; fields never hold caller-chosen text. */
export interface Logger {
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

/** Who this gateway is; fixed at joining. */
export interface GatewayIdentity {
  readonly tenant: string;
  readonly environment: string;
  readonly region: string;
  readonly group: string;
  /** Node id, the first part of every crossing id. */
  readonly node: string;
}

export interface ListenerOptions {
  readonly name: string;
  readonly host: string;
  /** 0 takes any free port. */
  readonly port: number;
  /** Absent: plain HTTP (behind a TLS terminator, or on loopback). */
  readonly tls?: { readonly cert: string; readonly key: string; readonly minVersion?: "TLSv1.3" | "TLSv1.2" };
  /** Shared with the other worker threads of the node: nobody but whoever started them has looked whether it is free. */
  readonly reusePort?: boolean;
  /** Origin callers use (scheme, host, port), for DPoP `htu` when the snapshot names none; default: what was bound. */
  readonly url?: string;
}

/** Where a listener was bound, and the origin callers use. */
export interface ListenerAddress {
  readonly name: string;
  readonly address: string;
  readonly port: number;
  readonly url: string;
}

/** Keys the log needs: pseudonyms of one epoch, and who may open decision inputs. */
export interface OpenLogKeys {
  /** Names the pseudonym epoch, for example `2026`. */
  readonly epoch: string;
  readonly pseudonymKey: Uint8Array;
  /** Control's X25519 public key, raw 32 bytes. */
  readonly referenceRecipient: Uint8Array;
  readonly referenceKeyId: string;
  /** What the data-plane store hashes and seals under, 32 bytes; absent: control sent none. */
  readonly dataKey?: Uint8Array;
}

/** The snapshot signing key of the group, pinned at joining. */
export interface SnapshotKey {
  readonly kid: string;
  /** Raw Ed25519 public key, base64url. */
  readonly x: string;
}

/** Bounds of the listening side; every one has a default in listen/bounds.ts. */
export interface ListenBounds {
  readonly headerBytesMax: number;
  readonly headersMax: number;
  readonly headersTimeoutMs: number;
  readonly requestTimeoutMs: number;
  readonly keepAliveTimeoutMs: number;
  readonly connectionsMax: number;
  readonly requestsPerSocketMax: number;
  /** How much of `connectionsMax` one source may hold. */
  readonly sourceShare: SourceShare;
}

/** Slots of the shared tables, powers of two; the defaults stand beside the tables. A full table refuses. */
export interface TableSizes {
  /** Proof ids per nonce step (identify/replay-set.ts). */
  readonly replaySlots: number;
  /** Message signatures per step of their replay set. */
  readonly signatureSlots: number;
  /** Things counted at once (limit/gcra.ts). */
  readonly rateSlots: number;
  /** Idempotency keys of one calling system (idempotency/key-counts.ts). */
  readonly keysPerCaller: number;
}

/** Told of every crossing when it has ended; must not throw and must not keep the exchange. */
export interface CrossingObserver {
  /** `endedMs`: monotonic milliseconds. */
  crossing(exchange: Exchange, ended: Ended, endedMs: number): void;
}

/** Spans of ended crossings, one batch a call; a sink that cannot take them loses them, never holds a crossing. */
export interface TraceOptions {
  /** Share of crossings that begin a trace of their own, 0 to 1; a sampled trace of a known caller is always continued. */
  readonly ratio: number;
  /** `service.version` of the spans' resource. */
  readonly version: string;
  /** Sends one batch of OTLP/JSON; rejects when it was not taken. */
  send(body: string): Promise<void>;
}

export interface GatewayOptions extends GatewayIdentity {
  /** Folder of this gateway's last-known-good state; created 0700. */
  readonly stateDirectory: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: LogHandle;
  /** Receipts out of `log`; absent: none are given. The gateway does not close it. */
  readonly receipts?: ReceiptSource;
  /** What of `log` control does not hold; absent: nothing ships it. */
  readonly shipping?: () => ShippingStanding | null;
  /** The data-plane store, opened when an operation first needs it; absent: such operations are denied. */
  readonly dataStore?: DataStorePort;
  /** Where limits `across: gateways` are counted, connected when a snapshot first has one; absent: what they say of a loss holds. */
  readonly limitsStore?: LimitsStorePort;
  readonly feed: SnapshotFeed;
  readonly snapshotKey: SnapshotKey;
  /** Cached log keys, or null until the channel brings them: nothing passes without. */
  readonly logKeys: OpenLogKeys | null;
  /** Opens log keys sealed to this node; throws when they are not for it. */
  openLogKeys(keys: LogKeys): OpenLogKeys;
  /** Opens a key that tokens are encrypted to (PKCS #8 DER), sealed to this node; throws when it is not for it. */
  openTokenKey(kid: string, sealed: string): Uint8Array;
  /** This node's own short-lived ES256 key; it signs `sallyport-hop+jwt` and nothing else. */
  readonly hop: TokenSigner;
  /** Control's certificate for `hop` from an earlier run of this node, so that a start without control can forward. */
  readonly hopCertificate?: { readonly kid: string; readonly jws: string } | null;
  /** Told of each certificate control sends, to keep it for the next start. */
  keepHopCertificate?(certificate: { readonly kid: string; readonly jws: string }): void;
  /** This node's witness of control's log; absent: it is none. */
  answerWitness?(question: WitnessQuestion): Promise<WitnessReply>;
  readonly listeners: readonly ListenerOptions[];
  readonly dialer: Dialer;
  /** Private keys of certificates that systems declare for us; absent: none. */
  readonly upstreamKeys?: UpstreamKeys | null;
  readonly policy: PolicyEngine;
  /** Where addresses are; null or absent: nobody knows. */
  readonly geo?: GeoFile | null;
  readonly logger: Logger;
  readonly bounds?: Partial<ListenBounds>;
  readonly admission?: Partial<AdmissionLimits>;
  readonly door?: Partial<DoorLimits>;
  readonly tables?: Partial<TableSizes>;
  readonly observers?: readonly CrossingObserver[];
  /** Off when absent. */
  readonly traces?: TraceOptions;
  /** This gateway is one of several worker threads of a node (docs/workers.md); absent: the only one. */
  readonly worker?: WorkerParts;
  /** Answers to known callers carry `Server-Timing`. */
  readonly serverTiming?: boolean;
}

/** What a gateway that is one of several worker threads of its node has in common with the others. */
export interface WorkerParts {
  /** From 0. */
  readonly number: number;
  readonly of: number;
  readonly memory: NodeMemory;
  /** Reads what the node keeps of snapshots, keys and revocations; what it writes, one thread writes for all. */
  readonly kept: LastKnownGood;
  readonly refreshElsewhere: RefreshElsewhere;
}

/** The world failed in a way an operator can mend. `message` is internal, `public` may be shown to anyone. */
export class GatewayFault extends Error {
  readonly code: "port-in-use" | "listen-failed" | "snapshot-key";
  readonly public: string;

  constructor(code: GatewayFault["code"], message: string, cause?: unknown) {
    super(message, cause === undefined ? {} : { cause });
    this.code = code;
    this.public = "The gateway cannot serve";
  }
}
