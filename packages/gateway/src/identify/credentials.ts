// Promises one reading of the credentials of a request, or that they are malformed. Trusts canonical header names.
// Specified by RFC 9110 §11.4, RFC 6750 §2.1, RFC 9449 §7.1.

export interface Credentials {
  readonly kind: "token";
  readonly scheme: "Bearer" | "DPoP";
  readonly token: string;
  readonly proof: string | null;
}

export type CredentialsReading =
  | Credentials
  | { readonly kind: "none" }
  | { readonly kind: "api-key"; readonly key: string }
  | { readonly kind: "malformed"; readonly why: string };

const none = Object.freeze({ kind: "none" as const });
const keyForm = /^apikey +([\x21-\x7e]+)$/i;
const form = /^(bearer|dpop) +([A-Za-z0-9._~+/-]+=*)$/i;

/** Reads all `Authorization` and `DPoP` values of a request. */
export function readCredentials(
  authorization: readonly string[] = [],
  dpop: readonly string[] = [],
): CredentialsReading {
  if (authorization.length > 1 || dpop.length > 1) return { kind: "malformed", why: "a credential field occurs twice" };
  const [field] = authorization;
  if (field === undefined)
    return dpop.length === 0 ? none : { kind: "malformed", why: "a DPoP proof without an access token" };
  const [, key] = keyForm.exec(field) ?? [];
  if (key !== undefined)
    return dpop.length === 0 ? { kind: "api-key", key } : { kind: "malformed", why: "a DPoP proof beside an API key" };
  const match = form.exec(field);
  if (match === null) return { kind: "malformed", why: "Authorization is neither `DPoP <token>` nor `Bearer <token>`" };
  const scheme = (match[1] ?? "").toLowerCase() === "dpop" ? "DPoP" : "Bearer";
  return { kind: "token", scheme, token: match[2] ?? "", proof: dpop[0] ?? null };
}
