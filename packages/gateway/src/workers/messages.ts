// Promises what the thread that starts workers and a worker may ask of each other. Trusts both: they are one program. Specified in docs/workers.md.
import type { MessagePort } from "node:worker_threads";
import type { LogSeat } from "@sallyport/kernel/log/log-client.ts";
import type { FoundCrossing } from "@sallyport/kernel/receipts/port.ts";
import type {
  DownMessage,
  IntrospectionQuestion,
  IntrospectionReply,
  PayloadKeyAnswer,
  PayloadKeyRequest,
  UpMessage,
} from "@sallyport/protocol/channel/messages.ts";
import type { NextHopAnswer, NextHopRequest } from "@sallyport/protocol/channel/next-hop.ts";
import type { Deny } from "@sallyport/protocol/verdict.ts";
import type { RedisAddress } from "../limit/redis-url.ts";
import type { GatewayStatus, Readiness } from "../observe/status.ts";
import type { GatewayOptions, ListenerAddress, OpenLogKeys, TraceOptions } from "../ports.ts";
import type { TalliedCounts } from "../record/tallies.ts";
import type { LastKnownGood } from "../snapshot/last-known-good.ts";
import type { Refresh } from "../streams/refresh.ts";
import type { NodeMemory } from "./node-memory.ts";

/** Options of a gateway that are values and nothing else. */
type PlainOptions = Pick<
  GatewayOptions,
  | "tenant"
  | "environment"
  | "region"
  | "group"
  | "node"
  | "stateDirectory"
  | "snapshotKey"
  | "logKeys"
  | "hopCertificate"
  | "listeners"
  | "bounds"
  | "admission"
  | "door"
  | "tables"
  | "serverTiming"
>;

/** What a worker is started with; cloned, the ports transferred. */
export interface WorkerStart {
  readonly options: PlainOptions;
  readonly number: number;
  readonly of: number;
  readonly memory: NodeMemory;
  readonly seat: LogSeat;
  readonly calls: MessagePort;
  /** The hop key, PKCS #8 PEM. */
  readonly hopPem: string;
  readonly upstreamKeys: string | null;
  /** Bytes of the file of places, which all workers look into; null: none. */
  readonly geo: SharedArrayBuffer | null;
  /** Where gateways count limits together; null: nowhere. */
  readonly limitsStore: RedisAddress | null;
  /** Null: no traces are sent. */
  readonly traces: Omit<TraceOptions, "send"> | null;
  readonly dataStore: "sqlite" | "postgres" | null;
  readonly givesReceipts: boolean;
  /** Of the starting thread: process-wide milliseconds less its monotonic ones. */
  readonly monotonicOffsetMs: number;
}

/** What a worker says of itself, often. */
export interface WorkerReport {
  readonly status: GatewayStatus;
  readonly readiness: Readiness;
}

/** Names of what is written of a node's last known good state. */
export type KeptWrite = {
  [K in keyof LastKnownGood & `${"write" | "keep"}${string}`]: readonly [K, ...Parameters<LastKnownGood[K]>];
}[keyof LastKnownGood & `${"write" | "keep"}${string}`];

/** Asked of the starting thread. */
export interface MainDesk {
  openFeed(): void;
  closeFeed(): void;
  send(message: UpMessage): Promise<void>;
  blob(id: string): Promise<Uint8Array>;
  handle(digest: string): Promise<string | null>;
  /** Sealed, and opened; null: control has none. */
  tokenKey(kid: string): Promise<{ readonly sealed: string; readonly opened: Uint8Array } | null>;
  introspect(question: IntrospectionQuestion): Promise<IntrospectionReply>;
  nextHopToken(request: NextHopRequest): Promise<NextHopAnswer>;
  payloadKey(request: PayloadKeyRequest): Promise<PayloadKeyAnswer>;
  openStore(): Promise<void>;
  runStore(name: string, input: unknown): Promise<unknown>;
  receipt(crossing: string, asker: string): Promise<FoundCrossing>;
  /** Of a stream that the asking worker has not; the answer of the one that has it. */
  refreshElsewhere(refresh: Refresh): Promise<Deny | null>;
  keep(write: KeptWrite): void;
  /** One batch of spans for the collector. */
  sendTraces(body: string): Promise<void>;
  say(level: "info" | "warn" | "error", fields: object, message: string): void;
  report(report: WorkerReport): void;
}

/** Asked of a worker. */
export interface WorkerDesk {
  start(): Promise<readonly ListenerAddress[]>;
  /** `opened`: the log keys of a message that brings some. */
  down(message: DownMessage, opened: OpenLogKeys | null): void;
  report(): WorkerReport;
  /** The file of places was read anew. */
  useGeo(bytes: SharedArrayBuffer): void;
  useTls(pair: { readonly cert: string; readonly key: string }): void;
  drain(graceMs: number): Promise<void>;
  close(): Promise<void>;
  metrics(): Promise<string>;
  observed(question: Extract<DownMessage, { ask: "observed" }>): Extract<UpMessage, { t: "observed" }>;
  settledTallies(): { readonly due: number; readonly isWorth: boolean };
  takeTallies(to: number): Promise<TalliedCounts>;
  refresh(refresh: Refresh): Deny | null;
  /** The last that is asked: the thread ends. */
  end(): Promise<void>;
}
