// Promises every fold the same present view of the origins, and to wake all of them when it changes. Trusts the records behind it.
// Used by fold-runner.ts.
import type { HeldOrigin, HeldRecords } from "@sallyport/kernel/log/held-records.ts";

const pauseAfterFaultMs = 1_000;

export class OriginWatch {
  readonly #records: Pick<HeldRecords, "origins" | "grown">;
  readonly #pause: (ms: number, signal: AbortSignal) => Promise<void>;
  readonly #ending = new AbortController();
  readonly #done: Promise<void>;
  #origins: readonly HeldOrigin[] = [];
  #version = 0;
  #fault: string | null = null;
  #wake = Promise.withResolvers<void>();

  constructor(
    records: Pick<HeldRecords, "origins" | "grown">,
    pause: (ms: number, signal: AbortSignal) => Promise<void>,
  ) {
    this.#records = records;
    this.#pause = pause;
    this.#done = this.#run();
  }

  get origins(): readonly HeldOrigin[] {
    return this.#origins;
  }

  /** Goes up each time the origins were read anew. */
  get version(): number {
    return this.#version;
  }

  /** Why the origins cannot be read at present; null when they can. */
  get fault(): string | null {
    return this.#fault;
  }

  /** Resolves when the view is younger than `version`, or when the signal aborts. */
  async after(version: number, signal: AbortSignal): Promise<void> {
    while (this.#version <= version && !signal.aborted && !this.#ending.signal.aborted) {
      const { promise, resolve } = Promise.withResolvers<void>();
      const end = () => resolve();
      signal.addEventListener("abort", end, { once: true });
      await Promise.race([this.#wake.promise, promise]);
      signal.removeEventListener("abort", end);
    }
  }

  async close(): Promise<void> {
    this.#ending.abort();
    await this.#done;
    this.#wake.resolve();
  }

  async #run(): Promise<void> {
    const { signal } = this.#ending;
    while (!signal.aborted) {
      try {
        this.#origins = await this.#records.origins();
        this.#fault = null;
        this.#version += 1;
        this.#wake.resolve();
        this.#wake = Promise.withResolvers<void>();
        await this.#records.grown(signal);
      } catch (error) {
        this.#fault = error instanceof Error ? error.message : "unknown";
        await this.#pause(pauseAfterFaultMs, signal);
      }
    }
  }
}
