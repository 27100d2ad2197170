// Promises that the caps are asked before anything costly and given back exactly once. Trusts admission.ts.
import type { Deny } from "@sallyport/protocol/verdict.ts";
import type { Exchange } from "../exchange.ts";
import type { Gate } from "../gate.ts";

export function admit(exchange: Exchange, gate: Gate): Deny | null {
  const verdict = gate.admission.enter(gate.admission.keyOf(exchange.source));
  if (verdict === null) exchange.admitted = true;
  return verdict;
}
