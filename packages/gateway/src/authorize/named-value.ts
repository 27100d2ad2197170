// Promises the value in one place of a request (whom a payload is about, what an effect writes to), by one reading, or none: a value that two readers could
// take for different ones is none. Trusts the canonical request and the body as it was inspected. Specified in docs/payloads.md "Whom it is about".
import type { AttributeSource } from "@sallyport/protocol/snapshot/objects.ts";
import type { Exchange } from "../exchange.ts";
import { exactIntegersOf, hasCaseTwin } from "../inspect/deciding-members.ts";
import { resolveAttributes } from "./attributes.ts";

/** A text as it stands, or a whole number in decimal; null: there is none, an empty one, or something else stands there. */
export function namedValueOf(exchange: Exchange, source: AttributeSource): string | null {
  const { request, body, parameters } = exchange;
  if (request === null) return null;
  const inputs = {
    parameters,
    query: request.queryParameters,
    headers: request.headers,
    body: body === null || source.from !== "body" ? undefined : exactIntegersOf(body),
  };
  if (source.from === "body" && hasCaseTwin({ named: source }, body?.value)) return null;
  for (const type of ["string", "long"] as const) {
    const resolved = resolveAttributes({ named: { ...source, type } }, inputs);
    if (resolved.kind !== "resolved") continue;
    const value = String(resolved.values["named"]);
    return value === "" ? null : value;
  }
  return null;
}
