// Promises that a verified token is verified once, and that a hit proves nothing but the signature and the claims it carried then:
// expiry, revocation, proof of possession and authorisation are checked after every hit. Trusts its key to name everything the
// verification depended on (gateways.md §3 rows 13 and 14). Format: none, it never leaves memory.
import { hash } from "node:crypto";

export interface TokenCacheKey {
  readonly issuer: string;
  /** Rules and key ring: a token of a removed key is verified anew (and refused). */
  readonly validator: string;
  /** `sha256` of the token, base64url: also DPoP's `ath`. */
  readonly tokenHash: string;
  /** How it was presented; the proof itself is checked at every use. */
  readonly binding: string;
}

export const tokenCacheEntriesMax = 20_000;

/** base64url SHA-256 of a token's ASCII bytes. */
export function hashToken(token: string): string {
  return hash("sha256", token, "base64url");
}

export function tokenCacheKey(key: TokenCacheKey): string {
  return `${key.issuer}\n${key.validator}\n${key.tokenHash}\n${key.binding}`;
}

/** Bounded; two generations: what was not asked for during a whole generation is dropped, without a clock and without sorting. */
export class TokenCache<V> {
  readonly #half: number;
  #young = new Map<string, V>();
  #old = new Map<string, V>();
  hits = 0;
  misses = 0;

  constructor(entriesMax: number) {
    this.#half = Math.max(1, Math.floor(entriesMax / 2));
  }

  get size(): number {
    return this.#young.size + this.#old.size;
  }

  find(key: string): V | undefined {
    const young = this.#young.get(key);
    if (young !== undefined) {
      this.hits++;
      return young;
    }
    const old = this.#old.get(key);
    if (old === undefined) {
      this.misses++;
      return undefined;
    }
    this.hits++;
    this.put(key, old);
    return old;
  }

  /** Without counting it as a hit or a miss. */
  has(key: string): boolean {
    return this.#young.has(key) || this.#old.has(key);
  }

  put(key: string, value: V): void {
    if (this.#young.size >= this.#half) {
      this.#old = this.#young;
      this.#young = new Map();
    }
    this.#young.set(key, value);
  }

  drop(key: string): void {
    this.#young.delete(key);
    this.#old.delete(key);
  }

  clear(): void {
    this.#young.clear();
    this.#old.clear();
  }
}

interface Stats {
  readonly hits: number;
  readonly misses: number;
  readonly size: number;
}

/** Both caches as one; what the first did not have is looked for in the second. */
export function tokenCacheStats(own: Stats, outside: Stats): Stats {
  const { hits, size } = outside;
  return { hits: own.hits + hits, misses: own.misses - hits, size: own.size + size };
}
