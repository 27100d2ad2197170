// Promises how records tell of whoever was asked elsewhere before a decision: a decision point, and systems in which attributes were looked up. Pure.
// Trusts the stages that asked. Specified in docs/policy.md and docs/attributes.md.
import type { Exchange } from "../exchange.ts";

const nothing = Object.freeze({});

/** Of what was found, the values that decided are on record with the decision. */
export function toldElsewhere({
  outside,
  lookedUp,
  reported,
  nextHop,
}: Pick<Exchange, "outside" | "lookedUp" | "reported" | "nextHop">): object {
  if (outside === null && lookedUp === null && reported === null && nextHop === null) return nothing;
  return {
    ...(nextHop === null ? {} : { nextHop: { token: nextHop.token.id, scheme: nextHop.token.scheme } }),
    ...(outside === null ? {} : { outside: { policy: outside.policy, id: outside.id } }),
    ...(reported === null ? {} : { answer: { mismatch: reported } }),
    ...(lookedUp === null ? {} : { lookups: lookedUp.map(({ found: _, ...told }) => told) }),
  };
}
