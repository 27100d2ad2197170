// Promises the keys that nodes sign hop tokens with, each of one node, and their public set. Trusts that a node has proven its key. docs/formats/join.md.
import type { PublicJwk } from "@sallyport/protocol/token/jwk.ts";

export interface HopKey {
  readonly kid: string;
  readonly jwk: PublicJwk;
}

export class HopKeys {
  readonly #keys = new Map<string, HopKey>();

  /** The hop key a node signs with from now on; null removes the node's. False: the key is another node's, and stays that one's. */
  set(node: string, key: HopKey | null): boolean {
    if (key === null) {
      this.#keys.delete(node);
      return true;
    }
    for (const [other, { kid }] of this.#keys) if (kid === key.kid && other !== node) return false;
    this.#keys.set(node, key);
    return true;
  }

  of(node: string): HopKey | null {
    return this.#keys.get(node) ?? null;
  }

  /** RFC 7517. */
  jwks(): unknown {
    return { keys: [...this.#keys.values()].map(({ kid, jwk }) => ({ ...jwk, kid, use: "sig" })) };
  }
}
