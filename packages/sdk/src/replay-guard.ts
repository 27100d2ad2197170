// Promises that a proof passes once at this process: its own nonces, and a bounded set of the proofs it has seen under them. A new process
// has another secret, so every proof made for the old one is worthless. Trusts its secret and the clock. Specified by RFC 9449 §8 and §11.1.
import { createHmac, randomBytes, timingSafeEqual } from "node:crypto";

const nonceStepMs = 60_000;
/** Two steps, and the way there. */
const seenMs = 2 * nonceStepMs + 5_000;
/** Seen proofs kept at once; beyond them everything is refused until the oldest are past. */
const seenMax = 100_000;
const tagCharacters = 22;

export class ReplayGuard {
  readonly #secret = randomBytes(32);
  /** Key of a proof to the time it may be forgotten, oldest first. */
  readonly #seen = new Map<string, number>();
  #step = 0;

  /** The nonce to hand out now. */
  nonce(now: number): string {
    return this.#nonceOf(this.#stepAt(now));
  }

  isCurrent(nonce: string, now: number): boolean {
    const step = this.#stepAt(now);
    return isSame(nonce, this.#nonceOf(step)) || isSame(nonce, this.#nonceOf(step - 1));
  }

  /** `new` the first time, `seen` ever after, `full` when nobody can tell any more. */
  insert(jkt: string, jti: string, now: number): "new" | "seen" | "full" {
    for (const [key, until] of this.#seen) {
      if (until > now) break;
      this.#seen.delete(key);
    }
    const key = `${jkt}.${jti}`;
    if (this.#seen.has(key)) return "seen";
    if (this.#seen.size >= seenMax) return "full";
    this.#seen.set(key, now + seenMs);
    return "new";
  }

  /** Never an earlier one again: after a clock was set back, what was forgotten would be new. */
  #stepAt(now: number): number {
    this.#step = Math.max(this.#step, Math.floor(now / nonceStepMs));
    return this.#step;
  }

  #nonceOf(step: number): string {
    const name = step.toString(36);
    const tag = createHmac("sha256", this.#secret).update(name).digest("base64url").slice(0, tagCharacters);
    return `${name}.${tag}`;
  }
}

function isSame(a: string, b: string): boolean {
  return a.length === b.length && timingSafeEqual(Buffer.from(a, "latin1"), Buffer.from(b, "latin1"));
}
