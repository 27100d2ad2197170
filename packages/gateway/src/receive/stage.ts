// Promises one frozen request that every later stage reads, or a refusal; nothing is repaired. Trusts canonicalize (protocol) and kernel/http1.
// Specified in docs/formats/canonical-request.md.
import { canonicalize } from "@sallyport/protocol/canonical/canonicalize.ts";
import { canonicalLimits } from "@sallyport/protocol/canonical/request.ts";
import type { Deny } from "@sallyport/protocol/verdict.ts";
import type { Exchange } from "../exchange.ts";

export function receive(exchange: Exchange): Deny | null {
  const { incoming } = exchange;
  const request = canonicalize(
    {
      method: incoming.method,
      target: incoming.url,
      httpVersion: incoming.httpVersion,
      rawHeaders: incoming.rawHeaders,
      listener: exchange.listener,
    },
    canonicalLimits,
    exchange.section.read,
  );
  if (request.kind === "deny") return request;
  exchange.request = request;
  return null;
}
