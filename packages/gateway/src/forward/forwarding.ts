// Promises the attempts of one crossing: one at a time, or a second beside a slow first, each at an endpoint that may be asked, no more than its rules, budget and
// deadline allow, and none once a byte of an answer could have left. Trusts the pure decisions beside it. Specified in docs/resilience.md.
import { type Deny, deny } from "@sallyport/protocol/verdict.ts";
import type { Place } from "../limit/in-flight.ts";
import { modeOf } from "../observe/decide-pass.ts";
import { Attempt, type AttemptOwner } from "./attempt.ts";
import { endsBoth } from "./decide-hedge.ts";
import { decideRetry, type FailedAttempt } from "./decide-retry.ts";
import type { Endpoint } from "./endpoint.ts";
import type { Claimant, ShedRule } from "./fair-room.ts";
import { standIn } from "./fallback.ts";
import { findEndpoint, waitMsOf } from "./find-endpoint.ts";
import { findStandIn, keepForLater } from "./find-stand-in.ts";
import type { Forwarded } from "./forwarded.ts";
import { type Hedging, hedgingFor } from "./hedging.ts";
import { failureOf, judgeAttempt } from "./judge-attempt.ts";
import { mayRepeat } from "./may-repeat.ts";
import { shedDenial } from "./shed-denial.ts";
import { uniform } from "./uniform.ts";
import { classifyUpstreamError } from "./upstream-error.ts";
import type { PlacedEndpoint } from "./upstream-pools.ts";
import type { Waiter } from "./waiting-line.ts";

export class Forwarding implements AttemptOwner, Waiter {
  readonly #on: Forwarded;
  readonly #endsMs: number;
  #resolve: ((verdict: Deny | null) => void) | null = null;
  #attempt: Attempt | null = null;
  /** Sent beside it, because it was slow. */
  #beside: Attempt | null = null;
  readonly #hedging: Hedging | null;
  #isHedged = false;
  /** The one that may have another beside it. */
  #first: Attempt | null = null;
  #made = 0;
  /** Endpoints that failed this crossing. */
  #tried: Endpoint[] | null = null;
  #timer: NodeJS.Timeout | null = null;
  readonly claimant: Claimant;

  constructor(on: Forwarded) {
    this.#on = on;
    const { principal, grant } = on.exchange;
    this.claimant = { who: principal?.client ?? principal?.caller ?? "", priority: grant?.priority ?? "normal" };
    this.#endsMs = on.gate.clock.monotonic() + on.bounds.timeoutMs;
    this.#hedging = hedgingFor(on, on.exchange);
  }

