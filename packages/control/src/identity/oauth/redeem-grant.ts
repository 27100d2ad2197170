// Promises that what a user allowed once (a code, a device code) becomes tokens once: everything is decided and signed before one compare-and-set uses
// it up, and nothing leaves before its record is durable. Trusts its callers that it was allowed and fits the request. RFC 6749 §4.1.3, RFC 8628 §3.5.
import { recordMinted } from "../mint.ts";
import type { GrantAnswer, GrantRefusal } from "../seams.ts";
import { burnProof, type GrantPorts } from "../token-grant.ts";
import { decideLive, type LiveRequest } from "./decide-live.ts";
import type { OAuthPorts } from "./ports.ts";
import { newRefreshToken } from "./refresh-grant.ts";
import { prepareAnswer } from "./user-answer.ts";

export interface Redeeming extends LiveRequest {
  readonly kind: "code" | "device";
  /** The public face of a code that is not good; the word is for the record. */
  readonly notGood: (code: string) => GrantRefusal;
}

/** Tokens for what a live code stands for. Of any number of calls one gets them; a second use ends the grant. Rejects when store or log fail. */
export async function redeemGrant(on: Redeeming, oauth: OAuthPorts, ports: GrantPorts): Promise<GrantAnswer> {
  const { kind, request, client, possession, digest, now, notGood } = on;
  const decided = await decideLive(on, oauth, ports);
  if (decided.kind === "error") return decided;
  const { decision, facts, grantExpiresAt } = decided;
  const refresh = client.grantTypes.includes("refresh_token")
    ? await newRefreshToken(oauth, { client, binding: possession.binding, now, grantExpiresAt })
    : null;
  const parts = { decided, facts, refreshToken: refresh?.token ?? null, withNonce: true };
  const answer = await prepareAnswer(parts, ports);
  const burnt = await burnProof(request.issuer, possession, ports);
  if (burnt !== null) return burnt;
  const use = { ...oauth.place, kind, digest, client: client.id, refresh: refresh?.row ?? null };
  const outcome = await oauth.store.run("redeemCode", use);
  if (outcome !== "redeemed") {
    if (outcome === "reused") await oauth.revoked();
    return notGood(outcome === "reused" ? `${kind}-reused` : `${kind}-expired`);
  }
  await recordMinted({ claims: answer.claims, clearance: decision.clearance }, ports);
  return { kind: "token", body: answer.body };
}
