// Promises what the end of an attempt says about its endpoint, and what it tells the breaker: never what a caller, or we, gave up. Trusts the attempt.
// Specified in docs/resilience.md "What is a failure" and "Breaker".
import type { Deny } from "@sallyport/protocol/verdict.ts";
import type { Attempt } from "./attempt.ts";
import type { AttemptEnd } from "./breaker.ts";
import { mayEject } from "./decide-endpoint.ts";
import { type FailedAttempt, failingStatuses, retryAfterOf } from "./decide-retry.ts";
import type { Endpoint } from "./endpoint.ts";
import type { Forwarded } from "./forwarded.ts";
import type { Upstream } from "./upstream-pools.ts";

/** Faults that say nothing about the provider: the caller, or we, gave up. */
const ownFaults: ReadonlySet<string> = new Set(["aborted", "queue-full"]);

/** Null: it did not fail. */
export function failureOf(
  { exchange, gate }: Forwarded,
  { answer, isShortened }: Attempt,
  verdict: Deny | null,
): FailedAttempt | null {
  if (verdict === null) {
    const { status } = answer;
    if (!failingStatuses.has(status) || exchange.operation?.object.businessErrors.includes(status)) return null;
    const retryAfterMs = retryAfterOf(answer.field("retry-after"), gate.clock.now());
    return { code: `status-${status}`, wasSent: true, retryAfterMs };
  }
  if (!verdict.code.startsWith("upstream-")) return null;
  const code = verdict.facts["fault"] ?? (isShortened ? "shortened" : "answer-timeout");
  return ownFaults.has(code) ? null : { code, wasSent: answer.wasSent, retryAfterMs: null };
}

export interface AttemptEnded {
  readonly failed: FailedAttempt | null;
  /** Null: there is an answer. */
  readonly verdict: Deny | null;
  readonly nowMs: number;
}

export function judgeAttempt(on: Forwarded, attempt: Attempt, { failed, verdict, nowMs }: AttemptEnded): void {
  const { endpoint, began } = attempt;
  const { upstream, gate } = on;
  const end = endOf(attempt, failed, verdict);
  const { opened } = endpoint.breaker;
  if (end === "failed" && failed !== null) {
    endpoint.failures++;
    endpoint.lastFailure = failed.code;
  }
  endpoint.breaker.ended(end, began, { nowMs, mayEject: end === "failed" && mayEjectOne(upstream, endpoint, nowMs) });
  if (endpoint.breaker.opened === opened) return;
  const { system, traffic } = upstream;
  // Who waits for room here waits in vain.
  for (let left = traffic.line.length; left > 0; left--) traffic.line.room();
  const forMs = Math.round(endpoint.breaker.waitMs(nowMs));
  gate.logger.warn(
    { system, endpoint: endpoint.origin, failure: endpoint.lastFailure, forMs },
    "an endpoint fails and is left alone for a while",
  );
}

function endOf({ isOvertaken }: Attempt, failed: FailedAttempt | null, verdict: Deny | null): AttemptEnd {
  if (isOvertaken) return "unknown";
  if (failed === null) return verdict === null ? "ok" : "unknown";
  // A caller that wants its answer sooner than promised says nothing about the provider.
  return failed.code === "shortened" ? "unknown" : "failed";
}

function mayEjectOne({ endpoints }: Upstream, endpoint: Endpoint, nowMs: number): boolean {
  const out = endpoints.filter((one) => one.endpoint !== endpoint && one.endpoint.breaker.state(nowMs) !== "closed");
  return mayEject(endpoints.length, out.length);
}