  /** The verdict of `forward`: null when `exchange.upstream` has an answer to pass on. */
  run(): Promise<Deny | null> {
    return new Promise((resolve) => {
      this.#resolve = resolve;
      if (this.#on.upstream.rules.retries !== undefined) this.#on.upstream.traffic.budget.request(this.now());
      this.#next();
    });
  }

  now(): number {
    return this.#on.gate.clock.monotonic();
  }

  /** Where its last attempt went, or the one that was answered. */
  get endpoint(): Endpoint | null {
    return this.#attempt?.endpoint ?? null;
  }

  /** Ends it, wherever it is. */
  cancel(verdict: Deny): void {
    this.#hedging?.stop();
    if (this.#beside !== null) this.#overtake(this.#beside, "caller-gone");
    if (this.#attempt !== null) this.#attempt.answer.cancel(verdict);
    else this.#finish(verdict);
  }

  #next(): void {
    const { upstream, gate } = this.#on;
    const nowMs = this.now();
    const found = findEndpoint(upstream, { nowMs, tried: this.#tried, random: () => uniform(gate.random) });
    if (found === "open") this.#refuseOpen(nowMs);
    else if (found === "full" || upstream.rules.inFlight !== undefined) this.#claim(found, nowMs);
    else this.#trySend(found, nowMs);
  }

  /** There is a bound: who may have what is left of it? */
  #claim(found: PlacedEndpoint | "full", nowMs: number): void {
    const { traffic, rules, endpoints } = this.#on.upstream;
    const { total = Number.POSITIVE_INFINITY, each = Number.POSITIVE_INFINITY } = rules.inFlight ?? {};
    const all = Math.min(total, each * endpoints.length);
    const rule = found === "full" ? null : traffic.room.refusal(this.claimant, all, nowMs);
    if (found === "full" || rule !== null || !this.#trySend(found, nowMs)) this.#wait(rule);
  }

  /** False: other threads have all the room there is. */
  #trySend(placed: PlacedEndpoint, nowMs: number): boolean {
    const place = this.#on.upstream.counted.take(placed.endpoint.origin);
    if (place === null) return false;
    this.#stopWaiting();
    this.#send(placed, place, nowMs);
    return true;
  }

  #send(placed: PlacedEndpoint, place: Place, nowMs: number): void {
    const isTrial = placed.endpoint.breaker.state(nowMs) !== "closed";
    const attempt = this.#begin(placed.endpoint, place, nowMs);
    this.#attempt = attempt;
    this.#on.exchange.upstream = attempt.answer;
    this.#ask(attempt, placed);
    if (this.#hedging === null || this.#made > 1 || this.#attempt !== attempt || this.#resolve === null) return;
    this.#first = attempt;
    this.#hedging.begin(isTrial, nowMs, () => this.#hedge(attempt));
  }

  /** It is slow: a second one beside it, where that may be. */
  #hedge(first: Attempt): void {
    const nowMs = this.now();
    const placed = this.#hedging?.place(first.endpoint, this.#endsMs, nowMs) ?? null;
    const place = placed === null ? null : this.#on.upstream.counted.take(placed.endpoint.origin);
    if (placed === null || place === null) return;
    this.#hedging?.made();
    this.#on.exchange.times?.mark("attempt", nowMs);
    this.#isHedged = true;
    this.#beside = this.#begin(placed.endpoint, place, nowMs);
    this.#beside.isHedge = true;
    this.#ask(this.#beside, placed);
  }

  #begin(endpoint: Endpoint, place: Place, nowMs: number): Attempt {
    const { exchange, upstream, bounds } = this.#on;
    const leftMs = Math.max(1, this.#endsMs - nowMs);
    const { attemptMs = leftMs } = upstream.rules;
    const timeoutMs = Math.min(leftMs, attemptMs);
    this.#made++;
    endpoint.attempts++;
    endpoint.inFlight++;
    upstream.traffic.inFlight++;
    upstream.traffic.usedMs = nowMs;
    if (upstream.rules.inFlight !== undefined) upstream.traffic.room.took(this.claimant);
    return new Attempt(
      this,
      { endpoint, place, method: exchange.request?.method ?? "" },
      {
        timeoutMs,
        idleMs: bounds.timeoutMs,
        bodyBytesMax: bounds.bodyBytesMax,
        inspectedBytesMax: this.#on.inspectedBytesMax,
        passesLong: this.#on.passesLong,
        webSocket: this.#on.webSocket ?? undefined,
        isShortened: timeoutMs < Math.min(this.#on.promisedMs, upstream.rules.attemptMs ?? this.#on.promisedMs),
      },
    );
  }

  #ask({ answer, endpoint, timeoutMs }: Attempt, { basePath }: PlacedEndpoint): void {
    const { content } = this.#on;
    try {
      const request = this.#on.request({ basePath, origin: endpoint.origin }, timeoutMs);
      answer.sent(endpoint.pool.send({ ...request, content }, answer));
    } catch (error) {
      answer.cancel(classifyUpstreamError(error instanceof Error ? error : new Error(String(error)), true));
    }
  }

  over({ endpoint, place }: Attempt): void {
    const { traffic, rules, counted } = this.#on.upstream;
    place.giveBack();
    endpoint.inFlight--;
    traffic.inFlight--;
    if (rules.inFlight !== undefined) traffic.room.left(this.claimant);
    // Where it is counted in common, those that wait here have no more right to it than those of other threads: all look by themselves.
    if (traffic.line.length > 0 && !counted.isCommon) traffic.line.room();
  }

  /** Where nothing is enforced, and the gateway itself says nothing to them. */
  tellsPages(): boolean {
    const { exchange } = this.#on;
    return exchange.operation?.forPages === null && modeOf(exchange) !== "enforce";
  }

  settled(attempt: Attempt, verdict: Deny | null): void {
    const nowMs = this.now();
    const failed = attempt.isOvertaken ? null : failureOf(this.#on, attempt, verdict);
    judgeAttempt(this.#on, attempt, { failed, verdict, nowMs });
    if (attempt.isOvertaken) return;
    this.#hedging?.stop();
    const isAnswer = failed === null && verdict === null;
    if (this.#beside !== null) {
      const isEnd = isAnswer && endsBoth(attempt.answer.status, this.#on.exchange.operation?.object.effect === true);
      if (!isEnd) {
        this.#keep(attempt, failed?.code ?? verdict?.code ?? `status-${attempt.answer.status}`, nowMs);
        this.#leaveToOther(attempt);
        return;
      }
      this.#win(attempt, nowMs);
    } else if (isAnswer && this.#isHedged) this.#keep(attempt, "answered", nowMs);
    if (isAnswer) {
      if (attempt === this.#first) this.#hedging?.firstTook(nowMs - attempt.startedMs, nowMs);
      keepForLater(this.#on, attempt.answer, nowMs);
    }
    // A long answer may be on its way to the caller: nothing follows it.
    if (failed === null || (verdict === null && !attempt.answer.whole)) this.#finish(verdict);
    else this.#follow(attempt, { failed, verdict, nowMs });
  }

  /** Of two: it is answered, and the other is not waited for. */
  #win(attempt: Attempt, nowMs: number): void {
    const other = attempt === this.#attempt ? this.#beside : this.#attempt;
    this.#attempt = attempt;
    this.#on.exchange.upstream = attempt.answer;
    this.#keep(attempt, "answered", nowMs);
    if (attempt.isHedge) this.#hedging?.won();
    if (other === null) return;
    // As long at least: what is slower than its time stays counted as such.
    if (other === this.#first) this.#hedging?.firstTook(nowMs - other.startedMs, nowMs);
    this.#overtake(other, "overtaken");
  }

  #overtake(attempt: Attempt, ended: "overtaken" | "caller-gone"): void {
    this.#beside = null;
    this.#keep(attempt, ended, this.now());
    attempt.isOvertaken = true;
    attempt.answer.cancel(deny("forward", "client-aborted", { why: ended }));
  }

  /** Of two: it failed, and the other may still be answered. */
  #leaveToOther(attempt: Attempt): void {
    if (attempt === this.#attempt) this.#attempt = this.#beside;
    this.#beside = null;
    this.#tried = [...(this.#tried ?? []), attempt.endpoint];
    this.#on.exchange.upstream = this.#attempt?.answer ?? null;
    attempt.answer.cancel(deny("forward", "client-aborted", { why: "the other is waited for" }));
    attempt.answer.discard();
  }

  #follow(
    attempt: Attempt,
    on: { readonly failed: FailedAttempt; readonly verdict: Deny | null; readonly nowMs: number },
  ): void {
    const { exchange, gate, upstream, content } = this.#on;
    const { failed, verdict, nowMs } = on;
    const { retries } = upstream.rules;
    if (retries === undefined || exchange.aborted) {
      this.#giveUp(verdict, failed);
      return;
    }
    this.#tried = [...(this.#tried ?? []), attempt.endpoint];
    const tried = this.#tried;
    const decided = decideRetry({
      failed,
      made: this.#made,
      attemptsMax: retries.attempts,
      repeatable: mayRepeat(exchange),
      isHeld: content === null || content instanceof Uint8Array,
      hasOther: upstream.endpoints.some(({ endpoint }) => !tried.includes(endpoint) && endpoint.breaker.mayTry(nowMs)),
      leftMs: this.#endsMs - nowMs,
      random: uniform(gate.random),
      takeBudget: () => upstream.traffic.budget.take(retries, nowMs),
    });
    if (this.#made > 1 || decided.kind === "again") this.#keep(attempt, failed.code, nowMs);
    if (decided.kind === "enough") {
      this.#giveUp(verdict, failed);
      return;
    }
    attempt.answer.discard();
    upstream.traffic.retries++;
    exchange.times?.mark("attempt", nowMs);
    this.#attempt = null;
    this.#timer = setTimeout(() => this.#next(), decided.afterMs);
  }

  #keep({ endpoint, startedMs, isHedge }: Attempt, ended: string, nowMs: number): void {
    const { exchange } = this.#on;
    const ms = Math.round(nowMs - startedMs);
    exchange.attempts = [
      ...(exchange.attempts ?? []),
      { endpoint: endpoint.origin, ended, ms, ...(isHedge && { hedge: true as const }) },
    ];
  }

  /** `rule`: why it may not have the room there is; null: there is none. */
  #wait(rule: ShedRule | null): void {
    const { upstream } = this.#on;
    const { line, room } = upstream.traffic;
    const { inFlight } = upstream.rules;
    // Whoever has more under way than others wants none of it before them.
    if (rule !== "share") room.wants(this.claimant, this.now());
    if (inFlight === undefined || (line.length >= inFlight.waiting && !line.displace(this.claimant))) {
      if (rule === null) this.#refuseFull();
      else this.shed(rule);
      return;
    }
    line.join(this);
    upstream.counted.watch(line);
    const waitMs = Math.max(0, Math.min(inFlight.waitMs, this.#endsMs - this.now()));
    this.#timer = setTimeout(() => this.#refuseFull(), waitMs);
  }

  /** Somebody made room. */
  go(): boolean {
    const { upstream, gate } = this.#on;
    const nowMs = this.now();
    const found = findEndpoint(upstream, { nowMs, tried: this.#tried, random: () => uniform(gate.random) });
    if (found === "full") return false;
    if (found !== "open") return this.#trySend(found, nowMs);
    this.#stopWaiting();
    this.#refuseOpen(nowMs);
    return true;
  }

  #stopWaiting(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    this.#on.upstream.traffic.line.leave(this);
  }

  #refuseOpen(nowMs: number): void {
    const { upstream } = this.#on;
    upstream.traffic.refusedOpen++;
    const retryAfterS = Math.max(1, Math.ceil(waitMsOf(upstream, nowMs) / 1_000));
    const last = upstream.endpoints.map(({ endpoint }) => `${endpoint.origin}: ${endpoint.lastFailure}`).join(", ");
    this.#giveUp(
      deny("forward", "upstream-open", {
        why: `every endpoint failed and is left alone (${last})`,
        detail: `The provider was failing and is left alone; ask again in ${retryAfterS} s`,
        retryAfterS: String(retryAfterS),
      }),
    );
  }

  /** What there is, or its place in the line, is for another. */
  shed(rule: ShedRule): void {
    this.#on.upstream.traffic.shed++;
    this.#giveUp(shedDenial(rule, this.claimant, this.#on.upstream));
  }

  #refuseFull(): void {
    const { traffic, rules } = this.#on.upstream;
    traffic.refusedFull++;
    this.#giveUp(
      deny("forward", "upstream-overloaded", {
        why: `${traffic.inFlight} requests under way, ${traffic.line.length} in line`,
        bound: `${rules.inFlight?.total ?? "no"} in all, ${rules.inFlight?.each ?? "no"} at each endpoint`,
        detail: "The provider has as many requests under way as it is given; ask again later, with back-off and jitter",
        retryAfterS: "1",
      }),
    );
  }

  /** No attempt follows: a read may have an answer declared for that. `verdict`: null where the provider said so itself. */
  #giveUp(verdict: Deny | null, failed?: FailedAttempt): void {
    const { exchange } = this.#on;
    const found = exchange.aborted || this.#resolve === null ? null : findStandIn(this.#on, this.now());
    if (found === null) {
      this.#finish(verdict);
      return;
    }
    const replaced = this.#attempt?.answer;
    replaced?.discard();
    const why = `the provider failed (${failed?.code ?? ""})`;
    exchange.fallback = {
      by: found.by,
      instead: verdict ?? deny("forward", "upstream-unreachable", { fault: failed?.code ?? "", why }),
      upstreamStatus: replaced?.status ?? 0,
      upstreamMs: replaced?.upstreamMs ?? 0,
    };
    exchange.upstream = standIn(found.answer, { method: exchange.request?.method ?? "", now: () => this.now() });
    this.#finish(null);
  }

  #finish(verdict: Deny | null): void {
    const resolve = this.#resolve;
    if (resolve === null) return;
    this.#resolve = null;
    this.#hedging?.stop();
    this.#stopWaiting();
    resolve(verdict);
  }
}
