// Promises that what somebody else's token endpoint answers is one bearer access token of what was asked for, or none. Pure. Trusts nothing.
// RFC 6749 §5, RFC 8693 §2.2; docs/identity/next-hop.md "From the provider's own authorization server".
import { nextHopTokenBytesMax } from "@sallyport/protocol/channel/next-hop.ts";
import { claimScope } from "@sallyport/protocol/token/claim-types.ts";
import { parseJsonText } from "@sallyport/protocol/token/json.ts";
import { accessTokenUrn, jwtUrn } from "../exchange/subject-token.ts";

export interface OutsideAnswer {
  readonly status: number;
  /** null: it has none. */
  readonly contentType: string | null;
  readonly text: string;
}

export interface OutsideAsked {
  readonly isExchange: boolean;
  /** Empty: none was asked for, and the endpoint decides. */
  readonly scope: readonly string[];
  /** Ours: what is given back as somebody's access token. */
  readonly subjectToken: string | null;
}

export type OutsideTokenReading =
  /** `lifetimeSeconds`: null where the endpoint does not say. */
  | { readonly kind: "token"; readonly token: string; readonly lifetimeSeconds: number | null }
  | { readonly kind: "refused"; readonly code: string }
  | { readonly kind: "unavailable"; readonly code: string };

const unavailable = (code: string): OutsideTokenReading => ({ kind: "unavailable", code });
const tokenText = /^[A-Za-z0-9._~+/-]+=*$/;
/** What does not change by asking again: RFC 6749 §5.2, RFC 8693 §2.2.2. */
const lasting: ReadonlySet<string> = new Set([
  "invalid_request",
  "invalid_client",
  "invalid_grant",
  "invalid_scope",
  "invalid_target",
  "unauthorized_client",
  "unsupported_grant_type",
  "access_denied",
]);

export function readOutsideAnswer(answer: OutsideAnswer, asked: OutsideAsked): OutsideTokenReading {
  const type = answer.contentType?.split(";", 1)[0]?.trim().toLowerCase();
  const members = type === "application/json" ? parseJsonText(answer.text) : null;
  if (members === null) return unavailable("outside-answer");
  if (answer.status !== 200) {
    const { error } = members;
    const isKnown = [400, 401, 403].includes(answer.status) && typeof error === "string" && lasting.has(error);
    return isKnown ? { kind: "refused", code: `outside-${error.replaceAll("_", "-")}` } : unavailable("outside-answer");
  }
  const { access_token: token, token_type: kind, issued_token_type: issued, expires_in: life, scope } = members;
  if (typeof token !== "string" || token.length > nextHopTokenBytesMax || !tokenText.test(token))
    return unavailable("outside-token");
  // A token that is bound to a key of somebody else, or is no access token, would be shown in vain.
  if (typeof kind !== "string" || kind.toLowerCase() !== "bearer") return unavailable("outside-token-type");
  if (asked.isExchange && issued !== accessTokenUrn && issued !== jwtUrn) return unavailable("outside-token-type");
  if (token === asked.subjectToken) return unavailable("outside-token");
  if (!isWithin(scope, asked.scope)) return unavailable("outside-scope");
  if (life === undefined) return { kind: "token", token, lifetimeSeconds: null };
  return typeof life === "number" && Number.isSafeInteger(life) && life > 0
    ? { kind: "token", token, lifetimeSeconds: life }
    : unavailable("outside-life");
}

/** No word beyond those asked for. Left out, it is what was asked for (RFC 6749 §5.1). */
function isWithin(said: unknown, asked: readonly string[]): boolean {
  if (said === undefined || asked.length === 0) return true;
  const scope = claimScope(said);
  return scope?.split(" ").every((word) => asked.includes(word)) === true;
}
