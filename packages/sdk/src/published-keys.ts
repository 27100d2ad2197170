// Promises the keys an issuer publishes, asked for ahead of need, one request at a time, at most once a second, whatever callers send.
// Trusts the one URL it was given. Specified in docs/formats/token.md §2 and docs/sdk.md, "Keys".
import type { VerifyKey } from "@sallyport/protocol/token/crypto.ts";
import { parsePublicJwk } from "@sallyport/protocol/token/jwk.ts";
import { type Fetch, fetchJson } from "./http.ts";
import { nodeCrypto } from "./node-crypto.ts";

/** Keys older than this are fetched again in the background. */
const keysFreshMs = 60_000;
/** Whatever callers send, keys are asked for at most this often. */
const keysPauseMs = 1_000;
/** Keys that could not be renewed are still believed this long: a control plane that is away must not stop the services. */
const keysKeptMs = 24 * 3_600_000;
const keysMax = 1_024;

export class PublishedKeys {
  readonly #fetch: Fetch;
  readonly #url: string;
  #keys: ReadonlyMap<string, VerifyKey> = new Map();
  #fetchedAt = Number.NEGATIVE_INFINITY;
  #askedAt = Number.NEGATIVE_INFINITY;
  #pending: Promise<boolean> | null = null;

  constructor(fetch: Fetch, url: string) {
    this.#fetch = fetch;
    this.#url = url;
  }

  find(kid: string): VerifyKey | undefined {
    return this.#keys.get(kid);
  }

  /** Renews old keys in the background and drops those that could not be renewed for too long. */
  age(now: number): void {
    if (now - this.#fetchedAt > keysKeptMs) this.#keys = new Map();
    if (this.#keys.size > 0 && now - this.#fetchedAt > keysFreshMs) void this.refresh(now);
  }

  /** True when the keys were renewed by this call or the one it joined. Never rejects. */
  refresh(now: number): Promise<boolean> {
    if (this.#pending !== null) return this.#pending;
    // A clock that was set back must not stop the asking for as long as it was ahead.
    if (now >= this.#askedAt && now - this.#askedAt < keysPauseMs) return Promise.resolve(false);
    this.#askedAt = now;
    this.#pending = this.#load(now).finally(() => {
      this.#pending = null;
    });
    return this.#pending;
  }

  async #load(now: number): Promise<boolean> {
    try {
      const { status, body } = await fetchJson(this.#fetch, this.#url, { headers: { accept: "application/json" } });
      if (status !== 200 || !Array.isArray(body?.keys) || body.keys.length > keysMax) return false;
      this.#keys = parseKeys(body.keys);
      this.#fetchedAt = now;
      return true;
    } catch {
      // Nobody answers: the keys we hold go on serving until they are too old, then everything is refused.
      return false;
    }
  }
}

/** A key is known by its own thumbprint, whatever `kid` stands beside it; keys we cannot use are left out. */
function parseKeys(listed: readonly unknown[]): ReadonlyMap<string, VerifyKey> {
  const keys = new Map<string, VerifyKey>();
  for (const one of listed) {
    const jwk = parsePublicJwk(one);
    const key = jwk === null ? null : nodeCrypto.importKey(jwk);
    if (key !== null) keys.set(key.kid, key);
  }
  return keys;
}
