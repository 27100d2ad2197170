// Promises that of any number of threads one at a time does what it holds the lock for. What is done under it must be short, must not wait and must not
// take it again. A thread that ends while it holds it leaves it taken: its process ends with it (crew.ts). Trusts its users for that.

/** Looks again so often before it sleeps: what is done under a lock takes about a microsecond. */
const spinsMax = 200;
const free = 0;
const held = 1;
/** Held, and somebody sleeps for it. */
const wanted = 2;

export class SharedLock {
  readonly #words: Int32Array;

  /** `memory`: at least four octets that nothing else uses, nought at first. */
  constructor(memory: SharedArrayBuffer) {
    this.#words = new Int32Array(memory, 0, 1);
  }

  run<T>(act: () => T): T {
    this.#take();
    try {
      return act();
    } finally {
      if (Atomics.exchange(this.#words, 0, free) === wanted) Atomics.notify(this.#words, 0, 1);
    }
  }

  #take(): void {
    for (let spin = 0; spin < spinsMax; spin++)
      if (Atomics.compareExchange(this.#words, 0, free, held) === free) return;
    while (Atomics.exchange(this.#words, 0, wanted) !== free) Atomics.wait(this.#words, 0, wanted);
  }
}
