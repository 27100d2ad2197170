// Promises deny by default: proof, freshness, scope, attributes and policies must all say yes, in this order; any error is a no.
// Trusts the compiled policy slice and the snapshot. Specified in DESIGN §4 authorise and docs/policy.md.
import type { DecisionInputs, LoadedSlice, PolicyDecision, ShadowVerdict } from "@sallyport/kernel/policy/port.ts";
import type { Principal } from "@sallyport/protocol/principal.ts";
import { isAcrEnough, type StepUp } from "@sallyport/protocol/token/acr.ts";
import { compared, type Deny, deny } from "@sallyport/protocol/verdict.ts";
import type { CompiledOperation, Grant } from "../snapshot/estate.ts";

/** Does the integration accept this kind of proof? Pure. */
export function decideProof(principal: Principal, grant: Grant): Deny | null {
  const { integration } = grant;
  if (integration.proof.includes(principal.proof.kind)) return null;
  return deny("authorize", "proof-not-accepted", {
    proof: principal.proof.kind,
    accepted: integration.proof.join(", "),
    declaredAt: integration.declaredAt,
    detail: `Integration ${integration.id} accepts ${integration.proof.join(" or ")}, not ${principal.proof.kind}`,
  });
}

/** An API key is for the integrations it was made for. Pure. */
export function decideKeyScope({ integrations, proof }: Principal, { integration }: Grant): Deny | null {
  if (integrations === undefined || integrations.includes(integration.id)) return null;
  return deny("authorize", "api-key-scope", {
    key: proof.keyid ?? "",
    ...compared(`a key for ${integration.id}`, `key ${proof.keyid ?? ""} for ${integrations.join(", ")}`),
    detail: `The key was made for ${integrations.join(", ")}; have one made for ${integration.id}`,
  });
}

/** A token that carries scopes must carry the operation's; one without leaves the decision to the grant. Pure. */
export function decideScope(principal: Principal, operation: CompiledOperation): Deny | null {
  if (principal.scopes === null || principal.scopes.includes(operation.fullName)) return null;
  return deny("authorize", "scope-missing", {
    scope: operation.fullName,
    carried: principal.scopes.join(" "),
    detail: `Ask for a token with the scope ${operation.fullName}`,
  });
}

/** Clocks of who issued the token and of this gateway may differ by this much, in seconds. */
const clockSkewSeconds = 60;

/** A log-in that is weaker or older than the operation and its grant ask for is not enough; none at all is neither (RFC 9470 §3). Pure. */
export function decideStepUp(principal: Principal, { stepUp, integration }: Grant, nowMs: number): Deny | null {
  if (stepUp === undefined) return null;
  const { acr, maxAgeSeconds } = stepUp;
  const age = principal.authTime === undefined ? null : Math.floor(nowMs / 1_000) - principal.authTime;
  const isStrong = acr === undefined || isAcrEnough(principal.acr, acr);
  const isFresh = maxAgeSeconds === undefined || (age !== null && age >= -clockSkewSeconds && age <= maxAgeSeconds);
  if (principal.subject !== undefined && isStrong && isFresh) return null;
  const wanted = [
    ...(acr === undefined ? [] : [`acr_values=${acr}`]),
    ...(maxAgeSeconds === undefined ? [] : [`max_age=${maxAgeSeconds}`]),
  ].join(" and ");
  return deny("authorize", "insufficient-user-authentication", {
    ...(acr === undefined ? {} : { acr }),
    ...(maxAgeSeconds === undefined ? {} : { maxAge: String(maxAgeSeconds) }),
    expected: wantedWords(stepUp),
    sent: sentWords(principal, age),
    declaredAt: integration.declaredAt,
    detail: `Have the user sign in again: send an authorization request with ${wanted}, and call with the new token`,
  });
}

const levelWord = (acr: string): string => acr.replace("urn:sallyport:acr:", "");

/** `a user whose log-in is worth mfa or more and at most 600 s old` */
function wantedWords({ acr, maxAgeSeconds }: StepUp): string {
  const wanted = [
    ...(acr === undefined ? [] : [`worth ${levelWord(acr)} or more`]),
    ...(maxAgeSeconds === undefined ? [] : [`at most ${maxAgeSeconds} s old`]),
  ];
  return `a user whose log-in is ${wanted.join(" and ")}`;
}

function sentWords({ subject, acr }: Principal, age: number | null): string {
  if (subject === undefined) return "no user: the caller acts for itself";
  return `a user whose log-in is worth ${acr === undefined ? "nothing known" : levelWord(acr)} and ${age === null ? "of an unknown age" : `${age} s old`}`;
}

export interface PolicyVerdict {
  readonly deny: Deny | null;
  readonly policies: readonly string[];
  /** Never empty; null: policies in shadow would have changed nothing. */
  readonly shadow: readonly ShadowVerdict[] | null;
}

/** What the policies say, with every error a denial. */
export function decidePolicy(slice: LoadedSlice | null, inputs: DecisionInputs): PolicyVerdict {
  if (slice === null)
    return {
      deny: deny("authorize", "policy-error", { why: "the operation has no policy slice that can be loaded" }),
      policies: [],
      shadow: null,
    };
  const decision: PolicyDecision = slice.decide(inputs);
  const { shadow = null } = decision;
  if (decision.kind === "allow") return { deny: null, policies: decision.policies, shadow };
  if (decision.kind === "error") {
    const facts = {
      errors: decision.errors.join("; "),
      detail: "A policy of this operation failed; its owner finds the reason by correlation id",
    };
    return { deny: deny("authorize", "policy-error", facts, decision.policies), policies: decision.policies, shadow };
  }
  const by = decision.policies.length === 0 ? "no policy permits it" : `denied by ${decision.policies.join(", ")}`;
  return {
    deny: deny("authorize", "policy-denied", { policies: by, detail: `This crossing is ${by}` }, decision.policies),
    policies: decision.policies,
    shadow,
  };
}
