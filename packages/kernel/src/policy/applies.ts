// Promises which policies can matter for one action, judged by their scope alone. Trusts the parsed scope.
// Anything unclear counts as applying: then strict validation has the last word. Specified in docs/policy.md.
import type { EntityUidJson, PolicyJson } from "@cedar-policy/cedar-wasm/nodejs";
import { entityOf, type Finding, finding, type ParsedPolicies, type ParsedPolicy } from "./policy-text.ts";

type ActionScope = { readonly type: string; readonly id: string };

/** The actions a scope names, or undefined when it names none and so means all. */
export function namedActions(policy: PolicyJson): readonly ActionScope[] | undefined {
  const { action } = policy;
  if (action.op === "All") return undefined;
  if ("entities" in action) return action.entities.map(entityOf);
  return "entity" in action ? [entityOf(action.entity)] : undefined;
}

function namedSystem(scope: PolicyJson["resource"] | PolicyJson["principal"]): ActionScope | undefined {
  if (scope.op === "is") return scope.in !== undefined && "entity" in scope.in ? entityOf(scope.in.entity) : undefined;
  if (scope.op === "All" || !("entity" in scope)) return undefined;
  return entityOf(scope.entity);
}

/** Can the policy apply to `action` on an object of `system`? */
export function canApply(policy: PolicyJson, action: string, system: string): boolean {
  const actions = namedActions(policy);
  if (actions !== undefined && !actions.some((named) => named.type === "Action" && named.id === action)) return false;
  const resource = namedSystem(policy.resource);
  const elsewhere =
    resource !== undefined && (resource.type === "System" || resource.type === "Resource") && resource.id !== system;
  return !elsewhere;
}

/**
 * Policies whose scope names an action or a system that the estate does not have. Such a forbid would never forbid anything:
 * the most expensive typing mistake there is, and one that no single slice can see.
 */
export function checkPolicyScopes(
  parsed: ParsedPolicies,
  estate: { readonly actions: ReadonlySet<string>; readonly systems: ReadonlySet<string> },
): readonly Finding[] {
  const findings: Finding[] = [];
  for (const policy of parsed.policies) {
    for (const named of namedActions(policy.json) ?? []) {
      if (named.type === "Action" && estate.actions.has(named.id)) continue;
      findings.push(unknown(parsed, policy, `no operation is called ${named.type}::${JSON.stringify(named.id)}`));
    }
    for (const scope of [policy.json.principal, policy.json.resource]) {
      const named = namedSystem(scope);
      const known =
        named === undefined ||
        (["System", "Workload", "Resource"].includes(named.type) && estate.systems.has(named.id));
      if (!known)
        findings.push(unknown(parsed, policy, `no system is called ${named.type}::${JSON.stringify(named.id)}`));
    }
  }
  return findings;
}

function unknown(parsed: ParsedPolicies, policy: ParsedPolicy, why: string): Finding {
  const text = parsed.texts.get(policy.file) ?? "";
  return finding(
    { file: policy.file, text },
    policy.offset,
    `${why}, so the policy would never apply`,
    "name an existing one, or remove the policy",
  );
}

/** Every action a policy mentions, in its scope or its conditions: the validator must know their names. */
export function mentionedActions(policy: PolicyJson): ReadonlySet<string> {
  const found = new Set<string>();
  for (const named of namedActions(policy) ?? []) if (named.type === "Action") found.add(named.id);
  const pending: unknown[] = [...policy.conditions];
  // Bounded by the size of the policy, which is bounded by the size of its file.
  while (pending.length > 0) {
    const node = pending.pop();
    if (typeof node !== "object" || node === null) continue;
    if ("__entity" in node) {
      // Cedar prints an entity literal exactly in this form (EntityUidJson).
      const entity = entityOf(node as EntityUidJson);
      if (entity.type === "Action") found.add(entity.id);
    }
    pending.push(...Object.values(node));
  }
  return found;
}
