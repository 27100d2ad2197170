// Promises a service that a request came through a gateway of its own environment, and who is behind it; what comes around it is refused.
// Trusts the hop keys published under the issuer's own origin. Specified in docs/formats/token.md §6.
import type { HopTokenClaims } from "@sallyport/protocol/token/claims.ts";
import { verifyHopToken } from "@sallyport/protocol/token/hop-token.ts";
import { type Deny, deny } from "@sallyport/protocol/verdict.ts";
import type { SdkPorts } from "./http.ts";
import { type PlainHttpOptions, refusePlainHttp } from "./plain-http.ts";
import { PublishedKeys } from "./published-keys.ts";
import { principalOfHop, type ServicePrincipal } from "./service-principal.ts";
import { type TlsOptions, tlsFetch } from "./tls-fetch.ts";

export interface RequestVerifierOptions extends Pick<SdkPorts, "fetch" | "now">, PlainHttpOptions {
  readonly issuer: string;
  /** This service's own audience: `<issuer>/systems/<system>`. */
  readonly audience: string;
  /** Default `<issuer>/hop-jwks`. */
  readonly hopKeysUrl?: string;
  /** Roots to trust for the issuer, where it is not `fetch` that knows them. */
  readonly tls?: Pick<TlsOptions, "ca">;
}

export interface VerifiedRequest {
  readonly kind: "verified";
  readonly principal: ServicePrincipal;
  /** The token as it was signed. `sub`: caller system. `op`: the operation that was authorised. */
  readonly claims: HopTokenClaims;
}

/** Headers of fetch, or of node:http (`request.headers`), which joins repeated fields so that two tokens never pass as one. */
export type RequestHeaders = Headers | Readonly<Record<string, string | readonly string[] | undefined>>;

/** A Request, an IncomingMessage, or whatever else has headers. */
export interface HasHeaders {
  readonly headers: RequestHeaders;
}

export type VerifyRequest = (request: RequestHeaders | HasHeaders) => Promise<VerifiedRequest | Deny>;

/**
 * Makes the check a service runs on every request. Codes: credentials-missing, and those of docs/formats/token.md §6.
 * An unknown `kid` waits for one shared look at the published keys, at most one per second and only ever at `hopKeysUrl`.
 */
export function createRequestVerifier(options: RequestVerifierOptions): VerifyRequest {
  const now = options.now ?? Date.now;
  const { issuer, audience } = options;
  const keysUrl = options.hopKeysUrl ?? `${issuer}/hop-jwks`;
  refusePlainHttp(options.hopKeysUrl === undefined ? "issuer" : "hopKeysUrl", keysUrl, options);
  const keys = new PublishedKeys(fetchOf(options), keysUrl);
  return async (request) => {
    const token = fieldOf(headersOf(request), "sallyport-identity");
    if (token === null)
      return deny("identify", "credentials-missing", {
        why: "no Sallyport-Identity: the request did not come through a gateway",
      });
    keys.age(now());
    let result = verifyHopToken(token, { issuer, audience, keys, now: now() });
    if (result.kind === "deny" && result.code === "token-key-unknown" && (await keys.refresh(now())))
      result = verifyHopToken(token, { issuer, audience, keys, now: now() });
    if (result.kind === "deny") return result;
    return { kind: "verified", claims: result.claims, principal: principalOfHop(result.claims) };
  };
}

export function fetchOf(options: Pick<RequestVerifierOptions, "fetch" | "tls">): typeof globalThis.fetch {
  if (options.tls !== undefined && options.fetch !== undefined)
    throw new TypeError("Pass `tls` or your own `fetch`, not both.");
  return options.tls === undefined ? (options.fetch ?? globalThis.fetch) : tlsFetch(options.tls);
}

export function headersOf(request: RequestHeaders | HasHeaders): RequestHeaders {
  if (request instanceof Headers) return request;
  const { headers } = request;
  // A field that happens to be called "headers" is text; what holds headers is an object.
  return typeof headers === "object" && !Array.isArray(headers)
    ? (headers as RequestHeaders)
    : (request as RequestHeaders);
}

/** The one value of a field; repeated ones joined, so that they are refused; null where there is none. */
export function fieldOf(headers: RequestHeaders, name: string): string | null {
  const value = headers instanceof Headers ? headers.get(name) : headers[name];
  if (value === undefined || value === null) return null;
  return typeof value === "string" ? value : value.join(", ");
}
