// Promises that credentials a caller had before the gateway came still reach its provider, and that nothing this installation ever signed does.
// Trusts the issuer of the snapshot. Specified in docs/observe.md (Credentials).
import { looksNested, readNestedToken } from "@sallyport/kernel/nested-token.ts";
import { apiKeyPrefix } from "@sallyport/protocol/token/api-key.ts";
import { handlePrefix } from "@sallyport/protocol/token/handle.ts";
import type { Exchange } from "../exchange.ts";

/** `Authorization` (and the proof beside it) of a caller whom `identify` did not accept; empty where it is ours, or there is none. */
export function foreignAuthorization(exchange: Exchange): Record<string, string> {
  const { principal, request, lease, wouldDeny, system } = exchange;
  if (principal !== null || wouldDeny === null || request === null || lease === null) return {};
  // Where gateways show tokens, whatever stands in that field speaks for a gateway.
  if (system?.object.upstream?.nextHop !== undefined) return {};
  const { authorization: values = [], dpop = [] } = request.headers;
  const [value] = values;
  if (value === undefined || values.length > 1 || isOurs(value, lease.estate.object.issuer)) return {};
  const proof = /^dpop /i.test(value) && dpop.length === 1 ? dpop[0] : undefined;
  return { authorization: value, ...(proof === undefined ? {} : { dpop: proof }) };
}

/**
 * Is any part of it a credential of this installation? Of any environment: a token of staging is somebody's as well.
 * What we sign names its issuer, or as an assertion its audience, in plain JSON; whoever alters that has no credential of ours any more. What stands for a
 * token, or encrypts one, names nobody and is known by its form.
 */
function isOurs(value: string, issuer: string): boolean {
  // `<identity url>/<tenant>/<environment>`; another issuer may live at the same origin.
  const home = issuer.slice(0, issuer.lastIndexOf("/") + 1);
  if (holdsOurs(value, home)) return true;
  const parts = value.split(/[^A-Za-z0-9_+/=-]+/);
  return parts.some((part) => {
    const text = Buffer.from(part, "base64url").toString("latin1");
    // As the password of `Basic`.
    if (holdsOurs(text, home)) return true;
    return text
      .split(/[^A-Za-z0-9_-]+/)
      .some((inner) => Buffer.from(inner, "base64url").toString("latin1").includes(home));
  });
}

function holdsOurs(text: string, home: string): boolean {
  if (text.includes(home) || text.includes(apiKeyPrefix) || text.includes(handlePrefix)) return true;
  return text.split(/[^A-Za-z0-9_.-]+/).some((part) => looksNested(part) && typeof readNestedToken(part) !== "string");
}
