// Promises that a token is asked for exactly one provider, and which active integrations lead there. Pure. Trusts that the client was authenticated.
// Rules: RFC 8707 §2, docs/identity.md "Target".
import type { LegacyAlgorithm } from "@sallyport/protocol/token/claims.ts";
import type { Directory, IdentityClient, IdentityGrant } from "./directory.ts";
import type { TokenError } from "./seams.ts";

/** A no of a pure decision about tokens. */
export interface Refusal<Error extends TokenError, Code extends string> {
  readonly kind: "refuse";
  /** RFC 6749 §5.2, RFC 8707 §2. */
  readonly error: Error;
  /** For the record; never sent. */
  readonly code: Code;
  /** Public text: the same for "not there" and "not yours". */
  readonly description: string;
}

export function refuse<Error extends TokenError, Code extends string>(
  error: Error,
  code: Code,
  description: string,
): Refusal<Error, Code> {
  return { kind: "refuse", error, code, description };
}

export interface TargetRequest {
  readonly issuer: string;
  readonly client: IdentityClient;
  /** Every value of the `resource` parameter. */
  readonly resources: readonly string[];
  /** Active integrations from the client's system to the named one. */
  readonly grants: (from: string, to: string) => readonly IdentityGrant[];
  /** Milliseconds since the epoch. */
  readonly now: number;
}

export type TargetCode = "resource-missing" | "resource-many";

export interface Target {
  readonly kind: "target";
  readonly resource: string;
  /** Integrations that have not ended; none where the resource is no system of this issuer, or not granted. */
  readonly grants: readonly IdentityGrant[];
}

export function decideTarget(request: TargetRequest): Target | Refusal<"invalid_target", TargetCode> {
  const [resource, ...others] = request.resources;
  if (resource === undefined)
    return refuse(
      "invalid_target",
      "resource-missing",
      "name the provider: exactly one resource=<issuer>/systems/<system> is required",
    );
  if (others.length > 0)
    return refuse("invalid_target", "resource-many", "name exactly one resource: a token has one audience");
  const provider = systemOfResource(request.issuer, resource);
  const grants = provider === null ? [] : request.grants(request.client.system, provider);
  return {
    kind: "target",
    resource,
    grants: grants.filter((grant) => (grant.expiresAtMs ?? Number.POSITIVE_INFINITY) > request.now),
  };
}

/** `<issuer>/systems/<id>` -> id, for this issuer only; null for every other spelling. */
export function systemOfResource(issuer: string, resource: string): string | null {
  const prefix = `${issuer}/systems/`;
  if (!resource.startsWith(prefix)) return null;
  const id = resource.slice(prefix.length);
  return /^[a-z][a-z0-9-]{0,62}$/.test(id) ? id : null;
}

/** What a token for this audience is signed with where that is RSA; null: the ring's own key. `now` in milliseconds. */
export function legacyAlgorithmFor(
  { issuer, audience }: { readonly issuer: string; readonly audience: string },
  directory: Pick<Directory, "legacyAlgorithm">,
  now: number,
): LegacyAlgorithm | null {
  return directory.legacyAlgorithm(systemOfResource(issuer, audience) ?? "", now);
}
