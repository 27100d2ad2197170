// Promises the instruments every stage works with, assembled once by gateway.ts and only read here.
// Trusts gateway.ts to keep `lease` on the snapshot in force. Words: DESIGN §4.
import type { Clock, Random } from "@sallyport/kernel/ports.ts";
import type { ReceiptSource } from "@sallyport/kernel/receipts/port.ts";
import type { TokenSigner } from "@sallyport/protocol/token/crypto.ts";
import type { Admitting } from "./admit/admission.ts";
import type { Lookups } from "./authorize/lookups.ts";
import type { SignalSource } from "./authorize/signals.ts";
import type { HopTokens } from "./exchange/hop-tokens.ts";
import type { NextHopTokens } from "./exchange/next-hop-tokens.ts";
import type { EstateLease } from "./exchange.ts";
import type { ProviderNonces } from "./forward/next-hop-fields.ts";
import type { DataPlane } from "./idempotency/data-plane.ts";
import type { KeyCounts } from "./idempotency/key-counts.ts";
import type { Writers } from "./idempotency/writers.ts";
import type { IdentifyPorts } from "./identify/identify.ts";
import type { RateLimiter } from "./limit/gcra.ts";
import type { Quotas } from "./limit/quotas.ts";
import type { SharedLimits } from "./limit/shared-limits.ts";
import type { Metrics } from "./observe/metrics.ts";
import type { Tracing } from "./observe/tracing.ts";
import type { PayloadKeys } from "./payloads/payload-keys.ts";
import type { CrossingObserver, GatewayIdentity, Logger } from "./ports.ts";
import type { EarlyAnswers } from "./record/early-answers.ts";
import type { Recorder } from "./record/recorder.ts";
import type { LiveStreams } from "./streams/live-streams.ts";
import type { RefreshElsewhere } from "./streams/refresh.ts";

/** What is known about the control plane's word at this moment. */
export interface Freshness {
  /** Milliseconds since the last heartbeat that left no gap. */
  stalenessMs(): number;
}

export interface Gate {
  readonly identity: GatewayIdentity;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly admission: Admitting;
  readonly identify: IdentifyPorts;
  readonly limiter: RateLimiter;
  readonly quotas: Quotas;
  readonly shared: SharedLimits;
  readonly signals: SignalSource;
  readonly lookups: Lookups;
  readonly recorder: Recorder;
  /** Null: this gateway gives no receipts. */
  readonly receipts: ReceiptSource | null;
  readonly payloadKeys: PayloadKeys;
  readonly dataPlane: DataPlane;
  readonly keyCounts: KeyCounts;
  readonly writers: Writers;
  readonly early: EarlyAnswers;
  /** Crossings that go on, to be asked about again. */
  readonly streams: LiveStreams;
  /** Null: this is the only thread of its node. */
  readonly refreshElsewhere: RefreshElsewhere | null;
  readonly metrics: Metrics;
  readonly observers: readonly CrossingObserver[];
  /** Null without tracing. */
  readonly tracing: Tracing | null;
  /** Known callers are told what each stage took. */
  readonly serverTiming: boolean;
  readonly freshness: Freshness;
  /** Signs hop tokens while its certificate is valid; null without one. */
  hopSigner(): TokenSigner | null;
  readonly hopTokens: HopTokens;
  readonly nextHops: NextHopTokens;
  readonly providerNonces: ProviderNonces;
  /** Takes the snapshot in force for one crossing, or null when there is none; `giveBack` is owed. */
  takeLease(): EstateLease | null;
  giveBack(lease: EstateLease): void;
  /** Answers carry `Connection: close` from now on. */
  draining(): boolean;
}
