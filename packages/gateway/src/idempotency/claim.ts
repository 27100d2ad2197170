// Promises that what a crossing took before its effect (a key, a resource) is ended once, and as what it is: answered, unknown, or free again where the
// provider was not asked. Trusts the store; what cannot be told to it ends with the lease, as unknown. Specified in docs/idempotency.md "States".
import type { Logger } from "../ports.ts";
import type { AnswerPlace } from "./data-keys.ts";
import type { OpenDataPlane } from "./data-plane.ts";
import { type KeptAnswer, printAnswer, type readAnswer } from "./stored-answer.ts";

/** How long an effect may still last once its provider's time is over, before nobody waits for it any more. */
export const leaseMarginMs = 30_000;

export interface HeldKey extends AnswerPlace {
  /** An earlier crossing with this key may have had the effect. */
  readonly again: boolean;
  /** What the provider is told; null: nothing. */
  readonly providerKey: string | null;
  /** The row is one more than before. */
  readonly isNew: boolean;
}

/** The answer of an earlier crossing. */
export interface Replay {
  /** The crossing that had the effect. */
  readonly crossing: string;
  readonly answer: ReturnType<typeof readAnswer>;
}

export interface ClaimParts {
  readonly plane: OpenDataPlane;
  readonly logger: Logger;
  readonly key: HeldKey | null;
  /** Monotonic milliseconds: until then the claim holds for certain. */
  readonly endsAtMs: number;
  /** Told when the row of a new key is gone again. */
  gone(): void;
  /** Lets go of the resource; null: none is held. */
  readonly endWrite: (() => Promise<void>) | null;
  /** Nothing is held then. */
  readonly replay?: Replay;
}

/** How an effect ended, as far as its repeats care. */
export type EffectEnd =
  | { readonly kind: "answered"; readonly answer: KeptAnswer }
  /** Final, and not kept: too long, or passed on as it came. */
  | { readonly kind: "unkept" }
  | { readonly kind: "unknown" }
  /** The provider had no part in it, or said that it did nothing. */
  | { readonly kind: "not-begun" };

/** Of one crossing. */
export class Claim {
  readonly #parts: ClaimParts;
  #ending: Promise<void> | null = null;
  #told: (() => void) | null = null;

  constructor(parts: ClaimParts) {
    this.#parts = parts;
  }

  /** To be released again, in place of asking the provider. */
  get replay(): Replay | null {
    return this.#parts.replay ?? null;
  }

  get providerKey(): string | null {
    return this.#parts.key?.providerKey ?? null;
  }

  /** Its caller may come again for the answer: the effect is followed to its end even when the caller has gone. */
  get isForRepeats(): boolean {
    return this.#parts.key !== null;
  }

  /** Does it hold until then? Monotonic milliseconds. */
  holdsUntil(ms: number): boolean {
    return ms < this.#parts.endsAtMs;
  }

  /** Calls back when it is over; at once where it is. */
  whenOver(told: () => void): void {
    if (this.#ending !== null) void this.#ending.then(told);
    else this.#told = told;
  }

  /** The first end counts. Resolves when the store has it, or cannot take it; never rejects. */
  end(end: EffectEnd): Promise<void> {
    this.#ending ??= this.#end(end).then(() => this.#told?.());
    return this.#ending;
  }

  async #end(end: EffectEnd): Promise<void> {
    const { key, endWrite } = this.#parts;
    const done = [key === null ? null : this.#endKey(key, end), endWrite?.()];
    for (const { status, ...more } of await Promise.allSettled(done))
      if (status === "rejected" && "reason" in more)
        this.#parts.logger.error(
          { err: String(more.reason) },
          "what came of an effect could not be stored: its repeats will be told that it is unknown",
        );
  }

  async #endKey(key: HeldKey, end: EffectEnd): Promise<void> {
    const { plane } = this.#parts;
    const { keyHash, crossing, rules } = key;
    if (end.kind === "answered") {
      const answer = plane.keys.seal({ keyHash, crossing, rules }, printAnswer(end.answer));
      await plane.run("endKey", { keyHash, crossing, end: { state: "answered", rules, answer } });
    } else if (end.kind === "not-begun" && !key.again) {
      if ((await plane.run("releaseKey", { keyHash, crossing })) && key.isNew) this.#parts.gone();
    } else {
      // What came of the time before is as unknown as it was.
      const state = end.kind === "not-begun" ? "unknown" : end.kind;
      await plane.run("endKey", { keyHash, crossing, end: { state } });
    }
  }
}
