// Promises that a request for a user's authorization names one to eight providers its client may call, and no scope beyond that.
// Trusts that client and redirect URI were checked. Rules: RFC 8707 §2.1, RFC 6749 §3.3, OpenID Connect Core §3.1.2.1, docs/identity/authorization-code.md.
import { parseScope } from "../decide-issuance.ts";
import { systemOfResource } from "../decide-target.ts";
import type { IdentityClient, IdentityGrant } from "../directory.ts";

export const resourcesMax = 8;

export interface AuthorizationRequest {
  readonly issuer: string;
  readonly client: IdentityClient;
  readonly resources: readonly string[];
  readonly scope: string | undefined;
  readonly grants: (from: string, to: string) => readonly IdentityGrant[];
  /** Milliseconds since the epoch. */
  readonly now: number;
}

export interface AuthorizationFacts {
  readonly kind: "ask";
  readonly resources: readonly string[];
  readonly providers: readonly string[];
  /** null: everything that is granted, now and later. */
  readonly scopes: readonly string[] | null;
  readonly openid: boolean;
}

export interface AuthorizationRefusal {
  readonly kind: "refuse";
  readonly error: "invalid_target" | "invalid_scope";
  readonly code: string;
  readonly description: string;
}

/** Scopes of OpenID Connect that ask for claims or a habit we have not: known to every library and ignored (OpenID Connect Core §3.1.2.1). */
const ignored = new Set(["profile", "email", "address", "phone", "offline_access"]);

const refuse = (error: AuthorizationRefusal["error"], code: string, description: string): AuthorizationRefusal => ({
  kind: "refuse",
  error,
  code,
  description,
});

/** What the request asks a user for, or why it may not ask. Pure. */
export function decideAuthorization(request: AuthorizationRequest): AuthorizationFacts | AuthorizationRefusal {
  const resources = [...new Set(request.resources)];
  if (resources.length === 0)
    return refuse("invalid_target", "resource-missing", "name each provider with resource=<issuer>/systems/<system>");
  if (resources.length > resourcesMax)
    return refuse("invalid_target", "resource-many", `name at most ${resourcesMax} resources`);
  const providers: string[] = [];
  const ceiling = new Set<string>();
  for (const resource of resources) {
    const provider = systemOfResource(request.issuer, resource);
    const live = (provider === null ? [] : request.grants(request.client.system, provider)).filter(
      (grant) => (grant.expiresAtMs ?? Number.POSITIVE_INFINITY) > request.now,
    );
    if (provider === null || live.length === 0)
      return refuse(
        "invalid_target",
        "resource-not-granted",
        "no active integration lets this client call a named resource in this environment",
      );
    providers.push(provider);
    for (const grant of live) for (const scope of grant.scopes) ceiling.add(scope);
  }
  const asked = parseScope(request.scope);
  if (asked === "malformed")
    return refuse("invalid_scope", "scope-malformed", "scope must be names separated by single spaces");
  const operations = (asked ?? []).filter((scope) => scope !== "openid" && !ignored.has(scope));
  if (operations.some((scope) => !ceiling.has(scope)))
    return refuse("invalid_scope", "scope-not-granted", "the scope goes beyond the operations granted to this client");
  return {
    kind: "ask",
    resources,
    providers,
    scopes: operations.length === 0 ? null : operations,
    openid: asked?.includes("openid") ?? false,
  };
}
