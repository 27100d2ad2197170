// Promises a service that a request came through a gateway of its own environment, and who is behind it; what comes around it is refused.
// Trusts the hop keys published under the issuer's own origin. Specified in docs/formats/token.md §6.
import type { HopTokenClaims } from "@sallyport/protocol/token/claims.ts";
import type { VerifyKey } from "@sallyport/protocol/token/crypto.ts";
import { verifyHopToken } from "@sallyport/protocol/token/hop-token.ts";
import { parsePublicJwk } from "@sallyport/protocol/token/jwk.ts";
import { type Deny, deny } from "@sallyport/protocol/verdict.ts";
import { type Fetch, fetchJson, type SdkPorts } from "./http.ts";
import { nodeCrypto } from "./node-crypto.ts";

export interface RequestVerifierOptions extends SdkPorts {
  readonly issuer: string;
  /** This service's own audience: `<issuer>/systems/<system>`. */
  readonly audience: string;
  /** Default `<issuer>/hop-jwks`. */
  readonly hopKeysUrl?: string;
}

export interface VerifiedRequest {
  readonly kind: "verified";
  /** `sub`: caller system. `op`: the operation that was authorised: compare it with what you are about to do. */
  readonly claims: HopTokenClaims;
}

/** Headers of fetch, or of node:http (`request.headers`), which joins repeated fields so that two tokens never pass as one. */
export type RequestHeaders = Headers | Readonly<Record<string, string | readonly string[] | undefined>>;

export type VerifyRequest = (headers: RequestHeaders) => Promise<VerifiedRequest | Deny>;

/** Keys older than this are fetched again in the background. */
const keysFreshMs = 60_000;
/** Whatever callers send, keys are asked for at most this often. */
const keysPauseMs = 1_000;
/** Keys that could not be renewed are still believed this long: a control plane that is away must not stop the services. */
const keysKeptMs = 24 * 3_600_000;
const keysMax = 1_024;

/**
 * Makes the check a service runs on every request. Codes: credentials-missing, and those of docs/formats/token.md §6.
 * An unknown `kid` waits for one shared look at the published keys, at most one per second and only ever at `hopKeysUrl`.
 */
export function createRequestVerifier(options: RequestVerifierOptions): VerifyRequest {
  const now = options.now ?? Date.now;
  const keys = new HopKeys(options.fetch ?? globalThis.fetch, options.hopKeysUrl ?? `${options.issuer}/hop-jwks`);
  return async (headers) => {
    const token = identityOf(headers);
    if (token === null)
      return deny("identify", "credentials-missing", {
        why: "no Sallyport-Identity: the request did not come through a gateway",
      });
    const rules = { issuer: options.issuer, audience: options.audience, keys };
    keys.age(now());
    const first = verifyHopToken(token, { ...rules, now: now() });
    if (first.kind === "verified" || first.code !== "token-key-unknown" || !(await keys.refresh(now()))) return first;
    return verifyHopToken(token, { ...rules, now: now() });
  };
}

function identityOf(headers: RequestHeaders): string | null {
  const value = headers instanceof Headers ? headers.get("sallyport-identity") : headers["sallyport-identity"];
  if (value === undefined || value === null) return null;
  return typeof value === "string" ? value : value.join(", ");
}

class HopKeys {
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
    if (now - this.#askedAt < keysPauseMs) return Promise.resolve(false);
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
