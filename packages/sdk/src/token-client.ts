// Promises a live access token, bound to a key that never leaves this process or to a client certificate, with as few round trips as its
// lifetime allows. Trusts the issuer's TLS identity and its metadata only as far as they name the same issuer.
// Specified by RFC 6749 §4.4, RFC 7523, RFC 8414, RFC 8705, RFC 8707, RFC 9449 and docs/formats/token.md §8.
import { DpopProofs, freshId } from "./dpop-proofs.ts";
import { SallyportFault } from "./fault.ts";
import { type Fetch, fetchJson, type JsonAnswer, type SdkPorts } from "./http.ts";
import { type AccessToken, type IssuedToken, parseTokenAnswer } from "./issued-token.ts";
import { discoverTokenEndpoint } from "./metadata.ts";
import { generateClientKey } from "./node-crypto.ts";
import { type PlainHttpOptions, refusePlainHttp } from "./plain-http.ts";
import { type KeySource, type Signer, signedJws, signerFrom } from "./signer.ts";
import { certificateThumbprint, type TlsOptions, tlsFetch } from "./tls-fetch.ts";

export type { AccessToken };

export interface TokenClientOptions extends SdkPorts, PlainHttpOptions {
  /** `<identity url>/<tenant>/<environment>` */
  readonly issuer: string;
  readonly clientId: string;
  /** The key whose public half is declared for the client: PEM, JWK, KeyObject, CryptoKey or pair, or a call to where it lives. */
  readonly key: KeySource;
  /** Tokens are bound to this key; default: a fresh one that dies with the process. */
  readonly dpopKey?: KeySource;
  /** Roots and client certificate; not together with `fetch`. */
  readonly tls?: TlsOptions;
  /** `dpop` (default) binds tokens to `dpopKey`, `mtls` to the certificate in `tls`. */
  readonly proof?: "dpop" | "mtls";
}

export interface TokenRequest {
  /** Audience of the provider: `<issuer>/systems/<system>`. */
  readonly resource: string;
  /** Space separated; absent: all the grants allow. */
  readonly scope?: string;
}

/** Different (resource, scope) pairs kept at once. */
const cachedTokensMax = 64;
const assertionLifetimeSeconds = 60;
/** After a renewal failed while the old token still serves, the next one waits this long. */
const refreshPauseMs = 1_000;
/** Differences of clocks below this are the same difference. */
const skewStepMs = 3_000;

interface Slot {
  readonly request: TokenRequest;
  current: IssuedToken | null;
  pending: Promise<IssuedToken> | null;
  pausedUntil: number;
  /** A gateway refused the current token for having been issued before a cut-off. */
  doubted: boolean;
}

/** Makes a TokenClient. Throws TypeError for options that contradict each other, and for an issuer in clear without `allowHttp`. */
export function tokenClient(options: TokenClientOptions): TokenClient {
  return new TokenClient(options);
}

export class TokenClient {
  readonly proofs: DpopProofs;
  /** What this client speaks through: a fetch for the gateway that presents the same certificate. */
  readonly transport: Fetch;
  readonly #options: Pick<TokenClientOptions, "issuer" | "clientId">;
  readonly #key: () => Promise<Signer>;
  /** Thumbprint of the certificate tokens are bound to; null with DPoP. */
  readonly #x5t: string | null;
  readonly #now: () => number;
  readonly #random: () => number;
  readonly #slots = new Map<string, Slot>();
  #endpoint: Promise<URL> | null = null;

