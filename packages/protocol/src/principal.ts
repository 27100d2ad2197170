// Promises one frozen description of who was proven and how. Trusts only `identify`, which makes it. Words: RFC 9068, RFC 8693, RFC 9449, RFC 8705.

export type ProofKind = "mtls" | "dpop" | "bearer" | "signature" | "api-key";

/** Is a copy of what was presented worth nothing to whoever has it? */
export const isBound = (kind: ProofKind): boolean => kind !== "bearer" && kind !== "api-key";

export interface Proof {
  readonly kind: ProofKind;
  /** RFC 7638 thumbprint of the DPoP key (base64url SHA-256), when `kind` is `dpop`. */
  readonly jkt?: string;
  /** RFC 8705 SHA-256 thumbprint of the client certificate (base64url), when a certificate was presented. */
  readonly x5t?: string;
  /** `keyid` of the message signature (RFC 9421), when `kind` is `signature`; name of the key, when it is `api-key`. */
  readonly keyid?: string;
}

export interface Actor {
  readonly sub: string;
  readonly act?: Actor;
}

export interface Principal {
  readonly tenant: string;
  readonly environment: string;
  /** Id of the system whose workload calls; always present. */
  readonly caller: string;
  /** OAuth client_id, absent when a certificate alone proved the caller. */
  readonly client?: string;
  /** Id (in the estate) of the issuer outside whose token proved the caller; absent: our own issuer, or no token. */
  readonly issuer?: string;
  /** User the caller acts for. */
  readonly subject?: string;
  readonly act?: Actor;
  readonly proof: Proof;
  /** Granted scopes of the token; `null` when there was no token or it carried no scope (the grant alone decides). */
  readonly scopes: readonly string[] | null;
  /** Ids of the only integrations it may use; absent: all of its system. */
  readonly integrations?: readonly string[];
  /** `jti` of the token, when there was one. */
  readonly tokenId?: string;
  /** Milliseconds since the epoch at which this proof ends (token `exp` or certificate notAfter). */
  readonly expiresAtMs: number;
  readonly acr?: string;
  /** Seconds since the epoch (OIDC auth_time). */
  readonly authTime?: number;
  /** Methods of the log-in (RFC 8176). */
  readonly amr?: readonly string[];
  /** The login session it came from; for comparing, never shown. */
  readonly session?: string;
}
