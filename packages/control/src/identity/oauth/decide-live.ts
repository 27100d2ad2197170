// Promises the one decision about a token that comes from a grant, whether a code or a refresh token leads there. Trusts the row it is handed.
// Specified in docs/identity/authorization-code.md and docs/identity/refresh.md.
import type { GrantWord } from "@sallyport/protocol/token/grant-type.ts";
import type { IdentityClient } from "../directory.ts";
import type { GrantRefusal, GrantRequest } from "../seams.ts";
import { type GrantPorts, makeSignable, type Possession, type SignableToken } from "../token-grant.ts";
import { decideUserToken, type GrantFacts } from "./grant-facts.ts";
import type { OAuthPorts } from "./ports.ts";
import type { StoredObject } from "./request-commands.ts";

/** A request with a code or a refresh token that leads to a living grant of its client. */
export interface LiveRequest {
  readonly grantType: GrantWord;
  readonly request: GrantRequest;
  readonly client: IdentityClient;
  readonly possession: Possession;
  /** Of the code or refresh token. */
  readonly digest: string;
  readonly grant: string;
  readonly row: StoredObject;
  readonly now: number;
}

export interface LiveDecision extends SignableToken {
  readonly facts: GrantFacts;
  readonly grantExpiresAt: number;
}

/** What the grant allows this request now, and the key that will sign it. Rejects when the grant's facts do not open. */
export async function decideLive(
  live: LiveRequest,
  oauth: OAuthPorts,
  ports: GrantPorts,
): Promise<LiveDecision | GrantRefusal> {
  const { grantType, request, client, possession, grant, row, now } = live;
  const facts = await oauth.sealed.open<GrantFacts>(`grant/${grant}`, row.grantSealed ?? new Uint8Array());
  const grantExpiresAt = row.grantExpiresAt ?? 0;
  const { binding } = possession;
  const directory = ports.directory();
  const decision = decideUserToken({ request, client, grant, facts, grantExpiresAt, binding, directory, now });
  if ("kind" in decision) return decision;
  // Asked at every use of a grant, so that a policy written since holds for it.
  const signable = makeSignable({ decision, client, grantType, address: request.address }, ports);
  if (signable.kind === "error") return signable;
  return { ...signable, facts, grantExpiresAt };
}
