// Promises whether an endpoint was well when it was last asked by itself, and asks again in time, over the connections of its pool and so only at judged
// addresses; of a system that nobody has used for a while nothing is asked. Trusts its caller for the clock. Specified in docs/resilience.md "Health checks".
import type { UpstreamPool } from "@sallyport/kernel/dial/upstream-port.ts";
import { askHealth } from "./ask-health.ts";

export interface HealthRules {
  /** Absent: it is asked over gRPC. */
  readonly path?: string;
  /** Service that is asked about; empty: all of it. */
  readonly grpc?: string;
  readonly everyMs: number;
  readonly timeoutMs: number;
  /** Checks in a row that change what is thought of it. */
  readonly failures: number;
  readonly successes: number;
}

/** A system that no crossing has used for so long is not asked, and what was known of it is forgotten. */
export const unusedMs = 5 * 60_000;

export class Health {
  #rules: HealthRules | null = null;
  #basePath = "";
  #nextMs = 0;
  #isAsking = false;
  /** Checks in a row that contradict `isWell`. */
  #against = 0;
  isWell = true;
  checks = 0;

  get isAskedOverGrpc(): boolean {
    return this.#rules?.grpc !== undefined;
  }

  use(rules: HealthRules | null, basePath: string): void {
    this.#rules = rules;
    this.#basePath = basePath;
    if (rules === null) this.#forget();
  }

  /** Asks if it is time. `usedMs`: when a crossing last used the system; both monotonic milliseconds. */
  tick(pool: Pick<UpstreamPool, "send">, on: { readonly nowMs: number; readonly usedMs: number }): void {
    const rules = this.#rules;
    if (rules === null) return;
    if (on.nowMs - on.usedMs > unusedMs) this.#forget();
    else if (!this.#isAsking && on.nowMs >= this.#nextMs) {
      this.#nextMs = on.nowMs + rules.everyMs;
      this.#isAsking = true;
      this.checks++;
      askHealth(pool, { rules, basePath: this.#basePath }, (isWell) => {
        this.#isAsking = false;
        this.told(isWell);
      });
    }
  }

  /** What one check said. */
  told(isWell: boolean): void {
    const rules = this.#rules;
    if (rules === null) return;
    this.#against = isWell === this.isWell ? 0 : this.#against + 1;
    if (this.#against < (this.isWell ? rules.failures : rules.successes)) return;
    this.isWell = isWell;
    this.#against = 0;
  }

  #forget(): void {
    this.isWell = true;
    this.#against = 0;
    this.#nextMs = 0;
  }
}
