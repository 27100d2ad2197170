// Promises which tokens are asked about at an issuer outside, and which issuer that is: those without a meaning of their own, at the one issuer that the routed
// provider names, and nobody where nothing is routed. Trusts the snapshot. Specified in docs/identity/outside-introspection.md "Who is asked".
import { isOpaqueToken } from "@sallyport/protocol/token/opaque-token.ts";
import { type Deny, deny } from "@sallyport/protocol/verdict.ts";
import type { Credentials } from "./credentials.ts";
import type { Case } from "./identify.ts";
import type { Asking, Word } from "./introspection.ts";
import type { OutsideToken } from "./outside.ts";
import { hashToken } from "./token-cache.ts";

/** null: it is none to ask about. */
export function introspect(
  on: Case,
  { token }: Credentials,
): Promise<OutsideToken | Deny> | OutsideToken | Deny | null {
  const asking = askingOf(on);
  if (asking === null || !isOpaqueToken(token)) return null;
  return on.ports.introspections.find({ token, tokenHash: hashToken(token) }, asking);
}

/** The same for a crossing that goes on, which `word` let in. */
export function introspectAgain(on: Case, { token }: Credentials, word: Word): OutsideToken | Deny {
  const asking = askingOf(on);
  if (asking === null)
    return deny("identify", "token-issuer", { why: "no issuer is asked for this provider any more" });
  return on.ports.introspections.again({ token, tokenHash: hashToken(token) }, asking, word);
}

function askingOf({ exchange, estate }: Case): Asking | null {
  const { outside } = estate;
  const provider = exchange.system?.id;
  const issuer = provider === undefined ? undefined : outside?.askedFor.get(provider);
  if (outside === null || provider === undefined || issuer === undefined) return null;
  return {
    issuer,
    provider,
    classification: exchange.operation?.object.classification ?? "internal",
    fingerprint: outside.fingerprint,
    source: exchange.source.prefix,
  };
}
