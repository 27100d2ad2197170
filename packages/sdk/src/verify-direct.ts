// Promises a service that stands without a gateway in front the gateway's own check of a caller: token, key, method, URL, nonce, once.
// It grants nothing: what this caller may do is the service's to decide, by scope. Trusts the issuer's published keys; of revocations it hears
// nothing, so a revoked token passes until its end (five minutes at most). Specified in docs/formats/token.md §3-5.
import { acceptAccessToken, readAccessToken } from "@sallyport/protocol/token/access-token.ts";
import type { AccessTokenClaims } from "@sallyport/protocol/token/claims.ts";
import { accessTokenHash, verifyDpopProof } from "@sallyport/protocol/token/dpop.ts";
import { type Deny, deny } from "@sallyport/protocol/verdict.ts";
import { nodeCrypto } from "./node-crypto.ts";
import { refusePlainHttp } from "./plain-http.ts";
import { PublishedKeys } from "./published-keys.ts";
import { ReplayGuard } from "./replay-guard.ts";
import { principalOfAccess, type ServicePrincipal } from "./service-principal.ts";
import { fetchOf, fieldOf, type HasHeaders, headersOf, type RequestVerifierOptions } from "./verify-request.ts";

export interface DirectVerifierOptions extends Omit<RequestVerifierOptions, "hopKeysUrl"> {
  /** The origin callers use for this service, as in `https://billing.example`: never taken from what a request says. */
  readonly url: string;
  /** Default `<issuer>/jwks`. */
  readonly keysUrl?: string;
}

export interface VerifiedDirect {
  readonly kind: "verified";
  readonly principal: ServicePrincipal;
  readonly claims: AccessTokenClaims;
}

/** A Request or an IncomingMessage. */
export interface DirectRequest extends HasHeaders {
  readonly method?: string | undefined;
  readonly url?: string | undefined;
  /** Express shortens `url` under a mounted router and keeps the whole one here. */
  readonly originalUrl?: string | undefined;
}

export interface VerifyDirect {
  (request: DirectRequest): Promise<VerifiedDirect | Deny>;
  /** The nonce to send as `DPoP-Nonce` with every answer. */
  nonce(): string;
}

/** The longest life of an access token (docs/formats/token.md §3). */
const lifetimeSecondsMax = 600;
const credentials = /^DPoP ([A-Za-z0-9._-]{1,8192})$/i;
/** The issuer's revocations go to gateways only. */
const revocations = { isRevoked: () => false };

/** Makes the check. One process each: a nonce of another one is refused, so several behind one address belong behind a gateway. */
export function createDirectVerifier(options: DirectVerifierOptions): VerifyDirect {
  const now = options.now ?? Date.now;
  const { issuer, audience } = options;
  const { origin } = new URL(options.url);
  const keysUrl = options.keysUrl ?? `${issuer}/jwks`;
  refusePlainHttp(options.keysUrl === undefined ? "issuer" : "keysUrl", keysUrl, options);
  const keys = new PublishedKeys(fetchOf(options), keysUrl);
  const guard = new ReplayGuard();
  const read = async (token: string) => {
    keys.age(now());
    const first = readAccessToken(token, { issuer, keys, lifetimeSecondsMax });
    if (first.kind !== "deny" || first.code !== "token-key-unknown" || !(await keys.refresh(now()))) return first;
    return readAccessToken(token, { issuer, keys, lifetimeSecondsMax });
  };
  const verify = async (request: DirectRequest): Promise<VerifiedDirect | Deny> => {
    const headers = headersOf(request);
    const authorization = fieldOf(headers, "authorization");
    if (authorization === null) return deny("identify", "credentials-missing", { why: "no Authorization" });
    const token = credentials.exec(authorization)?.[1];
    if (token === undefined) return deny("identify", "credentials-malformed", { why: "not one DPoP token" });
    const proof = fieldOf(headers, "dpop");
    if (proof === null) return deny("identify", "dpop-missing", { why: "no DPoP proof" });
    const signed = await read(token);
    if (signed.kind === "deny") return signed;
    const at = now();
    const rules = {
      method: request.method ?? "",
      url: origin + pathOf(request.originalUrl ?? request.url),
      ath: accessTokenHash(token, nodeCrypto),
      now: at,
    };
    const proven = verifyDpopProof(proof, rules, nodeCrypto);
    if (proven.kind === "deny") return proven;
    const accepted = acceptAccessToken(signed, { audience, now: at, scheme: "DPoP", jkt: proven.jkt, revocations });
    if (accepted.kind === "deny") return accepted;
    if (!guard.isCurrent(proven.nonce, at))
      return deny("identify", "dpop-nonce", { why: "the nonce is not of this process and minute" });
    // Last: only who holds a good token and its key can take room in the set.
    const seen = guard.insert(proven.jkt, proven.jti, at);
    if (seen === "full") return deny("identify", "replay-table-full", { why: "too many proofs within two minutes" });
    if (seen === "seen") return deny("identify", "dpop-replayed", { why: "this proof was used before" });
    return { kind: "verified", claims: accepted.claims, principal: principalOfAccess(accepted.claims) };
  };
  return Object.assign(verify, { nonce: () => guard.nonce(now()) });
}

/** Path without query, as it came: of `/a?b`, and of the absolute URL a fetch Request has. */
function pathOf(url: string | undefined): string {
  if (url === undefined) return "/";
  const path = url.startsWith("/") ? url : url.replace(/^[a-z]+:\/\/[^/?#]*/i, "");
  return path.split(/[?#]/, 1)[0] ?? "/";
}
