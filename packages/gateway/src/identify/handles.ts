// Promises that a handle is asked for at control once at a time and seldom in vain, within bounds per network and over all, and that no answer is no entry.
// Trusts the channel for the token, which is verified like any other. Specified in docs/identity/token-forms.md "At a gateway".
import { patience } from "@sallyport/kernel/dial/patience.ts";
import { type Deny, deny } from "@sallyport/protocol/verdict.ts";

/** Questions on their way at once, and of them for one source network. */
export const questionsMax = 256;
export const questionsPerSourceMax = 16;
/** A handle that control does not know is not asked for again for this long; so many are remembered. */
export const unknownMs = 5_000;
export const unknownMax = 4_096;
const answerMs = 2_000;

export interface HandlePorts {
  /** The token behind the handle of this digest, null for none; rejects when control cannot be asked. */
  ask(digest: string): Promise<string | null>;
  /** Milliseconds, never back. */
  monotonic(): number;
  /** The denial of what control does not know; absent: `token-unknown`. */
  unknown?(): Deny;
}

export type HandleAnswer = { readonly kind: "token"; readonly token: string } | Deny;

const noHandle = () => deny("identify", "token-unknown", { why: "control knows no such handle in this environment" });
const unresolved = (why: string) => deny("identify", "token-unresolved", { why });

export class Handles {
  readonly #ports: HandlePorts;
  readonly #underWay = new Map<string, Promise<HandleAnswer>>();
  readonly #bySource = new Map<string, number>();
  /** Digest -> until when it is not asked for. */
  readonly #unknown = new Map<string, number>();

  constructor(ports: HandlePorts) {
    this.#ports = ports;
  }

  /** What the handle of this digest stands for. `source`: the network of who presented it. Never rejects. */
  find(digest: string, source: string): Promise<HandleAnswer> | Deny {
    const underWay = this.#underWay.get(digest);
    if (underWay !== undefined) return underWay;
    if ((this.#unknown.get(digest) ?? 0) > this.#ports.monotonic()) return this.#noSuch();
    const ofSource = this.#bySource.get(source) ?? 0;
    if (this.#underWay.size >= questionsMax || ofSource >= questionsPerSourceMax)
      return unresolved("too many questions about handles are on their way to control");
    this.#bySource.set(source, ofSource + 1);
    const answer = this.#ask(digest).finally(() => this.#end(digest, source));
    this.#underWay.set(digest, answer);
    return answer;
  }

  async #ask(digest: string): Promise<HandleAnswer> {
    const { promise: late, resolve } = Promise.withResolvers<"late">();
    const patient = patience(answerMs, () => resolve("late"));
    try {
      const token = await Promise.race([this.#ports.ask(digest).then((found) => ({ found })), late]);
      if (token === "late") return unresolved("control did not say in time what the handle stands for");
      if (token.found !== null) return { kind: "token", token: token.found };
      this.#remember(digest);
      return this.#noSuch();
    } catch {
      return unresolved("control could not be asked what the handle stands for");
    } finally {
      patient.end();
    }
  }

  #noSuch(): Deny {
    return (this.#ports.unknown ?? noHandle)();
  }

  #remember(digest: string): void {
    if (this.#unknown.size >= unknownMax) this.#unknown.clear();
    this.#unknown.set(digest, this.#ports.monotonic() + unknownMs);
  }

  #end(digest: string, source: string): void {
    this.#underWay.delete(digest);
    const left = (this.#bySource.get(source) ?? 1) - 1;
    if (left <= 0) this.#bySource.delete(source);
    else this.#bySource.set(source, left);
  }
}
