// Promises the public keys tokens may be signed with, exactly as control pushed them; a ring only moves forward. Unknown keys are never fetched.
// Trusts the channel. Specified in docs/formats/join.md (keys) and DESIGN §7.4.
import { importLegacyKey } from "@sallyport/kernel/legacy-keys.ts";
import type { LegacyRingKey, RingKey } from "@sallyport/protocol/channel/messages.ts";
import type {
  LegacyTokenKeys,
  LegacyVerifyKey,
  TokenCrypto,
  TokenKeys,
  VerifyKey,
} from "@sallyport/protocol/token/crypto.ts";
import { parsePublicJwk } from "@sallyport/protocol/token/jwk.ts";

export const ringKeysMax = 64;

export interface RingState {
  readonly seq: number;
  readonly keys: readonly RingKey[];
  /** Absent: none. */
  readonly legacy?: readonly LegacyRingKey[];
}

export class TokenRing implements TokenKeys {
  readonly #crypto: TokenCrypto;
  #state: RingState = { seq: 0, keys: [] };
  #keys = new Map<string, VerifyKey>();
  #legacy = new Map<string, LegacyVerifyKey>();

  constructor(crypto: TokenCrypto) {
    this.#crypto = crypto;
  }

  get seq(): number {
    return this.#state.seq;
  }

  get size(): number {
    return this.#keys.size;
  }

  find(kid: string): VerifyKey | undefined {
    return this.#keys.get(kid);
  }

  /** Keys for audiences that know only RSA; null while there are none: then no token of RSA is read at all. */
  get legacy(): LegacyTokenKeys | null {
    const keys = this.#legacy;
    return keys.size === 0 ? null : { find: (kid) => keys.get(kid) };
  }

  /** Replaces the whole ring; false for a ring older than the one held, or one with a key that is not what its `kid` says. */
  replace(state: RingState): boolean {
    const { seq, legacy = [] } = state;
    if (seq < this.#state.seq || state.keys.length + legacy.length > ringKeysMax) return false;
    const keys = new Map<string, VerifyKey>();
    for (const entry of state.keys) {
      const jwk = parsePublicJwk(entry.jwk);
      const key = jwk === null ? null : this.#crypto.importKey(jwk);
      if (key === null || key.kid !== entry.kid || key.alg !== entry.alg) return false;
      keys.set(key.kid, key);
    }
    const legacyKeys = legacy.map(importLegacyKey);
    if (!legacyKeys.every((key) => key !== null)) return false;
    this.#keys = keys;
    this.#legacy = new Map(legacyKeys.map((key) => [key.kid, key]));
    this.#state = { seq, keys: state.keys, ...(legacy.length === 0 ? {} : { legacy }) };
    return true;
  }

  state(): RingState {
    return this.#state;
  }
}
