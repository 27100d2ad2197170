// Promises for each case the verdict a gateway would give: the same snapshot, the same pure decisions, the same policy engine, in the order of the
// pipeline from `bind` to `authorize`. Trusts control's compiler and gateway's decisions; pure but for the evaluator. Specified in docs/policy-tests.md.
import type { PolicyCase } from "@sallyport/control/policy-tests/read-tests.ts";
import type { EnvironmentConfig } from "@sallyport/control/registry/config/estate.ts";
import { compileSnapshot } from "@sallyport/control/snapshot/compile-snapshot.ts";
import { type AttributeInputs, resolveAttributes } from "@sallyport/gateway/authorize/attributes.ts";
import { decidePolicy, decideProof, decideScope, decideStepUp } from "@sallyport/gateway/authorize/decide.ts";
import { decisionInputs } from "@sallyport/gateway/authorize/decision-inputs.ts";
import { decideSignals } from "@sallyport/gateway/authorize/signals.ts";
import { decideStaleness } from "@sallyport/gateway/authorize/staleness.ts";
import { decideBinding } from "@sallyport/gateway/bind/decide.ts";
import { allocateRateTable, openRateTable } from "@sallyport/gateway/limit/gcra.ts";
import { compileEstate, type Estate } from "@sallyport/gateway/snapshot/estate.ts";
import type { SliceCompiler } from "@sallyport/kernel/policy/compile-slice.ts";
import type { PolicyEngine } from "@sallyport/kernel/policy/port.ts";
import type { SignalName, Signals } from "@sallyport/kernel/policy/signals.ts";
import type { Principal } from "@sallyport/protocol/principal.ts";
import type { AttributeSource, Scalar } from "@sallyport/protocol/snapshot/objects.ts";
import { isAcr } from "@sallyport/protocol/token/acr.ts";
import type { Verdict } from "@sallyport/protocol/verdict.ts";

export interface Tools {
  readonly compiler: SliceCompiler;
  readonly engine: PolicyEngine;
  readonly now: number;
}

const snapshotLifetimeMs = 3_600_000;

/** The environment as a gateway holds it, every integration active: a state is not configuration. */
export function gatewayEstate(environment: EnvironmentConfig, { compiler, engine, now }: Tools): Estate {
  const states = new Map(environment.integrations.map(({ id }) => [id, "active" as const]));
  const { manifest, blobs } = compileSnapshot(
    {
      environment,
      states,
      tenant: "main",
      region: "default",
      group: "policy-test",
      issuer: `https://policy-test.invalid/main/${environment.name}`,
      epoch: 1,
      version: 1,
      now,
      lifetimeMs: snapshotLifetimeMs,
      minKeySeq: 0,
      minRevocationSeq: 0,
    },
    compiler,
  );
  return compileEstate({
    manifest,
    blob: (id) => {
      const bytes = blobs.get(id);
      if (bytes === undefined) throw new Error(`the snapshot lacks the blob ${id}`);
      return bytes;
    },
    policy: engine,
    // Limits are not asked here; the estate only wants keys for them.
    limiter: openRateTable(allocateRateTable(64), new Uint8Array(32)),
  });
}

