// Promises that what a proxy told becomes the one request and the one source of a crossing, judged as strictly as what came itself. Trusts asking-proxy.ts
// for who asks. Specified in docs/authorizer.md (how the request is told).
import { decideSource, plainAddress, type TrustedProxies } from "@sallyport/kernel/trusted-proxies.ts";
import { canonicalize } from "@sallyport/protocol/canonical/canonicalize.ts";
import type { Deny } from "@sallyport/protocol/verdict.ts";
import { sourceOf } from "../admit/source-prefix.ts";
import type { BoundListener, Exchange } from "../exchange.ts";
import type { Authorizer } from "./asking-proxy.ts";
import type { ToldRequest } from "./told-request.ts";

/** Of the listener's url. */
export const schemeOf = ({ url }: BoundListener): string => new URL(url).protocol.slice(0, -1);

/** Writes `source`: from here on it counts against the client whom the proxy saw, not against the proxy. `seen`: the address the proxy vouches for. */
export function takeSource(
  exchange: Exchange,
  { networks }: Authorizer,
  { seen, rawHeaders }: { readonly seen: string; readonly rawHeaders: readonly string[] },
): void {
  const proxies = networks ?? onlyThis(exchange.source.address);
  exchange.source = sourceOf(decideSource(proxies, seen, linesOf(rawHeaders, proxies.field)));
}

/** Writes `request`. */
export function takeRequest(exchange: Exchange, { method, target, rawHeaders }: ToldRequest): Deny | null {
  const request = canonicalize({ method, target, httpVersion: "1.1", rawHeaders, listener: exchange.listener });
  if (request.kind === "deny") return request;
  exchange.request = request;
  return null;
}

function linesOf(rawHeaders: readonly string[], name: string): readonly string[] {
  return rawHeaders.filter((_, i) => i % 2 === 1 && rawHeaders[i - 1]?.toLowerCase() === name);
}

/** A proxy that its certificate alone proves vouches for one hop: whom it saw. */
function onlyThis(peer: string): TrustedProxies {
  const here = plainAddress(peer);
  return { field: "x-forwarded-for", isTrusted: (address) => address === here };
}
