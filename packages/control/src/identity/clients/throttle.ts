// Promises that what is counted (failed attempts to be a client, requests to ask users) is slow, per client and network, counted before it is judged; and
// that nobody stops a client that comes from another network. Trusts sourcePrefix for what a network is. Kept by each node in memory. docs/identity/client-authentication.md "Throttling".
import { hash } from "node:crypto";
import { sourcePrefix } from "../../source-places.ts";
import { decideThrottle, type ThrottleRule } from "../people/decide-throttle.ts";

/** Failures that one client may have from one network at once, and how soon one more is allowed. */
export const clientAttempts: ThrottleRule = { everyMs: 1_000, burst: 100 };
/** Requests that one client may have users asked by from one network at once, and how soon one more: each keeps a row for ten minutes, for strangers too. */
export const authorizationRequests: ThrottleRule = { everyMs: 200, burst: 300 };
/** Buckets that are not full, in one issuer. */
export const bucketsMax = 8_192;

export type ClientPass =
  /** Call `prove` when the attempt was no failure: it is not counted then. */
  { readonly kind: "go"; prove(): void } | { readonly kind: "wait"; readonly retryAfterSeconds: number };

export class ClientThrottle {
  readonly #clock: { now(): number };
  readonly #rule: ThrottleRule;
  /** When each bucket is full again, milliseconds since the epoch, by digest: no name a stranger sent is kept. */
  readonly #fullAt = new Map<string, number>();

  constructor(clock: { now(): number }, rule: ThrottleRule = clientAttempts) {
    this.#clock = clock;
    this.#rule = rule;
  }

  /** `client`: one that exists; null: whoever else, who share one bucket of their network. */
  enter(client: string | null, address: string): ClientPass {
    const now = this.#clock.now();
    const key = hash("sha256", `${client ?? ""}\n${sourcePrefix(address)}`, "base64url");
    const verdict = decideThrottle([{ key, rule: this.#rule }], this.#fullAt, now);
    if (verdict.kind === "wait")
      return { kind: "wait", retryAfterSeconds: Math.max(1, Math.ceil(verdict.retryAfterMs / 1_000)) };
    this.#keep(key, verdict.fullAt[0] ?? now, now);
    return { kind: "go", prove: () => this.#giveBack(key) };
  }

  #giveBack(key: string): void {
    const now = this.#clock.now();
    this.#keep(key, (this.#fullAt.get(key) ?? now) - this.#rule.everyMs, now);
  }

  #keep(key: string, fullAt: number, now: number): void {
    this.#fullAt.delete(key);
    if (fullAt <= now) return;
    // The bucket that was touched longest ago makes room: a flood from ever new networks forgets its own first.
    for (const oldest of this.#fullAt.keys()) {
      if (this.#fullAt.size < bucketsMax) break;
      this.#fullAt.delete(oldest);
    }
    this.#fullAt.set(key, fullAt);
  }
}
