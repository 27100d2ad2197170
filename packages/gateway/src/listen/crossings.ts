// Promises to know how many crossings are under way and to say when there have been none for a while: the clock of a drain.
// Trusts that every `begin` has its `end`. Specified in docs/gateway.md "Drain".

/** The announced phase ends before the grace when nothing was under way for this long. */
export const quietMs = 500;
/** After listening ended: how long a connection that is still there has to send a request. */
export const lateRequestMs = 250;
/** After listening ended: longest wait for crossings under way, whatever their own deadlines are. */
export const lastCrossingsMsMax = 15_000;
/** A quiet is made of so many turns of timers: between them, what came while this process stood still is taken. */
const quietTurns = 5;

export class Crossings {
  readonly #watchers = new Set<() => void>();
  #count = 0;

  get count(): number {
    return this.#count;
  }

  begin(): void {
    this.#count++;
    if (this.#count === 1) this.#tell();
  }

  end(): void {
    this.#count--;
    if (this.#count === 0) this.#tell();
  }

  /** The phase in which everything is still served: over after `graceMs`, or when nothing comes any more. */
  announced(graceMs: number): Promise<void> {
    return this.quiet({ forMs: Math.min(quietMs, graceMs), atMostMs: graceMs });
  }

  /** Ends listening and waits for what is under way. A connection that never speaks does not hold it up. */
  async lastOf(listeners: readonly { stop(): Promise<void> }[]): Promise<void> {
    const stopped = Promise.all(listeners.map((listener) => listener.stop()));
    await Promise.race([stopped, this.quiet({ forMs: lateRequestMs, atMostMs: lastCrossingsMsMax })]);
  }

  /** Resolves when none has been under way for `forMs` in a row, or after `atMostMs`. Keeps no process alive. */
  quiet({ forMs, atMostMs }: { readonly forMs: number; readonly atMostMs: number }): Promise<void> {
    return new Promise((resolve) => {
      let calm: NodeJS.Timeout | undefined;
      const rest = (turns: number): NodeJS.Timeout =>
        setTimeout(() => {
          if (turns === 1) done();
          else calm = rest(turns - 1);
        }, forMs / quietTurns).unref();
      const look = (): void => {
        clearTimeout(calm);
        calm = this.#count === 0 ? rest(quietTurns) : undefined;
      };
      const done = (): void => {
        clearTimeout(calm);
        clearTimeout(limit);
        this.#watchers.delete(look);
        resolve();
      };
      const limit = setTimeout(done, atMostMs).unref();
      this.#watchers.add(look);
      look();
    });
  }

  #tell(): void {
    for (const look of this.#watchers) look();
  }
}
