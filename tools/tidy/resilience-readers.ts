// Promises who obeys each key that says what is done when a provider is slow, full or away. Trusts config-readers.ts, which shows that no key is missing.
// What the keys do: docs/resilience.md.
import type { Obeyed, Reader } from "./unread-keys.ts";

const gateway = "packages/gateway/src";
const obeyed = (by: string, reads: string): Obeyed => ({ by, reads });

export const resilienceReaders: Readonly<Record<string, Reader>> = {
  "endpoints[].url": obeyed(`${gateway}/snapshot/estate.ts`, "(upstream.endpoints ??"),
  "endpoints[].weight": obeyed(`${gateway}/forward/decide-endpoint.ts`, "(second.inFlight + 1) / second.weight"),
  "timeouts.connect": obeyed(`${gateway}/forward/upstream-pools.ts`, "upstream?.rules.connectMs ??"),
  "timeouts.attempt": obeyed(`${gateway}/forward/forwarding.ts`, "Math.min(leftMs, attemptMs)"),
  "retries.attempts": obeyed(`${gateway}/forward/forwarding.ts`, "attemptsMax: retries.attempts"),
  "retries.budget": obeyed(`${gateway}/forward/retry-budget.ts`, "requests * rules.budget"),
  "retries.least": obeyed(`${gateway}/forward/retry-budget.ts`, "Math.max(rules.least"),
  "breaker.failures": obeyed(`${gateway}/forward/breaker.ts`, "this.#inRow >= rules.failures"),
  "breaker.share": obeyed(`${gateway}/forward/breaker.ts`, "failed >= all * rules.share"),
  "breaker.requests": obeyed(`${gateway}/forward/breaker.ts`, "all >= rules.requests"),
  "breaker.pause": obeyed(`${gateway}/forward/breaker.ts`, "rules.openMs * 2"),
  "breaker.longest": obeyed(`${gateway}/forward/breaker.ts`, "Math.min(rules.openMsMax"),
  "hedge.after": obeyed(`${gateway}/forward/hedging.ts`, "latencies.quantile(after.share"),
  "hedge.budget": obeyed(`${gateway}/forward/hedging.ts`, "budget: rule.budget"),
  "health.path": obeyed(`${gateway}/forward/ask-health.ts`, "basePath + rules.path"),
  "health.grpc": obeyed(`${gateway}/forward/ask-health.ts`, "questionAbout(rules.grpc"),
  "health.every": obeyed(`${gateway}/forward/health.ts`, "on.nowMs + rules.everyMs"),
  "health.timeout": obeyed(`${gateway}/forward/ask-health.ts`, "}, rules.timeoutMs)"),
  "health.failures": obeyed(`${gateway}/forward/health.ts`, "rules.failures : rules.successes"),
  "health.successes": obeyed(`${gateway}/forward/health.ts`, "rules.failures : rules.successes"),
  "inFlight.total": obeyed(`${gateway}/forward/find-endpoint.ts`, "traffic.inFlight < total"),
  "inFlight.each": obeyed(`${gateway}/forward/find-endpoint.ts`, "endpoint.inFlight >= each"),
  "inFlight.waiting": obeyed(`${gateway}/forward/forwarding.ts`, "line.length >= inFlight.waiting"),
  "inFlight.wait": obeyed(`${gateway}/forward/forwarding.ts`, "Math.min(inFlight.waitMs"),
  "operations.<name>.hedge.after": obeyed(`${gateway}/forward/hedging.ts`, "latencies.quantile(after.share"),
  "operations.<name>.hedge.budget": obeyed(`${gateway}/forward/hedging.ts`, "budget: rule.budget"),
};
