// Promises which pages of browsers may read an answer: those at an origin that an integration names, octet by octet, and nobody else's. Nothing a page
// sends is ever written back but an origin that is in such a list. Trusts the snapshot. Pure. Specified in docs/cors.md, Fetch §3.2.
import type { CorsObject } from "@sallyport/protocol/snapshot/cors-object.ts";
import type { Exchange } from "../exchange.ts";
import type { CompiledOperation, Grant } from "../snapshot/estate.ts";

/** Pages that may call under one integration, or under several that name the same origin. */
export interface Pages {
  readonly origins: ReadonlySet<string>;
  readonly allowHeaders: ReadonlySet<string>;
  readonly exposeHeaders: ReadonlySet<string>;
  readonly maxAgeSeconds: number;
}

/** What the gateway reads itself of a request. */
const ownRequestFields = ["authorization", "dpop", "content-type", "idempotency-key"] as const;
/** What the gateway says itself in an answer. */
const ownAnswerFields = [
  "dpop-nonce",
  "www-authenticate",
  "retry-after",
  "ratelimit",
  "ratelimit-policy",
  "sallyport-crossing",
  "sallyport-verdict",
  "sallyport-fallback",
  "sallyport-replay-of",
] as const;

export function compilePages(declared: CorsObject | undefined): Pages | null {
  if (declared === undefined) return null;
  return {
    origins: new Set(declared.origins),
    allowHeaders: new Set([...ownRequestFields, ...declared.allowHeaders]),
    exposeHeaders: new Set([...ownAnswerFields, ...declared.exposeHeaders]),
    maxAgeSeconds: declared.maxAgeSeconds,
  };
}

/** Grants under which pages may call; null where there are none. An integration that is not served says nothing. */
export function grantsForPages(grants: ReadonlyMap<string, Grant>): readonly Grant[] | null {
  const found = [...grants.values()].filter(
    ({ pages, integration: { state, broken } }) => pages !== null && state === "active" && broken === undefined,
  );
  return found.length === 0 ? null : found;
}

/** What all of these that name the origin allow together; null: none names it. */
export function pagesAt(origin: string, grants: readonly Grant[]): Pages | null {
  const named = grants.flatMap(({ pages }) => (pages?.origins.has(origin) ? [pages] : []));
  const [first, ...others] = named;
  if (first === undefined || others.length === 0) return first ?? null;
  return {
    origins: new Set([origin]),
    allowHeaders: new Set(named.flatMap(({ allowHeaders }) => [...allowHeaders])),
    exposeHeaders: new Set(named.flatMap(({ exposeHeaders }) => [...exposeHeaders])),
    maxAgeSeconds: Math.min(...named.map(({ maxAgeSeconds }) => maxAgeSeconds)),
  };
}

/** The Origin of a request, of which a request with two is refused (protocol/canonical); null: it has none. */
export const originOf = ({ request }: Pick<Exchange, "request">): string | null =>
  request?.headers["origin"]?.[0] ?? null;

/**
 * Fields of an answer that let a page read it. Before the caller is known any integration's page may, so that a browser's program sees why it is asked
 * to prove itself; from then on those of the caller's own integration alone.
 */
export function pushForPages(exchange: Exchange, operation: CompiledOperation, headers: string[]): void {
  if (operation.forPages === null || exchange.asked !== null) return;
  // Whoever keeps the answer must not give it to another origin, also where this one got no fields.
  headers.push("vary", "Origin");
  const origin = originOf(exchange);
  // No page can send the second one: that is a preflight which got no yes.
  if (origin === null || exchange.request?.headers["access-control-request-method"] !== undefined) return;
  const pages = pagesAt(origin, exchange.grant === null ? operation.forPages : [exchange.grant]);
  if (pages === null) return;
  headers.push("access-control-allow-origin", origin);
  headers.push("access-control-expose-headers", [...pages.exposeHeaders].join(", "));
}
