// Promises a fresh proof for every request, under the nonce and by the clock of the server it goes to.
// Trusts the system's randomness, and a server's `Date` for nothing but what is sent to that server.
// Specified by RFC 9449 §4 and §8, docs/formats/token.md §4.
import { encodeBase64url } from "@sallyport/protocol/token/base64url.ts";
import { dpopProofParts } from "@sallyport/protocol/token/dpop.ts";
import { type Signer, signedJws } from "./signer.ts";

/** Servers of which something is remembered; the one heard of longest ago is forgotten first. */
const originsMax = 64;
/** Nonces live a minute at least; one learnt longer ago may be refused. */
const nonceFreshMs = 45_000;
const nonceForm = /^[\x21-\x7e]{1,256}$/;
/** `Date` has whole seconds and travels a while: below this a difference says nothing. */
const skewMsMin = 3_000;
/** Beyond this it is no clock that runs wrong; certificates would not hold either. */
const skewMsMax = 24 * 3_600_000;

/** 128 random bits, base64url. */
export function freshId(): string {
  return encodeBase64url(globalThis.crypto.getRandomValues(new Uint8Array(16)));
}

export interface ProofOf {
  readonly method: string;
  readonly url: URL;
  readonly ath?: string;
  /** Leave the nonce out: such a proof is always refused, and the refusal brings a nonce. */
  readonly withoutNonce?: true;
}

interface Server {
  readonly nonce?: string;
  readonly nonceAt: number;
  /** Its clock minus ours. */
  readonly skewMs: number;
}

export class DpopProofs {
  readonly #signer: () => Promise<Signer>;
  readonly #now: () => number;
  readonly #servers = new Map<string, Server>();

  constructor(signer: () => Promise<Signer>, now: () => number) {
    this.#signer = signer;
    this.#now = now;
  }

  /** The nonce a proof for this origin would carry now. */
  nonceOf(origin: string): string | undefined {
    return this.#servers.get(origin)?.nonce;
  }

  /** Would a nonce for this origin be accepted now, as far as we can tell? */
  hasFreshNonce(origin: string): boolean {
    const server = this.#servers.get(origin);
    return server?.nonce !== undefined && this.#now() - server.nonceAt < nonceFreshMs;
  }

  /** Milliseconds since the epoch as this server counts them. */
  nowAt(origin: string): number {
    return this.#now() + (this.#servers.get(origin)?.skewMs ?? 0);
  }

  async make({ method, url, ath, withoutNonce }: ProofOf): Promise<string> {
    const signer = await this.#signer();
    const nonce = withoutNonce === true ? undefined : this.nonceOf(url.origin);
    const bound = { ...(ath === undefined ? {} : { ath }), ...(nonce === undefined ? {} : { nonce }) };
    const iat = Math.floor(this.nowAt(url.origin) / 1000);
    const proof = { jti: freshId(), method, url: url.origin + url.pathname, iat, ...bound };
    const { header, claims } = dpopProofParts(proof, signer);
    return signedJws(header, claims, signer);
  }

  /** Remembers the nonce and the time an answer brought, if any. True when the nonce is another than `used`: a repeated request could then succeed. */
  learn(origin: string, headers: Headers, used: string | undefined): boolean {
    const brought = headers.get("dpop-nonce");
    const isNonce = brought !== null && nonceForm.test(brought);
    const skewMs = this.#skewOf(headers);
    const known = this.#servers.get(origin);
    const nonce = isNonce ? brought : known?.nonce;
    const next: Server = {
      skewMs: skewMs ?? known?.skewMs ?? 0,
      nonceAt: isNonce ? this.#now() : (known?.nonceAt ?? 0),
      ...(nonce === undefined ? {} : { nonce }),
    };
    this.#servers.delete(origin);
    if (this.#servers.size >= originsMax) {
      for (const oldest of this.#servers.keys()) {
        this.#servers.delete(oldest);
        break;
      }
    }
    this.#servers.set(origin, next);
    return isNonce && brought !== used;
  }

  /** undefined where the answer does not say: no `Date`, or a copy out of a cache (`Age`). */
  #skewOf(headers: Headers): number | undefined {
    const date = Date.parse(headers.get("date") ?? "");
    if (Number.isNaN(date) || headers.has("age")) return undefined;
    // Half a second: `Date` is cut to whole ones.
    const skewMs = date + 500 - this.#now();
    if (Math.abs(skewMs) > skewMsMax) return undefined;
    return Math.abs(skewMs) < skewMsMin ? 0 : skewMs;
  }
}
