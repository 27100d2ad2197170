// Promises that what passes on a stream is messages, each within its bound by the length it declares, and not one octet held for it.
// Trusts nothing. Specified in the gRPC protocol over HTTP/2 (Length-Prefixed-Message).

const prefixBytes = 5;
/** Of a message a provider sends; what gRPC itself takes by default. */
export const answerMessageBytesMax = 4 * 1024 * 1024;

export type MessageFault = "too-large" | "malformed";

/** Of one direction of one call. */
export class MessageMeter {
  readonly #bytesMax: number;
  /** Octets of the prefix that have come, and the length they say. */
  #prefix = 0;
  #length = 0;
  /** Octets of the message still to come. */
  #left = 0;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  /** Between two messages: here a stream may end. */
  get isBetween(): boolean {
    return this.#prefix === 0 && this.#left === 0;
  }

  read(piece: Uint8Array): MessageFault | null {
    for (let at = 0; at < piece.length; ) {
      if (this.#left > 0) {
        const taken = Math.min(this.#left, piece.length - at);
        this.#left -= taken;
        at += taken;
        continue;
      }
      const octet = piece[at++] ?? 0;
      // Whether it is compressed; nothing else is known.
      if (this.#prefix === 0) {
        if (octet > 1) return "malformed";
        this.#length = 0;
      } else this.#length = this.#length * 256 + octet;
      this.#prefix++;
      if (this.#prefix < prefixBytes) continue;
      if (this.#length > this.#bytesMax) return "too-large";
      this.#prefix = 0;
      this.#left = this.#length;
    }
    return null;
  }
}
