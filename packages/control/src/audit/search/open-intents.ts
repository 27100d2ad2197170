// Promises that the outcome of an effect can be told by what its intent said: whose, which operation, which integration. Trusts that ids of one node
// do not repeat; an outcome is joined only with an intent of the same node. Bounded: the oldest open intent is forgotten first.
import type { Leaf } from "@sallyport/protocol/audit/leaf.ts";
import { readLeaf } from "./record-terms.ts";

export const openIntentsMax = 16_384;

export interface OpenIntent {
  readonly leaf: Leaf;
  readonly bytes: Uint8Array;
}

interface Kept {
  readonly key: string;
  readonly leaf: Uint8Array;
}

export class OpenIntents {
  readonly #open = new Map<string, OpenIntent>();
  /** Keys that a store has. */
  readonly #stored = new Set<string>();
  /** Open, and not in a store: most are ended before a store hears of them. */
  readonly #unstored = new Set<string>();
  #ended: string[] = [];

  constructor(kept: readonly Kept[] = []) {
    for (const { key, leaf: bytes } of kept) {
      const leaf = readLeaf(bytes);
      if (leaf === null) continue;
      this.#open.set(key, { leaf, bytes });
      this.#stored.add(key);
    }
  }

  /** The intent that this leaf goes on with or ends; an intent itself is kept until then. */
  follow(node: string, leaf: Leaf, bytes: Uint8Array): OpenIntent | null {
    if (leaf.t === "intent") {
      // Copied: a batch's bytes are one block of memory, which a single open intent must not hold.
      const key = `${node} ${leaf.id}`;
      this.#open.set(key, { leaf, bytes: new Uint8Array(bytes) });
      this.#unstored.add(key);
      if (this.#open.size > openIntentsMax) this.#forgetOldest();
      return null;
    }
    if (leaf.t !== "outcome" && leaf.t !== "progress") return null;
    const key = `${node} ${leaf.id}`;
    const intent = this.#open.get(key) ?? null;
    if (intent !== null && leaf.t === "outcome") this.#end(key);
    return intent;
  }

  #forgetOldest(): void {
    const [oldest] = this.#open.keys();
    if (oldest !== undefined) this.#end(oldest);
  }

  #end(key: string): void {
    this.#open.delete(key);
    this.#unstored.delete(key);
    if (this.#stored.delete(key)) this.#ended.push(key);
  }

  /** Call before a batch; `end` says what a store has to add and remove so that it has what is open. */
  begin(): { end(): { readonly opened: readonly Kept[]; readonly ended: readonly string[] } } {
    this.#ended = [];
    return {
      end: () => {
        const opened: Kept[] = [];
        for (const key of this.#unstored) {
          const bytes = this.#open.get(key)?.bytes;
          if (bytes === undefined) continue;
          opened.push({ key, leaf: bytes });
          this.#stored.add(key);
        }
        this.#unstored.clear();
        return { opened, ended: this.#ended };
      },
    };
  }
}
