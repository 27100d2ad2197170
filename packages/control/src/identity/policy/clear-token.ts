// Promises that no token is signed that the policies were not asked about, over facts that were proven or decided, never over words of the request.
// Trusts the decision it is handed. Specified in docs/policy.md "Policies about tokens"; errors in RFC 6749 §5.2, RFC 8693 §2.2.2.
import { isIP } from "node:net";
import type { TokenContext } from "@sallyport/kernel/policy/port.ts";
import type { GrantWord } from "@sallyport/protocol/token/grant-type.ts";
import { systemOfResource } from "../decide-target.ts";
import type { IdentityClient } from "../directory.ts";
import { actorsOf, exchangeIdPrefix } from "../exchange/decide-exchange.ts";
import type { ClearedDecision, MintDecision } from "../mint.ts";
import { type GrantRefusal, refuseGrant, type TokenError } from "../seams.ts";
import type { IssuancePolicy } from "./issuance-policy.ts";
import type { IssuanceSignals } from "./issuance-signals.ts";

/** A token that was decided by everything but the policies. */
export interface DecidedToken {
  readonly decision: MintDecision;
  readonly client: IdentityClient;
  readonly grantType: GrantWord;
  /** Of the connection. */
  readonly address: string;
  /** Whose token or assertion was brought: `own`, or the id of a trusted issuer. */
  readonly subjectIssuer?: string;
  /** Of an exchange. */
  readonly as?: "delegate" | "impersonate";
}

export type Cleared = { readonly kind: "cleared"; readonly decision: ClearedDecision };

/** Asks the policies. A refusal says the same whatever they said; its code and policies are for the record. */
export function clearToken(
  decided: DecidedToken,
  policy: IssuancePolicy,
  signals: IssuanceSignals,
): Cleared | GrantRefusal {
  const { decision, client, grantType } = decided;
  const { subject } = decision;
  const address = addressOf(decided.address);
  const known = signals.of(policy.signals, { client: client.id, address, subject });
  const context = { ...contextOf(decided), ...known };
  const action = decided.as === undefined ? "token:issue" : "token:exchange";
  const provider = systemOfResource(decision.issuer, decision.audience) ?? "";
  const ruling = policy.rule({ action, system: client.system, provider, context });
  if (ruling.kind === "allow")
    return { kind: "cleared", decision: { ...decision, clearance: { grantType, policies: ruling.policies } } };
  const { code, policies, errors, places } = ruling;
  const about = { decision, grantType, policies, errors, places, action, provider, context };
  return { ...refuseGrant(errorFor[grantType], code, "policy does not allow this client such a token"), about };
}

/** What a client library does next is what should happen: ask the user again, or give up this target. */
const errorFor: Readonly<Record<GrantWord, TokenError>> = {
  client_credentials: "unauthorized_client",
  authorization_code: "invalid_grant",
  refresh_token: "invalid_grant",
  device_code: "access_denied",
  "jwt-bearer": "invalid_grant",
  "token-exchange": "invalid_target",
};

/** What every token has; signals come beside it. Pure. */
export function contextOf(decided: DecidedToken): Omit<TokenContext, "environment"> {
  const { decision, client, grantType, subjectIssuer, as } = decided;
  const { subject, grants = [] } = decision;
  const address = addressOf(decided.address);
  return {
    integrations: decision.integrations,
    grantType,
    client: client.id,
    clientAuthentication: authenticationOf(client, grantType),
    binding: decision.binding.kind,
    // Without a scope the grant alone decides, so the token opens everything granted: leaving the scope out hides nothing.
    operations: decision.scopes ?? [...decision.ceiling],
    lifetimeSeconds: decision.lifetimeSeconds,
    ...(address === null ? {} : { address }),
    ...(subject === undefined ? {} : { subject: subject.id }),
    ...(subject?.acr === undefined ? {} : { acr: subject.acr }),
    ...(subject?.amr === undefined ? {} : { amr: subject.amr }),
    ...(subject?.authTime === undefined ? {} : { authTime: subject.authTime }),
    ...(subject?.device === undefined ? {} : { device: subject.device }),
    ...(subjectIssuer === undefined ? {} : { subjectIssuer }),
    ...(as === undefined
      ? {}
      : {
          as,
          depth: grants.filter((id) => id.startsWith(exchangeIdPrefix)).length,
          actors: actorsOf(decision.act),
        }),
  };
}

function authenticationOf(client: IdentityClient, grantType: GrantWord): string {
  if (grantType === "jwt-bearer") return "assertion";
  return client.isPublic ? "none" : (client.authentication?.method ?? "private_key_jwt");
}

/** As Cedar reads addresses: IPv4 inside IPv6 is IPv4, and a zone names an interface of ours. */
function addressOf(text: string): string | null {
  const mapped = /^::ffff:([0-9.]+)$/i.exec(text)?.[1];
  const bare = mapped ?? text.replace(/%.*$/s, "");
  return isIP(bare) === 0 ? null : bare;
}