/** What a gateway would decide. The case's caller and operation exist (check-cases.ts). */
export function decideCase(one: PolicyCase, estate: Estate, now: number): Verdict {
  const [systemId = ""] = one.operation.split(":");
  const caller = estate.systems.get(one.caller);
  if (caller === undefined) throw new Error(`no system ${one.caller}`);
  const system = estate.systems.get(systemId) ?? null;
  const operation = system?.operations.find(({ fullName }) => fullName === one.operation) ?? null;
  const binding = decideBinding({ estate, caller, system, operation, nowMs: now, isRevoked: () => false });
  if (binding.kind === "deny") return binding;
  const { grant } = binding;
  const principal = principalOf(one, estate, now);
  const declared = binding.operation.object;
  const early =
    decideProof(principal, grant) ??
    decideScope(principal, binding.operation) ??
    decideStepUp(principal, grant, now) ??
    decideStaleness({
      stalenessMs: one.staleness,
      boundsMs: estate.object.stalenessMs,
      classification: declared.classification,
      offline: declared.offline,
      snapshotExpired: false,
    });
  if (early !== null) return early;
  const resolved = resolveAttributes(declared.attributes, requestOf(declared.attributes, one.attributes));
  if (resolved.kind === "deny") return resolved;
  const slice = binding.operation.policy();
  const signals = signalsOf(one, slice?.signals ?? [], { principal, now });
  const parts = { caller, operation: binding.operation, grant, principal, stalenessMs: one.staleness, signals };
  const decided = decidePolicy(slice, decisionInputs(parts, resolved.values));
  return decided.deny ?? { kind: "allow", policies: decided.policies };
}

function principalOf(one: PolicyCase, estate: Estate, now: number): Principal {
  return {
    tenant: "main",
    environment: estate.manifest.environment,
    caller: one.caller,
    proof: { kind: one.proof },
    scopes: one.scopes ?? null,
    expiresAtMs: now + snapshotLifetimeMs,
    ...(one.issuer === undefined ? {} : { issuer: one.issuer }),
    ...(one.subject === undefined ? {} : { subject: one.subject }),
    ...(one.acr === undefined ? {} : { acr: isAcr(`${levels}${one.acr}`) ? `${levels}${one.acr}` : one.acr }),
    ...(one.authTime === undefined ? {} : { authTime: one.authTime }),
    ...(one.authAge === undefined ? {} : { authTime: Math.floor((now - one.authAge) / 1_000) }),
    ...(one.amr === undefined ? {} : { amr: one.amr }),
  };
}

/** `mfa` is `urn:sallyport:acr:mfa`, as in the estate. */
const levels = "urn:sallyport:acr:";

/** What a gateway would have found out, as the case says it; a user's risk is 0 where it says none. */
function signalsOf(
  one: PolicyCase,
  names: readonly SignalName[],
  { principal, now }: { readonly principal: Principal; readonly now: number },
): Signals {
  const place = one.country === undefined ? null : { country: one.country, point: null };
  const parts = { principal, addressClass: one.address, place, factors: null, nowMs: now };
  const { risk = 0, riskFactors = [] } = one;
  const ofUser: Signals = one.subject === undefined ? {} : { risk, riskFactors };
  const assessed = Object.entries(ofUser).filter(([name]) => names.some((wanted) => wanted === name));
  return { ...decideSignals(names, parts), ...Object.fromEntries(assessed) };
}

interface Draft {
  readonly parameters: Record<string, string>;
  readonly query: Record<string, string[]>;
  readonly headers: Record<string, string[]>;
  body: unknown;
}

/** The attributes of a case where a request would carry them, so that the gateway's own reader resolves them, with its own idea of types. */
function requestOf(
  declared: Readonly<Record<string, AttributeSource>>,
  values: Readonly<Record<string, Scalar>>,
): AttributeInputs {
  const draft: Draft = { parameters: {}, query: {}, headers: {}, body: undefined };
  for (const [name, value] of Object.entries(values)) {
    const source = declared[name];
    if (source === undefined) continue;
    if (source.from === "path") draft.parameters[source.name] = String(value);
    else if (source.from === "query") draft.query[source.name] = [String(value)];
    else if (source.from === "header") draft.headers[source.name.toLowerCase()] = [String(value)];
    else draft.body = withMember(draft.body, source.name.split(".").slice(1), value);
  }
  return draft;
}

function withMember(body: unknown, members: readonly string[], value: Scalar): unknown {
  const [member, ...rest] = members;
  if (member === undefined) return value;
  const before: Readonly<Record<string, unknown>> = typeof body === "object" && body !== null ? { ...body } : {};
  return { ...before, [member]: withMember(before[member], rest, value) };
}
