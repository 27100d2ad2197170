// Promises whether a crossing may be sent to its provider more than once. Trusts the estate for what an operation does. Specified in docs/resilience.md
// "What is repeated"; RFC 9110 §9.2.2.
import type { Exchange } from "../exchange.ts";

/** `not-begun`: only where not one byte of it has left. */
export type Repeatable = "always" | "not-begun" | "never";

/**
 * An operation with an effect is repeated only where its provider provably did not begin, or has one effect per key and is told one (docs/idempotency.md);
 * what nobody declared may have one whatever its method.
 */
export function mayRepeat({ operation, claim }: Pick<Exchange, "operation" | "claim">): Repeatable {
  if (operation === null) return "never";
  if (claim !== null && claim.providerKey !== null) return "always";
  // What is done on a WebSocket begins with its handshake.
  return operation.object.effect || operation.object.webSocket !== undefined || operation.undeclared
    ? "not-begun"
    : "always";
}
