// Promises a live access token, bound to a key that never leaves this process, with as few round trips as its lifetime allows.
// Trusts the issuer's TLS identity and its metadata only as far as they name the same issuer.
// Specified by RFC 6749 §4.4, RFC 7523, RFC 8414, RFC 8707, RFC 9449 and docs/formats/token.md §8.
import type { TokenSigner } from "@sallyport/protocol/token/crypto.ts";
import { accessTokenHash } from "@sallyport/protocol/token/dpop.ts";
import { signCompactJws } from "@sallyport/protocol/token/jws.ts";
import { DpopProofs, freshId } from "./dpop-proofs.ts";
import { SallyportFault } from "./fault.ts";
import { type Fetch, fetchJson, type JsonAnswer, type SdkPorts } from "./http.ts";
import { generateClientKey, nodeCrypto } from "./node-crypto.ts";

export interface TokenClientOptions extends SdkPorts {
  /** `<identity url>/<tenant>/<environment>` */
  readonly issuer: string;
  readonly clientId: string;
  /** The key whose public half is declared for the client. */
  readonly key: TokenSigner;
  /** Tokens are bound to this key; default: a fresh one that dies with the process. */
  readonly dpopKey?: TokenSigner;
}

export interface TokenRequest {
  /** Audience of the provider: `<issuer>/systems/<system>`. */
  readonly resource: string;
  /** Space separated; absent: all the grants allow. */
  readonly scope?: string;
}

export interface AccessToken {
  readonly token: string;
  /** base64url SHA-256 of `token`, ready for a proof. */
  readonly ath: string;
  /** Milliseconds since the epoch; do not use it later. */
  readonly usableUntil: number;
}

/** Different (resource, scope) pairs kept at once. */
const cachedTokensMax = 64;
const assertionLifetimeSeconds = 60;
/** A token is renewed in the background from this part of its life on. */
const refreshAheadPart = 0.75;
/** A token is not used in the last part of its life, so that it does not end on the way. */
const reservePart = 0.1;
const reserveMsMax = 10_000;
/** After a background renewal failed, the next one waits this long. */
const refreshPauseMs = 1_000;
const tokenForm = /^[A-Za-z0-9._~+/-]{1,8192}$/;

interface CachedToken extends AccessToken {
  readonly refreshFrom: number;
}

interface Slot {
  readonly request: TokenRequest;
  current: CachedToken | null;
  pending: Promise<CachedToken> | null;
  pausedUntil: number;
  /** A gateway refused the current token for having been issued before a cut-off. */
  doubted: boolean;
}

export class TokenClient {
  readonly proofs: DpopProofs;
  readonly #options: TokenClientOptions;
  readonly #fetch: Fetch;
  readonly #now: () => number;
  readonly #slots = new Map<string, Slot>();
  #endpoint: Promise<URL> | null = null;

