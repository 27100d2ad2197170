// Promises that a code is redeemed once, by its client, with the verifier, the redirect URI and the key it was asked with; a second use ends what the
// first one got. Trusts that the client was authenticated. Specified in RFC 6749 §4.1.3, RFC 7636 §4.6, RFC 9449 §10, docs/identity/authorization-code.md.
import { hash, timingSafeEqual } from "node:crypto";
import { type GrantAnswer, type GrantHandler, type GrantRequest, refuseGrant } from "../seams.ts";
import { type GrantPorts, holderOf } from "../token-grant.ts";
import type { LiveRequest } from "./decide-live.ts";
import type { OAuthPorts } from "./ports.ts";
import { redeemGrant } from "./redeem-grant.ts";
import { digestOf } from "./sealed-objects.ts";

/** Sealed with the code. */
export interface CodeFacts {
  readonly redirectUri: string;
  /** S256 of the verifier. */
  readonly challenge: string;
  /** Thumbprint of the only DPoP key that may redeem it (RFC 9449 §10). */
  readonly jkt: string | null;
}

export const authorizationCode =
  (oauth: OAuthPorts) =>
  (ports: GrantPorts): GrantHandler => ({
    grantType: "authorization_code",
    parameters: ["code", "redirect_uri", "code_verifier"],
    handle: (request) => redeem(request, oauth, ports),
  });

/** One face for unknown, expired, used, another client's and ended. */
const notGood = (code: string) =>
  refuseGrant("invalid_grant", code, "the code is not good any more, or not for this request");

async function redeem(request: GrantRequest, oauth: OAuthPorts, ports: GrantPorts): Promise<GrantAnswer> {
  const now = ports.clock.now();
  const { code, redirect_uri: redirectUri, code_verifier: verifier } = request.parameters;
  if (code === undefined || redirectUri === undefined || verifier === undefined)
    return refuseGrant("invalid_request", "request-malformed", "send code, redirect_uri and code_verifier");
  const holder = holderOf(request, now, ports);
  if (holder.kind === "error") return holder;
  const { client, possession } = holder;
  const { tenant, environment } = oauth.place;
  const digest = digestOf(code);
  const name = { tenant, environment, digest };
  const row = await oauth.store.run("readOAuthObject", { ...name, kind: "code" });
  if (row === null || row.client !== client.id || row.grant === null || row.grantSealed === null)
    return notGood("code-unknown");
  const grant = row.grant;
  if (row.usedAt !== null) {
    await oauth.store.run("redeemCode", { ...name, kind: "code", client: client.id, refresh: null });
    await oauth.revoked();
    return notGood("code-reused");
  }
  if (row.expiresAt <= now || row.grantEnded !== false) return notGood("code-expired");
  return redeemLive(
    { grantType: "authorization_code", request, client, possession, digest, grant, row, now },
    oauth,
    ports,
  );
}

/** The code is there, unused and in time: does it fit this request? Then it is used up. */
async function redeemLive(live: LiveRequest, oauth: OAuthPorts, ports: GrantPorts): Promise<GrantAnswer> {
  const { request, possession, digest, row } = live;
  const { redirect_uri: redirectUri = "", code_verifier: verifier = "" } = request.parameters;
  const asked = await oauth.sealed.open<CodeFacts>(`code/${digest}`, row.sealed);
  const wrong = checkCode(asked, {
    redirectUri,
    verifier,
    jkt: possession.binding.kind === "dpop" ? possession.binding.jkt : null,
  });
  if (wrong !== null) return notGood(wrong);
  return redeemGrant({ ...live, kind: "code", notGood }, oauth, ports);
}

/** The record's word for what does not fit, or null. */
function checkCode(
  asked: CodeFacts,
  sent: { readonly redirectUri: string; readonly verifier: string; readonly jkt: string | null },
): string | null {
  if (asked.redirectUri !== sent.redirectUri) return "code-redirect-mismatch";
  if (!/^[A-Za-z0-9._~-]{43,128}$/.test(sent.verifier)) return "code-verifier-mismatch";
  const challenge = Buffer.from(hash("sha256", sent.verifier, "base64url"));
  const expected = Buffer.from(asked.challenge);
  if (challenge.length !== expected.length || !timingSafeEqual(challenge, expected)) return "code-verifier-mismatch";
  return asked.jkt !== null && asked.jkt !== sent.jkt ? "code-key-mismatch" : null;
}
