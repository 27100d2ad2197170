// Promises the octets of a connection that nobody has read yet in one buffer, copied only where they came in several reads or must be kept.
// Trusts its caller to bound how much it adds, to say when what it added will be overwritten, and to keep no view of what it has read.
import type { InputBuffers } from "./input-buffers.ts";

const none = Buffer.alloc(0);
const grownBytesMin = 1_024;
/** Room behind what must fit: as much again, so that octets that come one by one are not copied each time, but no more than this. */
const roomBytesMax = 16 * 1024;
const grownBytes = (needed: number) => Math.max(grownBytesMin, needed + Math.min(needed, roomBytesMax));

export class UnreadInput {
  octets: Buffer = none;
  /** The unread ones are octets[from..end). */
  from = 0;
  end = 0;
  readonly #buffers: InputBuffers;
  /** The buffer is ours, and octets may be added behind the end. */
  #isOwn = false;

  constructor(buffers: InputBuffers) {
    this.#buffers = buffers;
  }

  /** Where the octets are will be overwritten once they are read. */
  get isOwn(): boolean {
    return this.#isOwn;
  }

  get size(): number {
    return this.end - this.from;
  }

  /** Adds octets behind the end. By how much those that were there have moved: 0, or below. */
  add(octets: Buffer): number {
    const { size } = this;
    if (size === 0) {
      this.octets = octets;
      this.from = 0;
      this.end = octets.length;
      this.#isOwn = false;
      return 0;
    }
    const moved =
      this.#isOwn && this.octets.length - this.end >= octets.length ? 0 : this.#move(grownBytes(size + octets.length));
    this.end += octets.copy(this.octets, this.end);
    return moved;
  }

  /** What was added last is about to be overwritten: what is unread of it is copied. By how much it has moved, as `add`. */
  keep(): number {
    const { size } = this;
    if (size === 0 || this.#isOwn) return 0;
    return this.#move(grownBytesMin < size ? size : grownBytesMin);
  }

  #move(bytes: number): number {
    const { size } = this;
    const moved = -this.from;
    const grown = this.#buffers.take(bytes);
    this.octets.copy(grown, 0, this.from, this.end);
    this.#letGo();
    this.octets = grown;
    this.from = 0;
    this.end = size;
    this.#isOwn = true;
    return moved;
  }

  /** Everything before index `at` has been read. */
  readTo(at: number): void {
    if (at >= this.end) this.clear();
    else this.from = at;
  }

  clear(): void {
    this.#letGo();
    this.octets = none;
    this.from = 0;
    this.end = 0;
    this.#isOwn = false;
  }

  #letGo(): void {
    if (this.#isOwn) this.#buffers.giveBack(this.octets);
  }
}
