// Promises whom a payload is about, by one reading of the request, or nobody: a value that two readers could take for different ones is none.
// Trusts the canonical request and the body as it was inspected. Specified in docs/payloads.md "Whom it is about".
import type { AttributeSource } from "@sallyport/protocol/snapshot/objects.ts";
import { resolveAttributes } from "../authorize/attributes.ts";
import type { Exchange } from "../exchange.ts";
import { exactIntegersOf, hasCaseTwin } from "../inspect/deciding-members.ts";

/** A text as it stands, or a whole number in decimal; null: there is none, an empty one, or something else stands there. */
export function dataSubjectOf(exchange: Exchange, source: AttributeSource): string | null {
  const { request, body, parameters } = exchange;
  if (request === null) return null;
  const inputs = {
    parameters,
    query: request.queryParameters,
    headers: request.headers,
    body: body === null || source.from !== "body" ? undefined : exactIntegersOf(body),
  };
  if (source.from === "body" && hasCaseTwin({ subject: source }, body?.value)) return null;
  for (const type of ["string", "long"] as const) {
    const resolved = resolveAttributes({ subject: { ...source, type } }, inputs);
    if (resolved.kind !== "resolved") continue;
    const value = String(resolved.values["subject"]);
    return value === "" ? null : value;
  }
  return null;
}
