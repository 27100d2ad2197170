// Promises that control is shown this node's checkpoints one at a time, and never an older one after a newer one: that is how a log looks that was put
// back. Trusts whoever calls it to show checkpoints nowhere else. Specified in docs/formats/join.md "Archive".

export class ShownCheckpoints {
  /** By origin: leaves of the largest one. */
  readonly #sizes = new Map<string, number>();
  #last: Promise<unknown> = Promise.resolve();

  /** Posts a checkpoint when the one before it was answered; null, and nothing is posted, when a larger one of its origin was shown by then. */
  show<T>(checkpoint: { readonly origin: string; readonly size: number }, post: () => Promise<T>): Promise<T | null> {
    const { origin, size } = checkpoint;
    const turn = this.#last.then(() => {
      if (size < (this.#sizes.get(origin) ?? 0)) return null;
      // Also where the post fails: control may have got it.
      this.#sizes.set(origin, size);
      return post();
    });
    this.#last = turn.catch(() => undefined);
    return turn;
  }
}
