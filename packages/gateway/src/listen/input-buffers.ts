// Promises buffers for what connections have received and nobody has read yet, used again by one connection after another: made anew each time, those of
// callers who send faster than they are answered pile up as garbage until the collector comes, tens of megabytes for a few dozen connections.
// Trusts whoever takes one to hold no view of it once it is given back.
import { pipelinedBytesMax } from "./input-bounds.ts";
import { sharedReadBytes } from "./shared-reads.ts";

/** Up to here each is made as large as it is asked for: the rest of a head that came in two reads. */
const smallBytesMax = 4 * 1024;
/** What a connection holds before it is read no further, a read on top of it, and as much room. */
const largeBytes = sharedReadBytes + 2 * pipelinedBytesMax;
const sparesMax = 32;

export class InputBuffers {
  readonly #spares: Buffer[] = [];

  /** At least so long; what was in it before is in it still. */
  take(bytes: number): Buffer {
    if (bytes <= smallBytesMax || bytes > largeBytes) return Buffer.allocUnsafeSlow(bytes);
    return this.#spares.pop() ?? Buffer.allocUnsafeSlow(largeBytes);
  }

  giveBack(buffer: Buffer): void {
    if (buffer.length === largeBytes && this.#spares.length < sparesMax) this.#spares.push(buffer);
  }
}
