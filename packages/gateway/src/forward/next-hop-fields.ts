// Promises the fields by which a provider gets its own token, with a proof for exactly this request where the token is bound, and that the token of a provider
// that refused it is used no more. Trusts its caller to send the request it names. Specified in docs/identity/next-hop.md, RFC 9449 §7-9, RFC 6750 §2.1.
import type { TokenSigner } from "@sallyport/protocol/token/crypto.ts";
import { signDpopProof } from "@sallyport/protocol/token/dpop.ts";
import type { NextHop } from "../exchange/next-hop.ts";
import { hashToken } from "../identify/token-cache.ts";

/** Nonces that providers want in proofs, by origin; the oldest goes first. */
export const providerNoncesMax = 1_024;
const nonceText = /^[\x21\x23-\x5b\x5d-\x7e]{1,256}$/;

export class ProviderNonces {
  readonly #byOrigin = new Map<string, string>();

  of(origin: string): string | undefined {
    return this.#byOrigin.get(origin);
  }

  /** What a provider said; anything that is no nonce is as if it had said nothing. */
  learn(origin: string, nonce: string | undefined): boolean {
    if (nonce === undefined || !nonceText.test(nonce) || this.#byOrigin.get(origin) === nonce) return false;
    this.#byOrigin.delete(origin);
    if (this.#byOrigin.size >= providerNoncesMax) this.#byOrigin.delete(this.#byOrigin.keys().next().value ?? "");
    this.#byOrigin.set(origin, nonce);
    return true;
  }
}

interface Asked {
  readonly method: string;
  /** Of the endpoint, without a slash at its end. */
  readonly origin: string;
  /** Origin-form; a query is cut off. */
  readonly path: string;
  readonly signer: TokenSigner;
  readonly nonce: string | undefined;
  /** At least 96 random bits, base64url. */
  readonly jti: string;
  /** Milliseconds since the epoch. */
  readonly now: number;
}

/** Names and values, alternating. */
export function nextHopFields({ token: { token, scheme } }: NextHop, asked: Asked): readonly string[] {
  if (scheme === "Bearer") return ["authorization", `Bearer ${token}`];
  const { method, origin, path, signer, nonce, jti, now } = asked;
  const proof = signDpopProof(
    {
      jti,
      method,
      url: `${origin}${path}`,
      iat: Math.floor(now / 1_000),
      ath: hashToken(token),
      ...(nonce === undefined ? {} : { nonce }),
    },
    signer,
  );
  return ["authorization", `DPoP ${token}`, "dpop", proof];
}

/** What a provider said against the token it was shown; null: nothing. */
export function saidAgainst(status: number, challenge: string | undefined): "token" | "nonce" | null {
  if (status !== 401 || challenge === undefined) return null;
  const error = /(?:^|[\s,])error="?([a-z_]{1,64})"?(?:$|[\s,])/i.exec(challenge)?.[1]?.toLowerCase();
  if (error === "use_dpop_nonce") return "nonce";
  return error === "invalid_token" || error === "invalid_dpop_proof" ? "token" : null;
}
