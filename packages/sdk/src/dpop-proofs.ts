// Promises a fresh proof for every request, under the nonce each server named last. Trusts the clock and the system's randomness.
// Specified by RFC 9449 §4 and §8, docs/formats/token.md §4.
import { encodeBase64url } from "@sallyport/protocol/token/base64url.ts";
import type { TokenSigner } from "@sallyport/protocol/token/crypto.ts";
import { signDpopProof } from "@sallyport/protocol/token/dpop.ts";

/** Servers whose nonces are remembered; the one learnt longest ago is forgotten first. */
const originsMax = 64;
const nonceForm = /^[\x21-\x7e]{1,256}$/;

/** 128 random bits, base64url. */
export function freshId(): string {
  return encodeBase64url(globalThis.crypto.getRandomValues(new Uint8Array(16)));
}

export interface ProofOf {
  readonly method: string;
  readonly url: URL;
  readonly ath?: string;
}

export class DpopProofs {
  readonly #signer: TokenSigner;
  readonly #now: () => number;
  readonly #nonces = new Map<string, string>();

  constructor(signer: TokenSigner, now: () => number) {
    this.#signer = signer;
    this.#now = now;
  }

  /** The nonce a proof for this origin would carry now. */
  nonceOf(origin: string): string | undefined {
    return this.#nonces.get(origin);
  }

  make({ method, url, ath }: ProofOf): string {
    const nonce = this.#nonces.get(url.origin);
    const bound = { ...(ath === undefined ? {} : { ath }), ...(nonce === undefined ? {} : { nonce }) };
    const iat = Math.floor(this.#now() / 1000);
    return signDpopProof({ jti: freshId(), method, url: url.origin + url.pathname, iat, ...bound }, this.#signer);
  }

  /** Remembers the nonce an answer brought, if any. True when it is another than `used`: a repeated request could then succeed. */
  learn(origin: string, headers: Headers, used: string | undefined): boolean {
    const nonce = headers.get("dpop-nonce");
    if (nonce === null || !nonceForm.test(nonce)) return false;
    this.#nonces.delete(origin);
    if (this.#nonces.size >= originsMax) {
      for (const oldest of this.#nonces.keys()) {
        this.#nonces.delete(oldest);
        break;
      }
    }
    this.#nonces.set(origin, nonce);
    return nonce !== used;
  }
}
