// Promises that ids of codes, refresh tokens and requests leave no trace but their SHA-256, and that what belongs to them opens in its own place only.
// Trusts the keyring. Envelope: docs/formats/seal.md, purpose `oauth`; the context names environment, kind and digest.
import { hash } from "node:crypto";
import type { Random } from "@sallyport/kernel/ports.ts";
import type { Keyring } from "@sallyport/kernel/seal/keyring.ts";
import type { Place } from "../store.ts";

const purpose = "oauth";

/** 256 random bits, base64url: whoever can guess one may have it. */
export function newSecretId(random: Random): string {
  return Buffer.from(random.bytes(32)).toString("base64url");
}

export function digestOf(id: string): string {
  return hash("sha256", id, "base64url");
}

/** Seals and opens what belongs to one row. `name` is the row: `code/<digest>`, `grant/<id>`. */
export class SealedObjects {
  readonly #keyring: Pick<Keyring, "seal" | "open">;
  readonly #place: Place;

  constructor(keyring: Pick<Keyring, "seal" | "open">, place: Place) {
    this.#keyring = keyring;
    this.#place = place;
  }

  seal(name: string, value: object): Promise<Uint8Array> {
    return this.#keyring.seal(purpose, this.#context(name), Buffer.from(JSON.stringify(value)));
  }

  /** The value sealed for this very row; rejects (SealFault) when the row was changed or copied from elsewhere. */
  async open<T extends object>(name: string, sealed: Uint8Array): Promise<T> {
    const plain = await this.#keyring.open(purpose, this.#context(name), sealed);
    // Sealed by us from the same type: the envelope is authenticated.
    return JSON.parse(Buffer.from(plain).toString()) as T;
  }

  #context(name: string) {
    return { tenant: this.#place.tenant, environment: this.#place.environment, object: name };
  }
}
