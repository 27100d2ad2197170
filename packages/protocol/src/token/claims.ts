// Promises the claims Sallyport's tokens carry. Trusts nothing: parsing and verification are in parse.ts and verify.ts.
// Specified in docs/formats/token.md (RFC 9068, RFC 7800, RFC 8693, RFC 8705, RFC 9449).
import type { Actor } from "../principal.ts";

export type SigningAlgorithm = "ES256" | "EdDSA";

/** For access tokens of audiences whose verifiers know nothing better, until a date; nothing else is ever signed with them. */
export type LegacyAlgorithm = "RS256" | "PS256";
export const legacyAlgorithms: readonly LegacyAlgorithm[] = ["RS256", "PS256"];

export interface AccessTokenClaims {
  readonly iss: string;
  readonly sub: string;
  /** Exactly one audience, as a string. */
  readonly aud: string;
  /** Seconds since the epoch. */
  readonly exp: number;
  readonly iat: number;
  readonly nbf?: number;
  readonly jti: string;
  readonly client_id: string;
  /** Space separated; absent means that the grant alone decides. */
  readonly scope?: string;
  readonly cnf?: { readonly jkt?: string; readonly "x5t#S256"?: string };
  readonly act?: Actor;
  /** 1 to 9 grant ids: the grant it came from first, then one per exchange. Revoking any of them kills the token. */
  readonly gid?: readonly string[];
  /** The login session it came from; when that ends, so does the token. */
  readonly sid?: string;
  readonly acr?: string;
  readonly amr?: readonly string[];
  readonly auth_time?: number;
}

/** `typ: sallyport-hop+jwt`, signed by a gateway's certified key, at most 60 s. */
export interface HopTokenClaims {
  readonly iss: string;
  readonly aud: string;
  /** Caller system id. */
  readonly sub: string;
  readonly iat: number;
  readonly exp: number;
  /** Crossing id. */
  readonly jti: string;
  readonly op: string;
  readonly int: string;
  /** User the caller acts for. */
  readonly subject?: string;
  readonly act?: Actor;
  /** Id (in the estate) of the issuer outside whose token proved caller and subject; absent: Sallyport's own issuer, or a certificate. */
  readonly idp?: string;
}
