// Promises that a stream goes on under another token of the very one it is of, and of nobody else; to all others it looks as if there were none. Pure.
// Trusts identify for both principals. Specified in docs/streams.md "Refreshing".
import { isBound, type Principal } from "@sallyport/protocol/principal.ts";
import { type Deny, deny } from "@sallyport/protocol/verdict.ts";

/** One text for every reason, so that it tells none apart. */
export const noStream: Deny = deny("bind", "stream-unknown", {
  detail:
    "There is none at this gateway for this caller: ask the gateway whose name the id begins with, while the stream goes on, with a token for the same client and user, bound to the same key",
});

/** May `asker` put its proof in the place of that of `of`? Same client of the same system, same user, same issuer, same key and certificate. */
export function isSamePrincipal(of: Principal, asker: Principal): boolean {
  return (
    of.tenant === asker.tenant &&
    of.environment === asker.environment &&
    of.caller === asker.caller &&
    of.client === asker.client &&
    of.issuer === asker.issuer &&
    of.subject === asker.subject &&
    of.proof.kind === asker.proof.kind &&
    of.proof.jkt === asker.proof.jkt &&
    of.proof.keyid === asker.proof.keyid &&
    of.proof.x5t === asker.proof.x5t
  );
}

/** What proves possession, so that a stolen token extends nothing. */
export function decideRefreshProof({ proof }: Principal): Deny | null {
  if (isBound(proof.kind)) return null;
  return deny("authorize", "proof-not-accepted", {
    proof: proof.kind,
    accepted: "dpop, mtls",
    detail: "A stream is refreshed with a DPoP proof or a client certificate, not with a bearer token",
  });
}
