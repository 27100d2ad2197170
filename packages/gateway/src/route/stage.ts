// Promises that host, method and path of the canonical request are matched once, under the snapshot in force, before anything else looks at them.
// A miss is not answered here: a stranger must not learn what exists (bind/decide.ts answers it to callers we know). Specified in DESIGN §12.
import { type Deny, deny } from "@sallyport/protocol/verdict.ts";
import { refuseAgent } from "../admit/bots.ts";
import { answerPreflight } from "../cors/preflight.ts";
import type { Exchange } from "../exchange.ts";
import type { Gate } from "../gate.ts";
import { judgedAtMs } from "../observe/decide-pass.ts";
import { receiptAsked } from "../receipts/receipt-path.ts";
import type { CompiledOperation, CompiledSystem } from "../snapshot/estate.ts";
import { streamAsked } from "../streams/stream-path.ts";
import type { Match } from "./router.ts";

export function route(exchange: Exchange, gate: Gate): Deny | null {
  const lease = gate.takeLease();
  if (lease === null) return deny("route", "not-ready", { why: "no snapshot is in force" });
  exchange.lease = lease;
  const { request } = exchange;
  if (request === null) return deny("route", "not-ready");
  const refused = refuseAgent(exchange, gate);
  if (refused !== null) return refused;
  exchange.receiptOf = exchange.asked === null ? receiptAsked(request) : null;
  exchange.streamOf = exchange.asked === null ? streamAsked(request) : null;
  if (exchange.receiptOf !== null || exchange.streamOf !== null) return null;
  // Of its question nothing but the path is a request.
  if (exchange.asked === "services") return null;
  if (request.method === "OPTIONS") {
    const verdict = answerPreflight(exchange, lease, gate);
    if (verdict !== null) return verdict;
  }
  const match = lease.estate.router.find(request.host, request.method, request.segments);
  exchange.system = match.system;
  exchange.operation = match.operation ?? undeclaredOperation(exchange, match);
  exchange.parameters = match.parameters;
  exchange.prefixSegments = match.prefixSegments;
  return null;
}

/** Where a system lets pass what it does not declare, that is an operation of its own; what comes near a declared one only where nothing is enforced. */
function undeclaredOperation(
  exchange: Exchange,
  { system, prefixSegments }: Match<CompiledSystem, CompiledOperation>,
): CompiledOperation | null {
  const { request } = exchange;
  const atMs = judgedAtMs(exchange);
  const undeclared = system?.undeclared ?? null;
  if (request === null || system === null || undeclared === null || undeclared.untilMs <= atMs) return null;
  const isObserved = system.observeUntilMs > atMs;
  if (!isObserved && undeclared.comesNear(request, request.segments.slice(prefixSegments))) return null;
  return isReading.has(request.method) ? undeclared.read : undeclared.effect;
}

const isReading: ReadonlySet<string> = new Set(["GET", "HEAD", "OPTIONS"]);
