// Promises one answer to which target a provider gets: the canonical path without the public prefix, cut by whole encoded segments, and the query as
// received. Trusts the router for how much the prefix is. Pure. Specified in docs/gateway.md.
import type { Exchange } from "../exchange.ts";

/** Without the base path of the provider's url. */
export function pathForUpstream({
  request,
  operation,
  prefixSegments,
}: Pick<Exchange, "request" | "operation" | "prefixSegments">): string {
  if (request === null || operation === null) return "/";
  const path = operation.system.public.strip ? cutSegments(request.path, prefixSegments) : request.path;
  return request.query === "" ? path : `${path}?${request.query}`;
}

function cutSegments(path: string, count: number): string {
  let at = 0;
  for (let i = 0; i < count; i++) {
    at = path.indexOf("/", at + 1);
    if (at < 0) return "/";
  }
  return at === 0 ? path : path.slice(at);
}
