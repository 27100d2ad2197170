// Promises that a newer snapshot once offered is tried until it is in force, refused or superseded, and that a gateway which cannot get it
// does not pass for fresh. Trusts its caller to name only offers that acceptManifest took. Specified in docs/gateway.md "Snapshots and staleness".
import type { Clock, Random } from "@sallyport/kernel/ports.ts";
import type { SignedManifest, SnapshotManifest } from "@sallyport/protocol/snapshot/manifest.ts";

/** Pauses before an offer is tried again: doubled each time, between these. */
export const retryPauseMs = { first: 100, max: 5_000 };
/** A gateway that has not got a newer snapshot for longer than this is as stale as the offer is old. */
export const newerWaitingMsMax = 30_000;

/** A newer snapshot that is known of and not in force. */
export interface WaitingSnapshot {
  readonly epoch: number;
  readonly version: number;
  /** Milliseconds since the first offer that has not been taken. */
  readonly waitingMs: number;
  readonly failures: number;
}

export interface Moment {
  readonly wallMs: number;
  readonly monotonicMs: number;
}

export interface NewerOfferPorts {
  readonly clock: Clock;
  readonly random: Random;
  /** Judges and fetches the same offer once more. */
  again(signed: SignedManifest): void;
}

interface Known {
  readonly signed: SignedManifest;
  readonly manifest: SnapshotManifest;
  readonly since: Moment;
  readonly failures: number;
}

/** How long to wait after failure number `failures` (from 1): half of it jitter, so that a fleet does not ask in one moment. */
export function retryAfterMs(failures: number, random: Random): number {
  const ceiling = Math.min(retryPauseMs.max, retryPauseMs.first * 2 ** Math.min(failures, 10));
  const [high = 0, low = 0] = random.bytes(2);
  return (ceiling / 2) * (1 + (high * 256 + low) / 65_536);
}

export class NewerOffer {
  readonly #ports: NewerOfferPorts;
  #known: Known | null = null;
  #timer: NodeJS.Timeout | null = null;

  constructor(ports: NewerOfferPorts) {
    this.#ports = ports;
  }

  /** This offer, which arrived at `at`, is about to be fetched. The wait began with the first one that was not taken, whatever came since. */
  begin(signed: SignedManifest, manifest: SnapshotManifest, at: Moment): void {
    const known = this.#known;
    const order = known === null ? 1 : compare(manifest, known.manifest);
    if (order < 0) return;
    this.#cancel();
    this.#known = {
      signed,
      manifest,
      since: known?.since ?? at,
      failures: order === 0 ? (known?.failures ?? 0) : 0,
    };
  }

  /** The attempt failed: it is made again after a pause, unless something newer has taken its place. */
  failed(signed: SignedManifest): void {
    const known = this.#known;
    if (known === null || known.signed !== signed) return;
    const failures = known.failures + 1;
    this.#known = { ...known, failures };
    this.#cancel();
    this.#timer = setTimeout(() => this.#ports.again(signed), retryAfterMs(failures, this.#ports.random));
    this.#timer.unref();
  }

  /** In force now. */
  taken(manifest: SnapshotManifest): void {
    if (this.#known === null || compare(manifest, this.#known.manifest) < 0) return;
    this.#cancel();
    this.#known = null;
  }

  waiting(): WaitingSnapshot | null {
    if (this.#known === null) return null;
    const { manifest, since, failures } = this.#known;
    const { clock } = this.#ports;
    // As with heartbeats: a clock set back, or one that slept, must not make us fresh.
    const waitingMs = Math.max(clock.now() - since.wallMs, clock.monotonic() - since.monotonicMs);
    return { epoch: manifest.epoch, version: manifest.version, waitingMs, failures };
  }

  /** What the wait adds to staleness: nothing within the bound, afterwards all of it. */
  stalenessMs(): number {
    const waitingMs = this.waiting()?.waitingMs ?? 0;
    return waitingMs > newerWaitingMsMax ? waitingMs : 0;
  }

  /** Nothing is tried again from now on. */
  close(): void {
    this.#cancel();
  }

  #cancel(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
  }
}

function compare(a: SnapshotManifest, b: SnapshotManifest): number {
  return a.epoch - b.epoch || a.version - b.version;
}
