// Promises that a 401 tells a stranger how to authenticate and nothing else: the same fields whether or not the route exists and whichever check
// failed. Trusts the nonce source. Specified by RFC 9110 §11.6.1, RFC 6750 §3, RFC 9449 §7.1 and §9.
import type { ProblemCode } from "@sallyport/protocol/problem.ts";

const algorithms = 'algs="ES256 EdDSA"';

/** Value of `WWW-Authenticate` for a denial with status 401. */
export function challenge(code: ProblemCode): string {
  if (code === "dpop-nonce") return `DPoP error="use_dpop_nonce", ${algorithms}`;
  if (code === "credentials-missing") return `DPoP ${algorithms}`;
  return `DPoP error="invalid_token", ${algorithms}`;
}

/** RFC 9421 §5.1: what a signature has to cover where systems may sign, with a nonce of this gateway where there is one. */
export function acceptSignature(nonce: string | null, hasContent: boolean): string {
  const content = hasContent ? ' "content-digest"' : "";
  return `sig=("@method" "@target-uri"${content});created${nonce === null ? "" : `;nonce="${nonce}"`}`;
}

/** RFC 9470 §3: what the user's log-in has to be. The caller is known by then, and the values are words of the estate. */
export function stepUpChallenge({ acr, maxAge }: Readonly<Record<string, string | undefined>>): string {
  const wanted = [
    ...(acr === undefined ? [] : [`acr_values="${acr}"`]),
    ...(maxAge === undefined ? [] : [`max_age="${maxAge}"`]),
  ];
  return ['DPoP error="insufficient_user_authentication"', ...wanted, algorithms].join(", ");
}
