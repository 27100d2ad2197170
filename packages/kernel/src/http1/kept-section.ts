// Promises that a header section which is, octet for octet, the one before it on its connection is not read again: what was read of it then is what it
// says now, because reading depends on nothing but the octets. Trusts its caller to ask only where a section begins.
// No format: it never leaves memory. Rules of reading: field-lines.ts, message-framing.ts.
import type { RequestFraming } from "./message-framing.ts";

/** A larger section is read each time, so that a crowd of idle connections cannot make us keep much. */
export const keptSectionBytesMax = 2_048;

/** What a section said. */
export interface ReadSection {
  /** Frozen: each request with this section has this very list. */
  readonly rawHeaders: readonly string[];
  readonly framing: RequestFraming;
}

const none = Buffer.alloc(0);

export class KeptSection {
  #octets = none;
  #length = 0;
  #minorVersion: 0 | 1 = 1;
  #read: ReadSection | null = null;

  /** How many octets the kept section has. */
  get length(): number {
    return this.#length;
  }

  /** What the octets from `at` said before; null where octets[at..end) do not begin with all of the kept section, or the version is another. */
  find(octets: Buffer, at: number, on: { readonly end: number; readonly minorVersion: 0 | 1 }): ReadSection | null {
    const length = this.#length;
    if (this.#read === null || on.minorVersion !== this.#minorVersion || on.end - at < length) return null;
    return octets.compare(this.#octets, 0, length, at, at + length) === 0 ? this.#read : null;
  }

  /** Keeps what octets[at..end) were just read as, where it is small enough. The octets are copied: theirs are soon overwritten. */
  keep(
    octets: Buffer,
    at: number,
    on: { readonly end: number; readonly minorVersion: 0 | 1; readonly read: ReadSection },
  ): void {
    this.#read = null;
    const length = on.end - at;
    if (length > keptSectionBytesMax) return;
    if (this.#octets.length < length)
      this.#octets = Buffer.allocUnsafeSlow(Math.min(keptSectionBytesMax, Math.max(length, 2 * this.#octets.length)));
    octets.copy(this.#octets, 0, at, on.end);
    this.#length = length;
    this.#minorVersion = on.minorVersion;
    Object.freeze(on.read.rawHeaders);
    this.#read = on.read;
  }
}
