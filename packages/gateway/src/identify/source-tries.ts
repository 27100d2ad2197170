// Promises that a source network which shows one token after the other that is not active is soon not asked about any more, for a while. Trusts its caller for
// the network's name. Bounded; it never leaves memory. Specified in docs/identity/outside-introspection.md "Bounds".

/** Tokens of one network that were not active, within a window, before its others are not asked about. */
export const triesMax = 32;
export const triesWindowMs = 10_000;
const sourcesMax = 4_096;

interface Tries {
  readonly sinceMs: number;
  count: number;
}

export class SourceTries {
  readonly #bySource = new Map<string, Tries>();

  isSpent(source: string, nowMs: number): boolean {
    const tries = this.#bySource.get(source);
    return tries !== undefined && nowMs - tries.sinceMs < triesWindowMs && tries.count >= triesMax;
  }

  count(source: string, nowMs: number): void {
    const tries = this.#bySource.get(source);
    if (tries !== undefined && nowMs - tries.sinceMs < triesWindowMs) {
      tries.count += 1;
      return;
    }
    // A crowd of networks gets no further by filling it: what control asks an issuer is bounded over all of them.
    if (this.#bySource.size >= sourcesMax) this.#bySource.clear();
    this.#bySource.set(source, { sinceMs: nowMs, count: 1 });
  }
}