  constructor(options: TokenClientOptions) {
    this.#options = options;
    this.#fetch = options.fetch ?? globalThis.fetch;
    this.#now = options.now ?? Date.now;
    this.proofs = new DpopProofs(options.dpopKey ?? generateClientKey().signer, this.#now);
  }

  /**
   * A token that is good for a while yet. Concurrent calls share one request; a token near its end is renewed in the background.
   * Throws SallyportFault: metadata-unusable, token-endpoint-unreachable, token-endpoint-refused, token-answer-unusable.
   */
  async token(request: TokenRequest): Promise<AccessToken> {
    const slot = this.#slotOf(request);
    const now = this.#now();
    const { current } = slot;
    if (current === null || now >= current.usableUntil) return this.#renew(slot);
    if (slot.doubted && now >= slot.pausedUntil) return this.#replace(slot, current);
    if (now >= current.refreshFrom && slot.pending === null && now >= slot.pausedUntil) {
      this.#renew(slot).catch(() => {
        // The current token still serves; whoever needs a new one gets the fault.
        slot.pausedUntil = this.#now() + refreshPauseMs;
      });
    }
    return current;
  }

  /** Drops a token that a gateway refused, so that the next call asks for a new one. */
  forget(token: AccessToken): void {
    for (const slot of this.#slots.values()) {
      if (slot.current?.token === token.token) slot.current = null;
    }
  }

  /** Asks for another token before this one is used again; while the issuer gives none, this one stays. */
  doubt(token: AccessToken): void {
    for (const slot of this.#slots.values()) {
      if (slot.current?.token === token.token) slot.doubted = true;
    }
  }

  async #replace(slot: Slot, current: CachedToken): Promise<CachedToken> {
    try {
      return await this.#renew(slot);
    } catch {
      // The gateway's refusal says more than the issuer's: the caller gets that one.
      slot.pausedUntil = this.#now() + refreshPauseMs;
      return current;
    }
  }

  #slotOf(request: TokenRequest): Slot {
    const key = `${request.resource}\n${request.scope ?? ""}`;
    const known = this.#slots.get(key);
    if (known !== undefined) return known;
    if (this.#slots.size >= cachedTokensMax) {
      for (const oldest of this.#slots.keys()) {
        this.#slots.delete(oldest);
        break;
      }
    }
    const slot: Slot = { request, current: null, pending: null, pausedUntil: 0, doubted: false };
    this.#slots.set(key, slot);
    return slot;
  }

  #renew(slot: Slot): Promise<CachedToken> {
    if (slot.pending !== null) return slot.pending;
    const pending = this.#request(slot.request)
      .then((token) => {
        slot.current = token;
        slot.doubted = false;
        return token;
      })
      .finally(() => {
        slot.pending = null;
      });
    slot.pending = pending;
    return pending;
  }

  async #request(request: TokenRequest): Promise<CachedToken> {
    const endpoint = await this.#discover();
    const askedAt = this.#now();
    const used = this.proofs.nonceOf(endpoint.origin);
    let answer = await this.#ask(endpoint, request);
    const fresh = this.proofs.learn(endpoint.origin, answer.headers, used);
    // RFC 9449 §8: once, and only when the server brought a nonce we have not just used.
    if (fresh && answer.status === 400 && answer.body?.error === "use_dpop_nonce") {
      answer = await this.#ask(endpoint, request);
      this.proofs.learn(endpoint.origin, answer.headers, undefined);
    }
    return parseTokenAnswer(answer, askedAt);
  }

  async #ask(endpoint: URL, { resource, scope }: TokenRequest): Promise<JsonAnswer> {
    const body = new URLSearchParams({
      grant_type: "client_credentials",
      client_assertion_type: "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
      client_assertion: this.#assertion(),
      resource,
      ...(scope === undefined ? {} : { scope }),
    });
    const headers = { accept: "application/json", dpop: this.proofs.make({ method: "POST", url: endpoint }) };
    try {
      return await fetchJson(this.#fetch, endpoint.href, { method: "POST", headers, body });
    } catch (cause) {
      throw new SallyportFault("token-endpoint-unreachable", {
        public: "The token endpoint did not answer.",
        internal: `no answer from ${endpoint.origin}`,
        cause,
      });
    }
  }

  /** The audience is the issuer and nothing else: an assertion for one server must be worthless at another. */
  #assertion(): string {
    const { issuer, clientId, key } = this.#options;
    const iat = Math.floor(this.#now() / 1000);
    const claims = {
      iss: clientId,
      sub: clientId,
      aud: issuer,
      jti: freshId(),
      iat,
      exp: iat + assertionLifetimeSeconds,
    };
    return signCompactJws({ alg: key.alg, typ: "JWT", kid: key.kid }, claims, key);
  }

  /** Kept once it succeeded; a failure is not remembered. */
  #discover(): Promise<URL> {
    if (this.#endpoint !== null) return this.#endpoint;
    const endpoint = discoverTokenEndpoint(this.#fetch, this.#options.issuer);
    this.#endpoint = endpoint;
    endpoint.catch(() => {
      this.#endpoint = null;
    });
    return endpoint;
  }
}

/** RFC 8414 §3.1: the well-known part stands between host and path. */
async function discoverTokenEndpoint(fetch: Fetch, issuer: string): Promise<URL> {
  const { origin, pathname, protocol } = new URL(issuer);
  const url = `${origin}/.well-known/oauth-authorization-server${pathname === "/" ? "" : pathname}`;
  const unusable = (internal: string, cause?: unknown): SallyportFault =>
    new SallyportFault("metadata-unusable", {
      public: `The issuer's metadata at ${url} cannot be used.`,
      internal,
      cause,
    });
  let answer: JsonAnswer;
  try {
    answer = await fetchJson(fetch, url, { headers: { accept: "application/json" } });
  } catch (cause) {
    throw unusable("no answer", cause);
  }
  if (answer.status !== 200 || answer.body === null) throw unusable(`status ${answer.status}, or no JSON object`);
  // RFC 8414 §3.3: metadata that names another issuer is a mix-up and must not be used.
  if (answer.body.issuer !== issuer) throw unusable("it names another issuer");
  const endpoint = answer.body.token_endpoint;
  if (typeof endpoint !== "string" || !URL.canParse(endpoint)) throw unusable("token_endpoint is not a URL");
  const parsed = new URL(endpoint);
  if (parsed.protocol !== protocol) throw unusable("token_endpoint has another scheme than the issuer");
  return parsed;
}

function parseTokenAnswer({ status, body }: JsonAnswer, askedAt: number): CachedToken {
  if (status !== 200) {
    const error =
      typeof body?.error === "string" && /^[a-z_]{1,64}$/.test(body.error) ? body.error : `status ${status}`;
    throw new SallyportFault("token-endpoint-refused", { public: `The issuer gave no token: ${error}.` });
  }
  const { access_token: token, token_type: type, expires_in: seconds } = body ?? {};
  const unusable = (internal: string): SallyportFault =>
    new SallyportFault("token-answer-unusable", { public: "The issuer's answer cannot be used.", internal });
  if (typeof token !== "string" || !tokenForm.test(token)) throw unusable("access_token is missing or malformed");
  // A Bearer answer to a request with a proof would be a token anybody can use.
  if (typeof type !== "string" || type.toLowerCase() !== "dpop")
    throw unusable("the token is not bound to our key: token_type is not DPoP");
  if (typeof seconds !== "number" || !Number.isInteger(seconds) || seconds < 1)
    throw unusable("expires_in is not a positive whole number");
  const lifetimeMs = seconds * 1000;
  return {
    token,
    ath: accessTokenHash(token, nodeCrypto),
    usableUntil: askedAt + lifetimeMs - Math.min(reserveMsMax, lifetimeMs * reservePart),
    refreshFrom: askedAt + lifetimeMs * refreshAheadPart,
  };
}
