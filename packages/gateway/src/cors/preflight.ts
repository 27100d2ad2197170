// Promises that what a browser asks before a page's request is answered here and reaches no provider: a yes for an operation that an integration with that
// page grants, and for all else what a stranger gets. Trusts the canonical request and the snapshot. Specified in docs/cors.md, Fetch §3.2.2.
import { type Deny, deny } from "@sallyport/protocol/verdict.ts";
import { isOver } from "../bind/decide.ts";
import type { EstateLease, Exchange } from "../exchange.ts";
import type { Gate } from "../gate.ts";
import type { CompiledOperation, Grant } from "../snapshot/estate.ts";
import { originOf, type Pages, pagesAt } from "./pages.ts";

export interface Preflight {
  readonly origin: string;
  readonly method: string;
  readonly pages: Pages;
  /** Under which it is on record: nobody proved who they are, and nothing crossed. */
  readonly verdict: Deny;
}

/** What a preflight asks. */
export interface PreflightAsked {
  readonly origin: string;
  readonly method: string;
}

/** Null: it is no preflight, but the method itself. */
export function preflightAsked(exchange: Exchange): PreflightAsked | null {
  const { request } = exchange;
  if (request?.method !== "OPTIONS") return null;
  const [method, ...more] = request.headers["access-control-request-method"] ?? [];
  const origin = originOf(exchange);
  if (method === undefined || more.length > 0 || origin === null) return null;
  // Browsers send no credentials and no content: whoever does means the method itself.
  const hasContent = request.chunked || (request.contentLength ?? 0) > 0;
  if (exchange.asked !== null || request.headers["authorization"] !== undefined || hasContent) return null;
  return { origin, method };
}

/** The verdict that ends a preflight which has a yes; null: it is a request like any other. */
export function answerPreflight(exchange: Exchange, lease: EstateLease, gate: Gate): Deny | null {
  const { request } = exchange;
  const asked = preflightAsked(exchange);
  if (request === null || asked === null) return null;
  const { origin, method } = asked;
  const match = lease.estate.router.find(request.host, method, request.segments);
  const pages = match.operation === null ? null : pagesAt(origin, servedFor(match.operation, lease, gate));
  if (pages === null) return null;
  exchange.system = match.system;
  exchange.operation = match.operation;
  const verdict = deny("route", "credentials-missing", {
    why: "a preflight of a browser: answered, and nothing crossed",
    preflight: "answered",
  });
  exchange.preflight = { origin, method, pages, verdict };
  return verdict;
}

function servedFor({ forPages }: CompiledOperation, { estate }: EstateLease, gate: Gate): readonly Grant[] {
  const nowMs = gate.clock.now();
  const { revocations } = gate.identify;
  return (forPages ?? []).filter(
    ({ integration }) =>
      !isOver(integration, nowMs) && !revocations.revokesIntegration(integration.id, estate.manifest.issuedAt),
  );
}

/** The answer's fields. Every list is the snapshot's own: what was asked for is not repeated. */
export function preflightFields({ origin, method, pages }: Preflight, id: string): string[] {
  return [
    ...["access-control-allow-origin", origin],
    ...["access-control-allow-methods", method],
    ...["access-control-allow-headers", [...pages.allowHeaders].join(", ")],
    ...["access-control-max-age", String(pages.maxAgeSeconds)],
    ...["vary", "Origin, Access-Control-Request-Method, Access-Control-Request-Headers"],
    ...["cache-control", "no-store", "sallyport-crossing", id],
  ];
}
