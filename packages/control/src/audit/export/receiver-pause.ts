// Promises that a receiver which failed is left alone for as long as it asked, or for a share of a growing, bounded time, and says why it failed.
// Trusts the ports. Specified in docs/export.md "Delivery".
import { SinkFault } from "./sink.ts";

const jitterMsMin = 100;
const jitterMsMax = 15_000;

export interface PausePorts {
  readonly now: () => number;
  /** 0 to less than 1. */
  readonly random: () => number;
}

export class ReceiverPause {
  readonly #ports: PausePorts;
  #notBeforeMs = 0;
  #failures = 0;
  #fault: string | null = null;

  constructor(ports: PausePorts) {
    this.#ports = ports;
  }

  /** Why the last try failed; null: it did not. */
  get fault(): string | null {
    return this.#fault;
  }

  /** Throws while the receiver is left alone. */
  assertOver(): void {
    if (this.#notBeforeMs > this.#ports.now()) throw new Error(this.#fault ?? "waits");
  }

  /** The receiver's own wait, or a share of a growing one, so that many do not come back at once. */
  failed(error: unknown): void {
    const asked = error instanceof SinkFault ? error.retryAfterMs : null;
    const grown = Math.min(jitterMsMax, jitterMsMin * 2 ** Math.min(this.#failures, 10));
    this.#notBeforeMs = this.#ports.now() + (asked ?? Math.floor(this.#ports.random() * grown));
    this.#failures += 1;
    this.#fault = error instanceof Error ? error.message : "unknown";
  }

  succeeded(): void {
    this.#failures = 0;
    this.#fault = null;
  }

  /** The next try may be at once. */
  end(): void {
    this.#notBeforeMs = 0;
  }
}
