// Promises that a denial which something in the estate asked for names the file and line of it, among the facts for operators. Trusts the snapshot for
// the places. Specified in docs/cli/why.md. Pure.
import type { ProblemCode } from "@sallyport/protocol/problem.ts";
import type { Deny } from "@sallyport/protocol/verdict.ts";
import type { Exchange } from "../exchange.ts";

/** Refused by `limits` of the integration. */
const ofLimits: ReadonlySet<ProblemCode> = new Set([
  "rate-limited",
  "concurrency-limited",
  "quota-exhausted",
  "limit-unavailable",
]);
/** Refused by what the operation says of requests and answers. */
const ofOperation: ReadonlySet<ProblemCode> = new Set([
  "content-type",
  "body-malformed",
  "body-too-large",
  "schema-mismatch",
  "threat-found",
  "upgrade-required",
  "upgrade-not-supported",
  "origin-not-allowed",
  "response-content",
  "response-schema",
]);

/** The facts of a denial, with `declaredAt` (`integrations/orders-to-billing.yaml:1`) where the estate says what it was refused by. */
export function placedFacts(exchange: Pick<Exchange, "grant" | "operation">, { code, facts }: Deny): Deny["facts"] {
  if (facts["declaredAt"] !== undefined) return facts;
  const declaredAt = placeOf(exchange, code);
  return declaredAt === undefined ? facts : { ...facts, declaredAt };
}

function placeOf({ grant, operation }: Pick<Exchange, "grant" | "operation">, code: ProblemCode): string | undefined {
  if (ofLimits.has(code)) return grant?.integration.declaredAt;
  if (operation === null || !ofOperation.has(code)) return undefined;
  // An integration may allow more or less than the operation does.
  if (code === "body-too-large" && grant !== null && grant.bodyBytesMax !== operation.object.bodyBytesMax)
    return grant.integration.declaredAt;
  return operation.object.declaredAt;
}
