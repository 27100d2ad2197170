// Promises what a crossing is answered with when its provider failed: an answer of before where there is one, else what is declared; and that answers which
// may be wanted so are kept. Trusts stale-answers.ts for whose they are. Specified in docs/resilience.md "Fallback".
import { declaredAnswer } from "./fallback.ts";
import type { Forwarded } from "./forwarded.ts";
import { type StandIn, staleKey } from "./stale-answers.ts";
import type { UpstreamAnswer } from "./upstream-answer.ts";

/** An answer of before where there is one, else what is declared. */
export function findStandIn(on: Forwarded, nowMs: number): { readonly by: string; readonly answer: StandIn } | null {
  const { exchange, upstream } = on;
  const { fallback: declared, staleMs = 0 } = exchange.operation?.object ?? {};
  const key = staleMs > 0 ? keyFor(on) : null;
  const stale = key === null ? null : upstream.stale.find(key, { nowMs, ageMsMax: staleMs });
  if (stale !== null) {
    const age = String(Math.floor(stale.ageMs / 1_000));
    return { by: `stale; age=${age}`, answer: { ...stale, fields: [...stale.fields, "age", age] } };
  }
  return declared === undefined ? null : { by: "static", answer: declaredAnswer(declared) };
}

/** Keeps an answer that may stand in for one later, where the operation asks for it. */
export function keepForLater(on: Forwarded, answer: UpstreamAnswer, nowMs: number): void {
  if ((on.exchange.operation?.object.staleMs ?? 0) <= 0) return;
  const key = answer.whole ? keyFor(on) : null;
  if (key === null) return;
  const { status, fields } = answer;
  on.upstream.stale.keep(key, { status, fields, content: answer.peekHeld() }, nowMs);
}

/** Null: nobody it could be kept for. */
function keyFor({ exchange, upstream }: Forwarded): string | null {
  const { principal, request, operation, hopToken } = exchange;
  if (principal === null || request === null || operation === null || hopToken === null) return null;
  if (request.method !== "GET" || request.headers["range"] !== undefined) return null;
  const places = upstream.endpoints.map(({ endpoint, basePath }) => ({ origin: endpoint.origin, basePath }));
  return staleKey({ principal, operation: operation.fullName, places, request });
}
