// Promises that failed credentials count against their source network, so that guessing gets slower than it is worth. Trusts identify.ts.
import type { Deny } from "@sallyport/protocol/verdict.ts";
import { countMiss } from "../admit/bots.ts";
import type { Exchange } from "../exchange.ts";
import type { Gate } from "../gate.ts";
import { mayPass } from "../observe/decide-pass.ts";
import { identify } from "./identify.ts";

/** No credentials yet, or an old nonce: a well-meaning caller's first request, not a guess. */
const innocent: ReadonlySet<Deny["code"]> = new Set([
  "credentials-missing",
  "dpop-nonce",
  "signature-nonce",
  "replay-table-full",
  "token-unresolved",
  "not-ready",
]);

export function identifyCaller(exchange: Exchange, gate: Gate): Promise<Deny | null> | Deny | null {
  const verdict = identify(exchange, gate.identify);
  return verdict instanceof Promise
    ? verdict.then((late) => counted(exchange, gate, late))
    : counted(exchange, gate, verdict);
}

function counted(exchange: Exchange, gate: Gate, verdict: Deny | null): Deny | null {
  if (verdict !== null) countMiss(exchange, gate);
  // Credentials of another scheme are not guesses where they are let pass.
  if (verdict !== null && !innocent.has(verdict.code) && !mayPass(exchange, verdict))
    gate.admission.countBadCredential(gate.admission.keyOf(exchange.source));
  return verdict;
}
