// Promises that credentials a caller had before the gateway came still reach its provider, and that nothing this installation ever signed does.
// Trusts the issuer of the snapshot. Specified in docs/observe.md (Credentials).
import type { Exchange } from "../exchange.ts";

/** `Authorization` (and the proof beside it) of a caller whom `identify` did not accept; empty where it is ours, or there is none. */
export function foreignAuthorization({ principal, request, lease, wouldDeny }: Exchange): Record<string, string> {
  if (principal !== null || wouldDeny === null || request === null || lease === null) return {};
  const { authorization: values = [], dpop = [] } = request.headers;
  const [value] = values;
  if (value === undefined || values.length > 1 || isOurs(value, lease.estate.object.issuer)) return {};
  const proof = /^dpop /i.test(value) && dpop.length === 1 ? dpop[0] : undefined;
  return { authorization: value, ...(proof === undefined ? {} : { dpop: proof }) };
}

/**
 * Does any part of it name an issuer of this installation? Of any environment: a token of staging is somebody's as well.
 * What we sign names its issuer, or as an assertion its audience, in plain JSON; whoever alters that has no credential of ours any more.
 */
function isOurs(value: string, issuer: string): boolean {
  // `<identity url>/<tenant>/<environment>`; another issuer may live at the same origin.
  const home = issuer.slice(0, issuer.lastIndexOf("/") + 1);
  if (value.includes(home)) return true;
  const parts = value.split(/[^A-Za-z0-9_+/=-]+/);
  return parts.some((part) => {
    const text = Buffer.from(part, "base64url").toString("latin1");
    if (text.includes(home)) return true;
    // A token as the password of `Basic`.
    return text
      .split(/[^A-Za-z0-9_-]+/)
      .some((inner) => Buffer.from(inner, "base64url").toString("latin1").includes(home));
  });
}
