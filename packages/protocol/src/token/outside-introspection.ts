// Promises that what an issuer outside answers about an opaque token is one answer with one reading, and that a yes is judged as strictly as a signed token:
// issuer, kind, audience, life, binding, party. Trusts TLS for who answered and its caller for which token was asked about. Pure.
// Specified in docs/identity/outside-introspection.md (RFC 7662 §2.2, RFC 9449 §6.2, RFC 8705 §3.2).
import { type Deny, deny } from "../verdict.ts";
import type { TokenCrypto } from "./crypto.ts";
import { type JsonObject, parseJsonObject } from "./json.ts";
import {
  mapOutsideAccess,
  type OutsideAccessIssuer,
  type OutsideAccessRule,
  rulesFor,
  type SignedOutsideAccess,
} from "./outside-access-token.ts";
import { opaqueTokenId, outsideTokenId } from "./outside-subject.ts";
import { parseOutsideClaims, refuseLife } from "./outside-token.ts";

export const introspectionAnswerBytesMax = 16_384;

export type IntrospectionAnswer =
  | { readonly active: false }
  /** `members`: those of RFC 7662 §2.2 that are read here, and those that rules pin. */
  | { readonly active: true; readonly members: JsonObject };

/** All that is read of a yes; what else an issuer says about its users does not travel. */
const readMembers = [
  ...["iss", "sub", "aud", "exp", "iat", "nbf", "jti", "client_id", "azp", "scope", "token_type", "cnf"],
  ...["act", "may_act", "acr", "auth_time"],
];

/** One JSON object with one reading and a boolean `active`; null for anything else. */
export function parseIntrospectionAnswer(
  body: Uint8Array,
  rules: readonly OutsideAccessRule[],
): IntrospectionAnswer | null {
  const answer = body.length > introspectionAnswerBytesMax ? null : parseJsonObject(body);
  if (typeof answer?.active !== "boolean") return null;
  if (!answer.active) return { active: false };
  const names = new Set([...readMembers, ...rules.flatMap(({ claims }) => Object.keys(claims).map(topName))]);
  const members = Object.entries(answer).filter(([name]) => names.has(name));
  return { active: true, members: Object.fromEntries(members) };
}

/** The member that a pin begins at: a name, or the first part of a JSON Pointer. */
function topName(pin: string): string {
  if (!pin.startsWith("/")) return pin;
  return (pin.slice(1).split("/")[0] ?? "").replaceAll("~1", "/").replaceAll("~0", "~");
}

const no = (code: Parameters<typeof deny>[1], why: string): Deny => deny("identify", code, { why });

/** Of a yes: what it says, mapped as a signed token of this issuer would be. `tokenHash`: base64url SHA-256 of the token it is about. */
export function readIntrospectedToken(
  members: JsonObject,
  issuer: OutsideAccessIssuer,
  by: { readonly tokenHash: string; readonly crypto: Pick<TokenCrypto, "sha256"> },
): SignedOutsideAccess | Deny {
  const { url, rules } = issuer;
  // It answered over its own TLS, so it need not say who it is; what it says must be true.
  if (members.iss !== undefined && members.iss !== url) return no("token-issuer", `iss is not ${url}`);
  const kind = refuseKind(members);
  if (kind !== null) return kind;
  // A client's own token may have no `sub` (RFC 7662 §2.2); it is then the client's (RFC 9068 §2.2), and nobody's user.
  const isNobodys = members.sub === undefined;
  const claims = parseOutsideClaims({ ...members, iss: url, ...(isNobodys ? { sub: members.client_id } : {}) });
  if (typeof claims === "string") return no("token-claims", `${claims} is missing or malformed in the issuer's answer`);
  const long = refuseLife(claims, issuer);
  if (long !== null) return long;
  const { jti } = claims;
  const fitting = rulesFor(claims, rules);
  return mapOutsideAccess(
    { claims, members },
    {
      issuer,
      rules: isNobodys ? fitting.filter(({ speaksFor }) => speaksFor === "workload") : fitting,
      tokenId:
        jti === undefined
          ? opaqueTokenId(url, by.tokenHash, by.crypto)
          : outsideTokenId({ issuer: url, jti, text: "" }, by.crypto),
      crypto: by.crypto,
    },
  );
}

/** Issuers answer about refresh tokens too, and those have no `token_type`. One that contradicts the binding would be weaker here than it was meant. */
function refuseKind({ token_type: type, cnf }: JsonObject): Deny | null {
  const kind = typeof type === "string" ? type.toLowerCase() : "";
  if (kind !== "bearer" && kind !== "dpop")
    return no("token-type", "token_type is neither Bearer nor DPoP: not an access token that is presented here");
  const isBound = typeof cnf === "object" && cnf !== null && "jkt" in cnf;
  if ((kind === "dpop") === isBound) return null;
  return no(
    "token-claims",
    kind === "dpop" ? "token_type is DPoP and cnf names no key" : "cnf names a key and token_type is not DPoP",
  );
}
