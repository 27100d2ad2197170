// Promises to know which intents have no outcome yet. Trusts the order of the leaves it is given. Rules: docs/formats/leaf.md "Crossings and completeness".
import type { LeafHead } from "@sallyport/protocol/audit/leaf-format.ts";

/** Intents open at once; a gateway has far fewer crossings in flight. Beyond it an intent is refused before it is written. */
export const openIntentsMax = 131_072;

export class OpenIntents {
  #open = new Set<string>();

  get count(): number {
    return this.#open.size;
  }

  has(id: string): boolean {
    return this.#open.has(id);
  }

  ids(): string[] {
    return [...this.#open];
  }

  replace(ids: readonly string[]): void {
    this.#open = new Set(ids);
  }

  take(head: LeafHead): void {
    if (head.id === null) return;
    if (head.t === "intent") this.#open.add(head.id);
    else if (head.t === "outcome") this.#open.delete(head.id);
  }
}
