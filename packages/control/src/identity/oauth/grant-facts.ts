// Promises what a grant remembers, and that no token of it reaches further than it, its client's integrations and the request.
// Trusts the facts, which were sealed by us. Rules: RFC 6749 §6, RFC 8707 §2.2, docs/identity/authorization-code.md.
import { decideIssuance, parseScope } from "../decide-issuance.ts";
import { systemOfResource } from "../decide-target.ts";
import type { Directory, IdentityClient } from "../directory.ts";
import type { MintDecision, SubjectFacts } from "../mint.ts";
import { type GrantRefusal, type GrantRequest, refuseGrant } from "../seams.ts";
import type { Possession } from "../token-grant.ts";

/** Sealed with the grant. */
export interface GrantFacts {
  readonly subject: SubjectFacts & { readonly authTime: number };
  readonly resources: readonly string[];
  /** null: everything the integrations grant, now and later. */
  readonly scopes: readonly string[] | null;
  readonly openid: boolean;
  readonly nonce: string | null;
}

export interface UserTokenCase {
  readonly request: Pick<GrantRequest, "issuer" | "resources" | "scope">;
  readonly client: IdentityClient;
  readonly grant: string;
  readonly facts: GrantFacts;
  /** Milliseconds since the epoch. */
  readonly grantExpiresAt: number;
  readonly binding: Possession["binding"];
  readonly directory: Pick<Directory, "grants">;
  readonly now: number;
}

/** The one token this request may have. Pure. */
export function decideUserToken(one: UserTokenCase): MintDecision | GrantRefusal {
  const { request, client, facts, now } = one;
  if (client.isPublic && one.binding.kind !== "dpop")
    return refuseGrant("invalid_dpop_proof", "dpop-missing", "the token must be bound: send a DPoP proof");
  const resource = chooseResource(request.resources, facts.resources);
  if (typeof resource !== "string") return resource;
  const scope = chooseScope(one, resource);
  if (typeof scope === "object") return scope;
  const lifetimeSecondsMax = Math.min(client.lives.userSeconds, Math.floor((one.grantExpiresAt - now) / 1000));
  if (lifetimeSecondsMax < 1)
    return refuseGrant("invalid_grant", "grant-ended", "the grant has ended; ask the user again");
  const verdict = decideIssuance({
    issuer: request.issuer,
    client,
    resources: [resource],
    scope,
    binding: one.binding,
    grants: one.directory.grants,
    now,
    lifetimeSecondsMax,
  });
  if (verdict.kind === "refuse") return refuseGrant(verdict.error, verdict.code, verdict.description);
  return { ...verdict.decision, subject: facts.subject, grants: [one.grant] };
}

function chooseResource(asked: readonly string[], granted: readonly string[]): string | GrantRefusal {
  const [first, ...others] = asked.length === 0 && granted.length === 1 ? granted : asked;
  if (first === undefined || others.length > 0)
    return refuseGrant("invalid_target", "resource-many", "name exactly one resource: a token has one audience");
  if (!granted.includes(first))
    return refuseGrant("invalid_target", "resource-not-granted", "the user did not allow this resource");
  return first;
}

/** The scope parameter to decide about, or undefined where the grant alone decides. */
function chooseScope(one: UserTokenCase, resource: string): string | undefined | GrantRefusal {
  const { request, facts, client, directory } = one;
  const provider = systemOfResource(request.issuer, resource) ?? "";
  const asked = parseScope(request.scope);
  if (asked === "malformed")
    return refuseGrant("invalid_scope", "scope-malformed", "scope must be names separated by single spaces");
  const operations = asked?.filter((scope) => scope.includes(":")) ?? [];
  if (facts.scopes !== null && operations.some((scope) => !facts.scopes?.includes(scope)))
    return refuseGrant("invalid_scope", "scope-not-granted", "the scope goes beyond what the user allowed");
  if (operations.length > 0) return operations.join(" ");
  if (facts.scopes === null) return undefined;
  // What has been taken from the integration since is left out; what the user allowed is never widened.
  const ceiling = new Set(directory.grants(client.system, provider).flatMap((grant) => grant.scopes));
  const left = facts.scopes.filter((scope) => scope.startsWith(`${provider}:`) && ceiling.has(scope));
  if (left.length === 0)
    return refuseGrant("invalid_scope", "scope-not-granted", "nothing of what the user allowed is granted any more");
  return left.join(" ");
}
