// Promises that a secret never prints itself: not in text, JSON, inspect, a template or a structured clone. Rule: DESIGN §7.7.
// Trusts its callers not to copy what use() lends them.
import { inspect } from "node:util";
import { SealFault } from "./seal-fault.ts";

const mask = "[secret]";

/** Secret bytes that show themselves only on purpose and can be wiped. */
export class Secret {
  #bytes: Uint8Array | null;

  private constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  /** Takes a copy; the caller should overwrite its own bytes. */
  static fromBytes(bytes: Uint8Array): Secret {
    return new Secret(Uint8Array.from(bytes));
  }

  /** The UTF-8 bytes of a text. The text itself stays in memory until collected: prefer bytes where there is a choice. */
  static fromText(text: string): Secret {
    return new Secret(new TextEncoder().encode(text));
  }

  /** Lends the bytes for the duration of `f`; they are the secret's own and must not be kept. Faults: `secret-wiped`. */
  use<T>(f: (bytes: Uint8Array) => T): T {
    return f(this.#live());
  }

  /** The secret as text, for the injection stage only (a tidy rule refuses every other caller). Faults: `secret-wiped`. */
  reveal(): string {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(this.#live());
  }

  /** Overwrites the bytes; every later use is a fault. */
  wipe(): void {
    this.#bytes?.fill(0);
    this.#bytes = null;
  }

  toString(): string {
    return mask;
  }

  toJSON(): string {
    return mask;
  }

  [Symbol.toPrimitive](): string {
    return mask;
  }

  [inspect.custom](): string {
    return mask;
  }

  #live(): Uint8Array {
    if (this.#bytes === null) throw new SealFault("secret-wiped", "a secret was used after it had been wiped");
    return this.#bytes;
  }
}
