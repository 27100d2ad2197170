// Promises the bounds of admit/admission.ts over all threads of a node: a source has no more by spreading its connections. Trusts the shared table.
// Specified in docs/gateway.md (admit) and docs/workers.md.
import type { Clock } from "@sallyport/kernel/ports.ts";
import { type Deny, deny } from "@sallyport/protocol/verdict.ts";
import { type AdmissionLimits, type Admitted, type Admitting, decideAdmission } from "../admit/admission.ts";
import { type Source, sourceKey } from "../admit/source-prefix.ts";
import type { UnderWay } from "../limit/in-flight.ts";
import type { SharedRow, SharedTable } from "./shared-table.ts";

/** Numbers of a source's row. */
const [windowStart, requests, badCredentials, inFlight, refusedUntil, lastUsed] = [0, 1, 2, 3, 4, 5];
export const admissionWidth = 6;

export class SharedAdmission implements Admitting {
  readonly #limits: AdmissionLimits;
  readonly #clock: Clock;
  readonly #table: SharedTable;
  /** One word: crossings under way over all threads. */
  readonly #total: Int32Array;
  readonly inFlightOf: UnderWay;

  constructor(
    limits: AdmissionLimits,
    clock: Clock,
    shared: { readonly table: SharedTable; readonly total: SharedArrayBuffer; readonly inFlightOf: UnderWay },
  ) {
    this.#limits = limits;
    this.#clock = clock;
    this.#table = shared.table;
    this.#total = new Int32Array(shared.total);
    this.inFlightOf = shared.inFlightOf;
  }

  get inFlight(): number {
    return Atomics.load(this.#total, 0);
  }

  keyOf(source: Source): string {
    return this.#limits.prefixLengths === null ? source.prefix : sourceKey(source, this.#limits.prefixLengths);
  }

  enter(prefix: string): Deny | null {
    if (Atomics.add(this.#total, 0, 1) >= this.#limits.inFlightMax)
      return this.#refused(deny("admit", "overloaded", { bound: "in flight over all" }));
    const nowMs = this.#clock.monotonic();
    const refusal = this.#table.change(prefix, rankAt(nowMs), (row) => this.#begin(row, nowMs));
    if (refusal === null) return this.#refused(deny("admit", "overloaded", { bound: "source prefixes remembered" }));
    return refusal === "entered" ? null : this.#refused(refusal);
  }

  leave(prefix: string): void {
    Atomics.sub(this.#total, 0, 1);
    this.#table.known(prefix, ({ words, at }) => {
      words[at + inFlight] = Math.max(0, (words[at + inFlight] ?? 0) - 1);
    });
  }

  end({ admitted, source, places }: Admitted): void {
    if (admitted) this.leave(this.keyOf(source));
    for (const place of places) place.giveBack();
  }

  countBadCredential(prefix: string, worth = 1): void {
    const nowMs = this.#clock.monotonic();
    const { badCredentialsPerPrefixMax, badCredentialsPauseMs } = this.#limits;
    this.#table.change(prefix, rankAt(nowMs), (row) => {
      this.#turn(row, nowMs);
      const { words, at } = row;
      const bad = (words[at + badCredentials] ?? 0) + worth;
      words[at + badCredentials] = bad;
      if (bad >= badCredentialsPerPrefixMax) words[at + refusedUntil] = nowMs + badCredentialsPauseMs;
    });
  }

  #refused(refusal: Deny): Deny {
    Atomics.sub(this.#total, 0, 1);
    return refusal;
  }

  #begin(row: SharedRow, nowMs: number): Deny | "entered" {
    this.#turn(row, nowMs);
    const { words, at } = row;
    const state = {
      windowStartMs: words[at + windowStart] ?? 0,
      requests: words[at + requests] ?? 0,
      badCredentials: words[at + badCredentials] ?? 0,
      inFlight: words[at + inFlight] ?? 0,
      refusedUntilMs: words[at + refusedUntil] ?? 0,
    };
    const refusal = decideAdmission(state, { limits: this.#limits, nowMs });
    if (refusal !== null) return refusal;
    words[at + requests] = state.requests + 1;
    words[at + inFlight] = state.inFlight + 1;
    return "entered";
  }

  /** Begins a new window where the one before is over. */
  #turn({ words, at }: SharedRow, nowMs: number): void {
    words[at + lastUsed] = nowMs;
    if (nowMs - (words[at + windowStart] ?? 0) < this.#limits.windowMs) return;
    words[at + windowStart] = nowMs;
    words[at + requests] = 0;
    words[at + badCredentials] = 0;
  }
}

/** A source with something in flight is never forgotten, one that is turned away after all others, else the longest idle. */
const rankAt =
  (nowMs: number) =>
  ({ words, at }: SharedRow): number => {
    if ((words[at + inFlight] ?? 0) > 0) return Number.POSITIVE_INFINITY;
    const isRefused = (words[at + refusedUntil] ?? 0) > nowMs;
    return (words[at + lastUsed] ?? 0) + (isRefused ? Number.MAX_SAFE_INTEGER : 0);
  };
