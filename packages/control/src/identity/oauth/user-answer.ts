// Promises the answer to a redeemed code, refresh token or device code: everything in it signed, nothing in it given away before its record is durable.
// Trusts `mint` for every signature. Format: RFC 6749 §5.1, OpenID Connect Core §3.1.3.3.
import type { AccessTokenClaims } from "@sallyport/protocol/token/claims.ts";
import { prepare, signIdToken } from "../mint.ts";
import type { GrantPorts, SignableToken } from "../token-grant.ts";
import type { GrantFacts } from "./grant-facts.ts";

/** Sealed whole while a concurrent refresh may ask for it again. */
export interface PreparedAnswer {
  readonly body: Readonly<Record<string, string | number>>;
  readonly claims: AccessTokenClaims;
}

export interface AnswerParts {
  readonly decided: Pick<SignableToken, "decision" | "signer" | "ownSigner">;
  readonly facts: GrantFacts;
  /** null: none is issued. */
  readonly refreshToken: string | null;
  /** Only in the answer to the code itself (OpenID Connect Core §12.2). */
  readonly withNonce: boolean;
}

/** Signs; `recordMinted` must have resolved before the body leaves. */
export async function prepareAnswer(parts: AnswerParts, ports: GrantPorts): Promise<PreparedAnswer> {
  const { facts, refreshToken } = parts;
  const { decision, signer, ownSigner } = parts.decided;
  const { token, claims } = await prepare(decision, signer, ports);
  const nonce = parts.withNonce && facts.nonce !== null ? { nonce: facts.nonce } : {};
  const idToken = facts.openid
    ? signIdToken(
        { issuer: decision.issuer, client: decision.client, subject: facts.subject, ...nonce },
        ownSigner,
        ports,
      )
    : null;
  const body = {
    access_token: token,
    token_type: decision.binding.kind === "dpop" ? "DPoP" : "Bearer",
    expires_in: decision.lifetimeSeconds,
    ...(claims.scope === undefined ? {} : { scope: claims.scope }),
    ...(refreshToken === null ? {} : { refresh_token: refreshToken }),
    ...(idToken === null ? {} : { id_token: idToken }),
  };
  return { body, claims };
}
