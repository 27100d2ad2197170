// Promises that a machine token names exactly one provider, carries no scope beyond its client's active grants, and is bound unless bearer is explicitly allowed.
// Trusts that the client was authenticated and the proof verified before it is asked. Rules: RFC 8707 §2, RFC 6749 §3.3, RFC 9449 §5, docs/identity.md.
import type { ProofKind } from "@sallyport/protocol/principal.ts";
import { decideTarget, type Refusal, refuse, type TargetCode, type TargetRequest } from "./decide-target.ts";
import type { IdentityGrant } from "./directory.ts";
import type { MintDecision } from "./mint.ts";

export const machineLifetimeSecondsMax = 300;
export const userLifetimeSecondsMax = 600;
export const scopeBytesMax = 4096;
export const scopesMax = 128;

/** What proves possession for this one request. */
export type Binding =
  | { readonly kind: "dpop"; readonly jkt: string }
  | { readonly kind: "mtls"; readonly x5t: string }
  | { readonly kind: "none" };

export interface IssuanceRequest extends TargetRequest {
  readonly scope: string | undefined;
  readonly binding: Binding;
  /** Default: the client's own for itself. */
  readonly lifetimeSecondsMax?: number;
}

export type IssuanceCode =
  | TargetCode
  | "resource-not-granted"
  | "scope-malformed"
  | "scope-not-granted"
  | "proof-not-accepted";

export type IssuanceRefusal = Refusal<"invalid_target" | "invalid_scope" | "invalid_request", IssuanceCode>;

export type IssuanceVerdict = { readonly kind: "issue"; readonly decision: MintDecision } | IssuanceRefusal;

/** May this authenticated client have this token? Pure. The scope in the answer is null when the client named none: then the grant alone decides. */
export function decideIssuance(request: IssuanceRequest): IssuanceVerdict {
  const target = decideTarget(request);
  if (target.kind === "refuse") return target;
  const { resource, grants } = target;
  if (grants.length === 0) {
    return refuse(
      "invalid_target",
      "resource-not-granted",
      "no active integration lets this client call the named resource in this environment",
    );
  }
  const ceiling = new Set(grants.flatMap((grant) => grant.scopes));
  const scopes = parseScope(request.scope);
  if (scopes === "malformed")
    return refuse("invalid_scope", "scope-malformed", "scope must be operation names separated by single spaces");
  if (scopes?.some((scope) => !ceiling.has(scope))) {
    return refuse(
      "invalid_scope",
      "scope-not-granted",
      "the scope goes beyond the operations granted to this client; leave it out to use the grant as it is",
    );
  }
  const lifetime = lifetimeFor(grants, request);
  if (lifetime === null) return refuse("invalid_request", "proof-not-accepted", proofAdvice(grants));
  return {
    kind: "issue",
    decision: { issuer: request.issuer, client: request.client.id, audience: resource, scopes, ceiling, ...lifetime },
  };
}

/** Bounded before it is split: 500,000 scopes once cost a server 20 seconds. null: none was named. */
export function parseScope(scope: string | undefined): readonly string[] | null | "malformed" {
  if (scope === undefined) return null;
  if (scope.length > scopeBytesMax || !/^[\x21\x23-\x5b\x5d-\x7e]+( [\x21\x23-\x5b\x5d-\x7e]+)*$/.test(scope))
    return "malformed";
  const scopes = [...new Set(scope.split(" "))];
  return scopes.length > scopesMax ? "malformed" : scopes;
}

type Lifetime = Pick<MintDecision, "binding" | "lifetimeSeconds" | "bearerUntilMs" | "integrations">;

function lifetimeFor(
  grants: readonly IdentityGrant[],
  { binding, now, client, lifetimeSecondsMax = client.lives.machineSeconds }: IssuanceRequest,
): Lifetime | null {
  const proof: ProofKind = binding.kind === "none" ? "bearer" : binding.kind;
  const accepting = grants.filter(
    (grant) => grant.proof.includes(proof) && (proof !== "bearer" || (grant.bearerUntilMs ?? 0) > now),
  );
  if (accepting.length === 0) return null;
  // The token may not outlive the last integration that would honour it.
  const endMs = Math.max(
    ...accepting.map((grant) =>
      Math.min(
        grant.expiresAtMs ?? Number.POSITIVE_INFINITY,
        proof === "bearer" ? (grant.bearerUntilMs ?? 0) : Number.POSITIVE_INFINITY,
      ),
    ),
  );
  const lifetimeSeconds = Math.min(lifetimeSecondsMax, Math.floor((endMs - now) / 1000));
  if (lifetimeSeconds < 1) return null;
  const integrations = accepting.map(({ integration }) => integration);
  return { binding, lifetimeSeconds, integrations, ...(proof === "bearer" ? { bearerUntilMs: endMs } : {}) };
}

function proofAdvice(grants: readonly IdentityGrant[]): string {
  const accepted = new Set(grants.flatMap((grant) => grant.proof));
  const ways = [
    accepted.has("dpop") ? "a DPoP proof" : "",
    accepted.has("mtls") ? "the client certificate of its system" : "",
  ].filter((way) => way !== "");
  return ways.length === 0
    ? "the integration accepts no proof this request carries"
    : `the token must be bound: send ${ways.join(" or ")}`;
}
