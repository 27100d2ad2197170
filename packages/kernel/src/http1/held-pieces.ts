// Promises octets that are held for later in about as much memory as they are, in whatever pieces they came. A piece of one octet is a view of a buffer
// that it keeps alive whole, 64 KiB of Node's pool: a caller who sends one octet at a time would hold sixty thousand times what he sent.
// Trusts nothing: pieces are taken as they are.

/** Smaller ones are gathered, because each costs some hundred octets beside its own. */
const smallBytesMax = 4 * 1024;
/** Of how many times its size a piece may keep a buffer alive. */
const keptAliveTimesMax = 4;
const blockBytesMin = 256;
/** A block this full grows no more: the next one is begun. */
const blockBytesMax = 16 * 1024;

/** A copy of content. Where its rest is still to come it may be held for long, and keeps nothing else alive: dearer than one in Node's pool. */
export function copyOf(piece: Buffer, isWhole: boolean): Buffer {
  if (isWhole) return Buffer.from(piece);
  const own = Buffer.allocUnsafeSlow(piece.length);
  piece.copy(own);
  return own;
}

const staysAsItIs = ({ length, buffer }: Buffer): boolean =>
  length >= smallBytesMax && length * keptAliveTimesMax >= buffer.byteLength;

export class HeldPieces {
  #pieces: Buffer[] = [];
  #bytes = 0;
  /** The last piece lies at the start of this, and more may follow it there. */
  #block: Buffer | null = null;

  /** Of all of them. */
  get bytes(): number {
    return this.#bytes;
  }

  get count(): number {
    return this.#pieces.length;
  }

  push(piece: Buffer): void {
    this.#bytes += piece.length;
    const last = this.#pieces.at(-1);
    if (staysAsItIs(piece) || last === undefined) {
      // One that is alone costs nobody much, and most are.
      this.#pieces.push(piece);
      this.#block = null;
    } else if (this.#block !== null && last.length + piece.length <= this.#block.length) {
      piece.copy(this.#block, last.length);
      this.#pieces[this.#pieces.length - 1] = this.#block.subarray(0, last.length + piece.length);
    } else if (last.length >= blockBytesMax || (this.#block === null && staysAsItIs(last))) this.#begin(piece);
    else this.#begin(piece, last);
  }

  /** A block with this piece, behind the last one where that moves into it, and as much room again. */
  #begin(piece: Buffer, last: Buffer | null = null): void {
    const from = last?.length ?? 0;
    const end = from + piece.length;
    const block = Buffer.allocUnsafeSlow(Math.max(blockBytesMin, end + Math.min(end, blockBytesMax)));
    last?.copy(block);
    piece.copy(block, from);
    if (last !== null) this.#pieces.pop();
    this.#pieces.push(block.subarray(0, end));
    this.#block = block;
  }

  /** The oldest, which is held no longer. */
  shift(): Buffer | undefined {
    const piece = this.#pieces.shift();
    if (piece !== undefined) this.#bytes -= piece.length;
    return piece;
  }

  /** All of them in their order, which are held no longer. */
  takeAll(): Buffer[] {
    const pieces = this.#pieces;
    this.clear();
    return pieces;
  }

  /** All octets in one buffer, copied only where there are several pieces. They stay held. */
  whole(): Buffer {
    const [only] = this.#pieces;
    if (this.#pieces.length === 1 && only !== undefined) return only;
    const whole = Buffer.concat(this.#pieces, this.#bytes);
    this.#pieces = [whole];
    this.#block = null;
    return whole;
  }

  clear(): void {
    this.#pieces = [];
    this.#bytes = 0;
    this.#block = null;
  }
}
