// Promises that host, method and path of the canonical request are matched once, under the snapshot in force, before anything else looks at them.
// A miss is not answered here: a stranger must not learn what exists (bind/decide.ts answers it to callers we know). Specified in DESIGN §12.
import { type Deny, deny } from "@sallyport/protocol/verdict.ts";
import type { Exchange } from "../exchange.ts";
import type { Gate } from "../gate.ts";

export function route(exchange: Exchange, gate: Gate): Deny | null {
  const lease = gate.takeLease();
  if (lease === null) return deny("route", "not-ready", { why: "no snapshot is in force" });
  exchange.lease = lease;
  const { request } = exchange;
  if (request === null) return deny("route", "not-ready");
  const match = lease.estate.router.find(request.host, request.method, request.segments);
  exchange.system = match.system;
  exchange.operation = match.operation;
  exchange.parameters = match.parameters;
  exchange.prefixSegments = match.prefixSegments;
  return null;
}
