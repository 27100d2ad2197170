// Promises a key of suite 2 that no nonce meets twice: key and counter live in one object, nobody else has either, and the counter only rises.
// Trusts that the key it is given is nobody else's. Specified in docs/formats/seal.md, Recipients.
import { sealedBytesMax } from "@sallyport/protocol/seal/envelope.ts";
import { aeadSeal, type EnvelopeKey, nonceBytes } from "./aead.ts";

/** Envelopes under one ephemeral key. */
export const sealsPerEphemeralMax = 4096;

export interface Numbered {
  /** 96 bits, big-endian: the number of this envelope under its key. */
  readonly nonce: Uint8Array;
  readonly ciphertext: Uint8Array;
  readonly tag: Uint8Array;
}

export class ManyUseKey {
  readonly commitment: Uint8Array;
  #key: Uint8Array | null;
  #used = 0;

  /** Takes a copy of the key and overwrites the one it was given. */
  constructor(derived: EnvelopeKey) {
    this.commitment = Uint8Array.from(derived.commitment);
    this.#key = Uint8Array.from(derived.key);
    derived.key.fill(0);
  }

  /** Can it still seal? */
  get usable(): boolean {
    return this.#key !== null && this.#used < sealsPerEphemeralMax;
  }

  /** Seals under the next nonce, which is spent whatever happens. Throws TypeError beyond 16 MiB, and when the key is used up or wiped (a bug). */
  seal(aad: Uint8Array, plaintext: Uint8Array): Numbered {
    if (this.#key === null || this.#used >= sealsPerEphemeralMax) throw new TypeError("this key seals nothing more");
    if (plaintext.length > sealedBytesMax) throw new TypeError(`at most ${sealedBytesMax} bytes can be sealed at once`);
    const nonce = new Uint8Array(nonceBytes);
    new DataView(nonce.buffer).setUint32(nonceBytes - 4, this.#used);
    this.#used += 1;
    const sealed = aeadSeal({ key: this.#key, nonce, aad }, plaintext);
    return { nonce, ciphertext: sealed.ciphertext, tag: sealed.tag };
  }

  /** Overwrites the key; it seals nothing more. */
  wipe(): void {
    this.#key?.fill(0);
    this.#key = null;
  }
}
