// Promises that each refresh token is good for one answer: whoever asks again within ten seconds with the same key gets that very answer, whoever asks
// later, or with another key, ends the family. Trusts that the client was authenticated. Specified in RFC 6749 §6, RFC 9700 §4.14.2, RFC 9449 §5,
// docs/identity/refresh.md.
import type { Binding } from "../decide-issuance.ts";
import type { IdentityClient } from "../directory.ts";
import { type Issued, recordMinted } from "../mint.ts";
import { replayKey } from "../replay.ts";
import { type GrantAnswer, type GrantHandler, type GrantRefusal, type GrantRequest, refuseGrant } from "../seams.ts";
import { burnProof, type GrantPorts, holderOf } from "../token-grant.ts";
import { decideLive, type LiveRequest } from "./decide-live.ts";
import type { NewToken } from "./grant-commands.ts";
import type { OAuthPorts } from "./ports.ts";
import { digestOf, newSecretId } from "./sealed-objects.ts";
import { type PreparedAnswer, prepareAnswer } from "./user-answer.ts";

/** Sealed with the refresh token. */
interface RefreshFacts {
  /** The DPoP key of a public client, which nothing else proves (RFC 9449 §5); null for a client that authenticates. */
  readonly jkt: string | null;
}

export const refreshToken =
  (oauth: OAuthPorts) =>
  (ports: GrantPorts): GrantHandler => ({
    grantType: "refresh_token",
    parameters: ["refresh_token"],
    handle: (request) => refresh(request, oauth, ports),
  });

export interface NewRefresh {
  readonly client: IdentityClient;
  readonly binding: Binding;
  readonly now: number;
  readonly grantExpiresAt: number;
}

export async function newRefreshToken(
  oauth: OAuthPorts,
  { client, binding, now, grantExpiresAt }: NewRefresh,
): Promise<{ readonly token: string; readonly row: NewToken }> {
  const token = newSecretId(oauth.random);
  const digest = digestOf(token);
  const facts: RefreshFacts = { jkt: client.isPublic && binding.kind === "dpop" ? binding.jkt : null };
  const sealed = await oauth.sealed.seal(`refresh/${digest}`, facts);
  return { token, row: { digest, sealed, expiresAt: Math.min(now + client.lives.refreshIdleMs, grantExpiresAt) } };
}

/** One face for unknown, expired, used, another client's, another key's and ended. */
const notGood = (code: string): GrantRefusal =>
  refuseGrant("invalid_grant", code, "the refresh token is not good any more; ask the user again");

async function refresh(request: GrantRequest, oauth: OAuthPorts, ports: GrantPorts): Promise<GrantAnswer> {
  const now = ports.clock.now();
  const token = request.parameters["refresh_token"];
  if (token === undefined) return refuseGrant("invalid_request", "request-malformed", "send refresh_token");
  const holder = holderOf(request, now, ports);
  if (holder.kind === "error") return holder;
  const { client, possession } = holder;
  const digest = digestOf(token);
  const row = await oauth.store.run("readOAuthObject", { ...oauth.place, kind: "refresh", digest });
  if (row === null || row.client !== client.id) return notGood("refresh-unknown");
  if (row.expiresAt <= now) return notGood("refresh-expired");
  if (row.grantEnded !== false) return notGood("grant-ended");
  const { jkt } = await oauth.sealed.open<RefreshFacts>(`refresh/${digest}`, row.sealed);
  if (jkt !== null && (possession.binding.kind !== "dpop" || possession.binding.jkt !== jkt))
    return notGood("refresh-key-mismatch");
  return rotate(
    { grantType: "refresh_token", request, client, possession, digest, grant: row.grant ?? "", row, now },
    oauth,
    ports,
  );
}

async function rotate(on: LiveRequest, oauth: OAuthPorts, ports: GrantPorts): Promise<GrantAnswer> {
  const { request, client, possession, digest, now } = on;
  const { binding } = possession;
  const decided = await decideLive(on, oauth, ports);
  if (decided.kind === "error") return decided;
  const { decision, facts, grantExpiresAt } = decided;
  const next = await newRefreshToken(oauth, { client, binding, now, grantExpiresAt });
  const answer = await prepareAnswer({ decided, facts, refreshToken: next.token, withNonce: false }, ports);
  const burnt = await burnProof(request.issuer, possession, ports);
  if (burnt !== null) return burnt;
  const outcome = await oauth.store.run("rotateRefresh", {
    ...oauth.place,
    client: client.id,
    digest,
    next: next.row,
    holder: keyOf(client, binding),
    asked: replayKey(...request.resources, "scope", request.scope ?? ""),
    answer: await oauth.sealed.seal(`answer/${digest}`, answer),
  });
  const { clearance } = decision;
  switch (outcome.kind) {
    case "rotated":
      return give({ ...answer, clearance }, ports);
    case "same":
      return give(
        { ...(await oauth.sealed.open<PreparedAnswer>(`answer/${digest}`, outcome.answer)), clearance },
        ports,
      );
    case "differs":
      return refuseGrant(
        "invalid_grant",
        "refresh-raced",
        "another refresh was first; use the refresh token of its answer",
      );
    case "reused":
      await oauth.revoked();
      return notGood("refresh-reused");
    case "gone":
      return notGood("refresh-expired");
  }
}

/** Every answer that leaves has a record of its own, also one that leaves twice. */
async function give(answer: PreparedAnswer & Issued, ports: GrantPorts): Promise<GrantAnswer> {
  await recordMinted(answer, ports);
  return { kind: "token", body: answer.body };
}

function keyOf(client: IdentityClient, binding: Binding): string {
  const proven = binding.kind === "dpop" ? binding.jkt : binding.kind === "mtls" ? binding.x5t : "";
  return replayKey(client.id, binding.kind, proven);
}
