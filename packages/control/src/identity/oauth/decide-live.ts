// Promises the one decision about a token that comes from a grant, whether a code or a refresh token leads there. Trusts the row it is handed.
// Specified in docs/identity/authorization-code.md and docs/identity/refresh.md.
import type { TokenSigner } from "@sallyport/protocol/token/crypto.ts";
import type { IdentityClient } from "../directory.ts";
import type { MintDecision } from "../mint.ts";
import type { GrantRefusal, GrantRequest } from "../seams.ts";
import { type GrantPorts, type Possession, signerOf } from "../token-grant.ts";
import { decideUserToken, type GrantFacts } from "./grant-facts.ts";
import type { OAuthPorts } from "./ports.ts";
import type { StoredObject } from "./request-commands.ts";

/** A request with a code or a refresh token that leads to a living grant of its client. */
export interface LiveRequest {
  readonly request: GrantRequest;
  readonly client: IdentityClient;
  readonly possession: Possession;
  /** Of the code or refresh token. */
  readonly digest: string;
  readonly grant: string;
  readonly row: StoredObject;
  readonly now: number;
}

export interface LiveDecision {
  readonly kind: "decided";
  readonly decision: MintDecision;
  readonly facts: GrantFacts;
  readonly grantExpiresAt: number;
  readonly signer: TokenSigner;
}

/** What the grant allows this request now, and the key that will sign it. Rejects when the grant's facts do not open. */
export async function decideLive(
  live: LiveRequest,
  oauth: OAuthPorts,
  ports: GrantPorts,
): Promise<LiveDecision | GrantRefusal> {
  const { request, client, possession, grant, row, now } = live;
  const facts = await oauth.sealed.open<GrantFacts>(`grant/${grant}`, row.grantSealed ?? new Uint8Array());
  const grantExpiresAt = row.grantExpiresAt ?? 0;
  const { binding } = possession;
  const directory = ports.directory();
  const decision = decideUserToken({ request, client, grant, facts, grantExpiresAt, binding, directory, now });
  if ("kind" in decision) return decision;
  const found = signerOf(ports);
  if (found.kind === "error") return found;
  return { kind: "decided", decision, facts, grantExpiresAt, signer: found.signer };
}
