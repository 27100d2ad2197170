// Promises the instruments every stage works with, assembled once by gateway.ts and only read here.
// Trusts gateway.ts to keep `lease` on the snapshot in force. Words: DESIGN §4.
import type { Clock, Random } from "@sallyport/kernel/ports.ts";
import type { ReceiptSource } from "@sallyport/kernel/receipts/port.ts";
import type { TokenSigner } from "@sallyport/protocol/token/crypto.ts";
import type { Admission } from "./admit/admission.ts";
import type { SignalSource } from "./authorize/signals.ts";
import type { HopTokens } from "./exchange/hop-tokens.ts";
import type { EstateLease } from "./exchange.ts";
import type { IdentifyPorts } from "./identify/identify.ts";
import type { RateLimiter } from "./limit/gcra.ts";
import type { Metrics } from "./observe/metrics.ts";
import type { Tracing } from "./observe/tracing.ts";
import type { PayloadKeys } from "./payloads/payload-keys.ts";
import type { CrossingObserver, GatewayIdentity, Logger } from "./ports.ts";
import type { EarlyAnswers } from "./record/early-answers.ts";
import type { Recorder } from "./record/recorder.ts";

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
  readonly admission: Admission;
  readonly identify: IdentifyPorts;
  readonly limiter: RateLimiter;
  readonly signals: SignalSource;
  readonly recorder: Recorder;
  /** Null: this gateway gives no receipts. */
  readonly receipts: ReceiptSource | null;
  readonly payloadKeys: PayloadKeys;
  readonly early: EarlyAnswers;
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
  /** Takes the snapshot in force for one crossing, or null when there is none; `giveBack` is owed. */
  takeLease(): EstateLease | null;
  giveBack(lease: EstateLease): void;
  /** Answers carry `Connection: close` from now on. */
  draining(): boolean;
}
