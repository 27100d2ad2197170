// Promises the endpoint for the next attempt out of what is known of all of them, without a list where there is only one. Trusts decide-endpoint.ts for the
// choice. Specified in docs/resilience.md "Endpoints".
import { type Candidate, decideEndpoint } from "./decide-endpoint.ts";
import type { Endpoint } from "./endpoint.ts";
import type { PlacedEndpoint, Upstream } from "./upstream-pools.ts";

export interface Asking {
  /** Milliseconds, monotonic. */
  readonly nowMs: number;
  /** Endpoints that failed this crossing. */
  readonly tried: readonly Endpoint[] | null;
  /** 0 up to and without 1. */
  random(): number;
}

/** `open`: each is left alone; `full`: there is no room. */
export function findEndpoint(upstream: Upstream, asking: Asking): PlacedEndpoint | "open" | "full" {
  const { endpoints, traffic } = upstream;
  const { total = Number.POSITIVE_INFINITY, each = Number.POSITIVE_INFINITY } = upstream.rules.inFlight ?? {};
  const hasRoom = traffic.inFlight < total;
  const [only] = endpoints;
  if (only !== undefined && endpoints.length === 1) {
    if (!only.endpoint.breaker.mayTry(asking.nowMs)) return "open";
    return hasRoom && only.endpoint.inFlight < each ? only : "full";
  }
  const candidates = endpoints.map(
    ({ endpoint, weight }): Candidate => ({
      weight,
      inFlight: endpoint.inFlight,
      isOpen: !endpoint.breaker.mayTry(asking.nowMs),
      isFull: !hasRoom || endpoint.inFlight >= each,
      wasTried: asking.tried?.includes(endpoint) ?? false,
    }),
  );
  // Checks only prefer: where they leave nobody they may be wrong themselves, and the breaker decides alone.
  const well = candidates.map((one, i) =>
    endpoints[i]?.endpoint.health.isWell === false ? { ...one, isOpen: true } : one,
  );
  const isAnyWell = well.some(({ isOpen }) => !isOpen);
  const decided = decideEndpoint(isAnyWell ? well : candidates, () => asking.random());
  if (decided.kind !== "endpoint") return decided.kind;
  return endpoints[decided.index] ?? "open";
}

/** Milliseconds until one of them may be tried. */
export function waitMsOf({ endpoints }: Upstream, nowMs: number): number {
  return Math.min(...endpoints.map(({ endpoint }) => endpoint.breaker.waitMs(nowMs)));
}