  constructor(options: TokenClientOptions) {
    const { tls, fetch, issuer, clientId } = options;
    if (tls !== undefined && fetch !== undefined) throw new TypeError("Pass `tls` or your own `fetch`, not both.");
    if (options.proof === "mtls" && tls?.cert === undefined)
      throw new TypeError('With proof "mtls" a certificate is needed: tls: { cert, key }.');
    refusePlainHttp("issuer", issuer, options);
    this.#options = { issuer, clientId };
    this.#key = once(options.key);
    this.#x5t = options.proof === "mtls" && tls?.cert !== undefined ? certificateThumbprint(tls.cert) : null;
    this.transport = tls === undefined ? (fetch ?? globalThis.fetch) : tlsFetch(tls);
    this.#now = options.now ?? Date.now;
    this.#random = options.random ?? Math.random;
    this.proofs = new DpopProofs(once(options.dpopKey ?? generateClientKey().signer), this.#now);
  }

  /**
   * A token that is good for a while yet. Concurrent calls share one request; a token near its end is renewed in the background. `signal` ends
   * this caller's wait, not the request others share.
   * Throws SallyportFault: metadata-unusable, token-endpoint-unreachable, token-endpoint-refused, token-answer-unusable, key-unusable.
   */
  async token(request: TokenRequest, wait: { readonly signal?: AbortSignal | null } = {}): Promise<AccessToken> {
    wait.signal?.throwIfAborted();
    const slot = this.#slotOf(request);
    const now = this.#now();
    const { current } = slot;
    if (current === null || now >= current.usableUntil) return unlessAborted(this.#renew(slot), wait.signal);
    if (slot.doubted && now >= slot.pausedUntil) return unlessAborted(this.#replace(slot, current), wait.signal);
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

  async #replace(slot: Slot, current: IssuedToken): Promise<IssuedToken> {
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

  #renew(slot: Slot): Promise<IssuedToken> {
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

  async #request(request: TokenRequest): Promise<IssuedToken> {
    const endpoint = await this.#discover();
    const { origin } = endpoint;
    const at = this.#now();
    const used = { nonce: this.proofs.nonceOf(origin), skewMs: this.#skewAt(origin) };
    let answer = await this.#ask(endpoint, request);
    const fresh = this.proofs.learn(origin, answer.headers, used.nonce);
    // RFC 9449 §8: once, and only when the server brought a nonce we have not just used.
    const wantsNonce = fresh && answer.status === 400 && answer.body?.error === "use_dpop_nonce";
    // Signed by a clock that was wrong: once more by the server's.
    const wantsTime = (answer.status === 400 || answer.status === 401) && this.#skewAt(origin) !== used.skewMs;
    if (wantsNonce || wantsTime) {
      answer = await this.#ask(endpoint, request);
      this.proofs.learn(origin, answer.headers, undefined);
    }
    const x5t = this.#x5t === null ? {} : { x5t: this.#x5t };
    return parseTokenAnswer(answer, { at, jitter: this.#random(), ...x5t });
  }

  /** What we add to our clock for this server, in whole steps: two answers of one second must not look like two times. */
  #skewAt(origin: string): number {
    return Math.round((this.proofs.nowAt(origin) - this.#now()) / skewStepMs);
  }

  async #ask(endpoint: URL, { resource, scope }: TokenRequest): Promise<JsonAnswer> {
    const body = new URLSearchParams({
      grant_type: "client_credentials",
      client_assertion_type: "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
      client_assertion: await this.#assertion(endpoint.origin),
      resource,
      ...(scope === undefined ? {} : { scope }),
    });
    const proof = this.#x5t === null ? { dpop: await this.proofs.make({ method: "POST", url: endpoint }) } : {};
    try {
      const headers = { accept: "application/json", ...proof };
      return await fetchJson(this.transport, endpoint.href, { method: "POST", headers, body });
    } catch (cause) {
      throw new SallyportFault("token-endpoint-unreachable", {
        public: "The token endpoint did not answer.",
        internal: `no answer from ${endpoint.origin}`,
        cause,
      });
    }
  }

  /** The audience is the issuer and nothing else: an assertion for one server must be worthless at another. */
  async #assertion(origin: string): Promise<string> {
    const { issuer, clientId } = this.#options;
    const key = await this.#key();
    const iat = Math.floor(this.proofs.nowAt(origin) / 1000);
    const exp = iat + assertionLifetimeSeconds;
    const claims = { iss: clientId, sub: clientId, aud: issuer, jti: freshId(), iat, exp };
    return signedJws({ alg: key.alg, typ: "JWT", kid: key.kid }, claims, key);
  }

  /** Kept once it succeeded; a failure is not remembered. */
  #discover(): Promise<URL> {
    if (this.#endpoint !== null) return this.#endpoint;
    const endpoint = discoverTokenEndpoint(this.transport, this.#options.issuer).then(({ url, headers }) => {
      // Before the first assertion is signed: a wrong clock would have it refused.
      if (url.origin === new URL(this.#options.issuer).origin) this.proofs.learn(url.origin, headers, undefined);
      return url;
    });
    this.#endpoint = endpoint;
    endpoint.catch(() => {
      this.#endpoint = null;
    });
    return endpoint;
  }
}

/** Reads the key at its first use and keeps it; a failure is not remembered. */
function once(source: KeySource): () => Promise<Signer> {
  let signer: Promise<Signer> | null = null;
  return () => {
    signer ??= signerFrom(source).catch((cause: unknown) => {
      signer = null;
      throw cause instanceof SallyportFault
        ? cause
        : new SallyportFault("key-unusable", {
            public: `The client's key cannot be used: ${cause instanceof TypeError ? cause.message : "it cannot be read as a private key"}`,
            cause,
          });
    });
    return signer;
  };
}

function unlessAborted<T>(work: Promise<T>, signal: AbortSignal | null | undefined): Promise<T> {
  if (signal === null || signal === undefined) return work;
  return new Promise((resolve, reject) => {
    const end = () => reject(signal.reason);
    signal.addEventListener("abort", end, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener("abort", end));
  });
}
