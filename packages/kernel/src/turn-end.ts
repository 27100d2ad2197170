// Promises that costly pieces of work which come up in one turn of the event loop run at its end, one behind the other: a signature throws what the
// code of a request needs out of the processor's caches, and this way once per turn and not once per request. Trusts setImmediate to come before
// anything is waited for. What waits is what was read in this turn; whoever hands work in bounds how much that is. Measured in bench/RESULTS.md.

interface Waiting {
  readonly run: () => void;
  readonly reject: (fault: unknown) => void;
}

export class TurnEnd {
  #waiting: Waiting[] = [];

  /** What `work` gives at the end of this turn; rejects with what it throws. Work runs in the order it came in, and all of it before anybody goes on. */
  run<T>(work: () => T | Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      if (this.#waiting.push({ run: () => resolve(work()), reject }) === 1) setImmediate(this.#all);
    });
  }

  readonly #all = (): void => {
    const waiting = this.#waiting;
    // What is handed in from here on belongs to the next turn.
    this.#waiting = [];
    for (const { run, reject } of waiting) {
      try {
        run();
      } catch (fault) {
        reject(fault);
      }
    }
  };
}
