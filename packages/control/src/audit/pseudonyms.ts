// Promises the same pseudonym for the same value within one tenant, environment and year. Trusts the keyring's pseudonym keys.
// Specified in docs/formats/seal.md "Pseudonyms".
import type { Clock } from "@sallyport/kernel/ports.ts";
import type { Keyring } from "@sallyport/kernel/seal/keyring.ts";
import { pseudonymize } from "@sallyport/kernel/seal/pseudonym.ts";
import type { Pseudonym } from "@sallyport/protocol/audit/leaf.ts";

export interface PseudonymKey {
  /** The year, which names the epoch. */
  readonly epoch: string;
  readonly key: Uint8Array;
}

export class Pseudonyms {
  readonly #tenant: string;
  readonly #keyring: Pick<Keyring, "pseudonymKey" | "findPseudonymKey">;
  readonly #clock: Clock;
  readonly #keys = new Map<string, PseudonymKey>();

  constructor(tenant: string, keyring: Pick<Keyring, "pseudonymKey" | "findPseudonymKey">, clock: Clock) {
    this.#tenant = tenant;
    this.#keyring = keyring;
    this.#clock = clock;
  }

  /** The key of this year for one environment. */
  async key(environment: string): Promise<PseudonymKey> {
    const epoch = String(new Date(this.#clock.now()).getUTCFullYear());
    const name = `${environment} ${epoch}`;
    const held = this.#keys.get(name);
    if (held !== undefined) return held;
    const made = { epoch, key: await this.#keyring.pseudonymKey({ tenant: this.#tenant, environment, year: epoch }) };
    this.#keys.set(name, made);
    return made;
  }

  async of(environment: string, domain: string, value: string): Promise<Pseudonym> {
    const { epoch, key } = await this.key(environment);
    return pseudonymize(key, epoch, domain, value);
  }

  /** What makes pseudonyms of a year that may be over; null: that year has no key, or none any more. */
  async ofYear(environment: string, year: string): Promise<((domain: string, value: string) => Pseudonym) | null> {
    const key = await this.#keyring.findPseudonymKey({ tenant: this.#tenant, environment, year });
    return key === null ? null : (domain, value) => pseudonymize(key, year, domain, value);
  }

  /** For callers that cannot wait: the key must have been asked for in this environment before. A new year begins with the next `key`. */
  now(environment: string, domain: string, value: string): Pseudonym {
    const epoch = String(new Date(this.#clock.now()).getUTCFullYear());
    const held = this.#keys.get(`${environment} ${epoch}`) ?? this.#keys.get(`${environment} ${Number(epoch) - 1}`);
    if (held === undefined) throw new Error("the pseudonym key of this environment was not loaded");
    return pseudonymize(held.key, held.epoch, domain, value);
  }
}
