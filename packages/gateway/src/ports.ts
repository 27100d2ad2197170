// Promises everything a gateway is given from outside, in one place: nothing in this package reaches for a clock, a socket or a key by itself.
// Trusts whoever wires it (the cli, a test-bed). Each member says what it must do.
import type { Dialer } from "@sallyport/kernel/dial/port.ts";
import type { LogHandle } from "@sallyport/kernel/log/port.ts";
import type { PolicyEngine } from "@sallyport/kernel/policy/port.ts";
import type { Clock, Random } from "@sallyport/kernel/ports.ts";
import type { ReceiptSource } from "@sallyport/kernel/receipts/port.ts";
import type { LogKeys, SnapshotFeed, WitnessQuestion, WitnessReply } from "@sallyport/protocol/channel/messages.ts";
import type { TokenSigner } from "@sallyport/protocol/token/crypto.ts";
import type { AdmissionLimits } from "./admit/admission.ts";
import type { GeoFile } from "./authorize/geo-file.ts";
import type { Exchange } from "./exchange.ts";
import type { Ended } from "./record/recorder.ts";

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
}

/** Slots of the shared tables, powers of two; the defaults stand beside the tables. A full table refuses. */
export interface TableSizes {
  /** Proof ids per nonce step (identify/replay-set.ts). */
  readonly replaySlots: number;
  /** Things counted at once (limit/gcra.ts). */
  readonly rateSlots: number;
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
  readonly policy: PolicyEngine;
  /** Where addresses are; null or absent: nobody knows. */
  readonly geo?: GeoFile | null;
  readonly logger: Logger;
  readonly bounds?: Partial<ListenBounds>;
  readonly admission?: Partial<AdmissionLimits>;
  readonly tables?: Partial<TableSizes>;
  readonly observers?: readonly CrossingObserver[];
  /** Off when absent. */
  readonly traces?: TraceOptions;
  /** Answers to known callers carry `Server-Timing`. */
  readonly serverTiming?: boolean;
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
