// Promises one token presented again and again to a gateway, each time with a fresh proof, and what the gateway said to it: allowed, refused, or
// something that is neither. Trusts the answers. Proofs as specified by RFC 9449 §7.
import { createHash } from "node:crypto";
import { DpopProofs } from "@sallyport/sdk/dpop-proofs.ts";
import type { Signer } from "@sallyport/sdk/signer.ts";

export interface Seen {
  readonly kind: "allowed" | "refused" | "other";
  /** Status and verdict field. */
  readonly why: string;
  /** Of the answer, `performance.now()`. */
  readonly atMs: number;
}

/** A nonce may end between two requests, and once more while the repeated one is under way. */
const nonceTriesMax = 3;

export class Prober {
  readonly #url: URL;
  readonly #proofs: DpopProofs;
  readonly #token: string;
  readonly #ath: string;

  constructor(gateway: string, holder: Signer, token: string) {
    this.#url = new URL("/billing/v1/invoices/in-1", gateway);
    this.#proofs = new DpopProofs(async () => holder, Date.now);
    this.#token = token;
    this.#ath = createHash("sha256").update(token).digest("base64url");
  }

  /** Throws what fetch throws: a broken connection is no answer. */
  async send(): Promise<Seen> {
    for (let tries = 0; ; tries += 1) {
      const { origin } = this.#url;
      const nonce = this.#proofs.nonceOf(origin);
      const dpop = await this.#proofs.make({ method: "GET", url: this.#url, ath: this.#ath });
      const response = await fetch(this.#url, { headers: { authorization: `DPoP ${this.#token}`, dpop } });
      const atMs = performance.now();
      await response.arrayBuffer();
      this.#proofs.learn(origin, response.headers, nonce);
      const challenge = response.headers.get("www-authenticate") ?? "";
      if (challenge.includes("use_dpop_nonce") && tries < nonceTriesMax) continue;
      const why = `${response.status} ${response.headers.get("sallyport-verdict") ?? ""} ${challenge}`;
      if (response.status === 200) return { kind: "allowed", why, atMs };
      const isRefused = response.status === 401 && challenge.includes("invalid_token");
      return { kind: isRefused ? "refused" : "other", why, atMs };
    }
  }
}
