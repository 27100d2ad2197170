// Promises that this node's hop key signs only while control's certificate for it holds. Trusts the snapshot key fixed at joining.
// Specified in docs/formats/join.md (Hop keys) and docs/formats/token.md §7.
import type { TokenCrypto, TokenSigner, VerifyKey } from "@sallyport/protocol/token/crypto.ts";
import { verifyHopKey } from "@sallyport/protocol/token/hop-token.ts";

export interface HopKeyPorts {
  readonly signer: TokenSigner;
  readonly node: string;
  readonly snapshotKey: VerifyKey;
  readonly crypto: TokenCrypto;
  now(): number;
}

export class HopKey {
  readonly #ports: HopKeyPorts;
  #certificate: string | null = null;
  #validUntilMs = 0;

  constructor(ports: HopKeyPorts) {
    this.#ports = ports;
  }

  /** A certificate from control; one for another key is not ours to keep. */
  take(certificate: { readonly kid: string; readonly jws: string }): void {
    if (certificate.kid !== this.#ports.signer.kid) return;
    this.#certificate = certificate.jws;
    this.#validUntilMs = 0;
  }

  /** The signer, or null without a valid certificate. The issuer a certificate must name comes with the snapshot. */
  current(issuer: string | undefined): TokenSigner | null {
    const { signer, node, snapshotKey, crypto } = this.#ports;
    const now = this.#ports.now();
    if (now < this.#validUntilMs) return signer;
    if (this.#certificate === null || issuer === undefined) return null;
    const verified = verifyHopKey(this.#certificate, { issuer, key: snapshotKey, now, crypto });
    if (verified.kind === "deny" || verified.claims.sub !== node || verified.kid !== signer.kid) return null;
    this.#validUntilMs = verified.claims.exp * 1000;
    return signer;
  }
}
