// Promises to find policies that do not do what they look like: permit nothing, forbid nothing, or permit without a condition. Pure.
// Trusts the parsed form of kernel/policy; what does not parse or validate is said by the slice compiler. Pages: docs/lint.
import { canApply } from "@sallyport/kernel/policy/applies.ts";
import { entityOf, isEnforced, type ParsedPolicy, place } from "@sallyport/kernel/policy/policy-text.ts";
import { isAboutToken, tokenActions } from "@sallyport/kernel/policy/token-slice.ts";
import { tokenGrants } from "../../snapshot/compile-token-policies.ts";
import type { Spot } from "../config/finding.ts";
import {
  dayMs,
  type Hit,
  isIncomplete,
  isSensitive,
  type LintEnvironment,
  type OperationSubject,
  onEnvironments,
  type Rule,
} from "./rule.ts";

/** Long enough to see a month's end. */
const shadowDaysMax = 30;

export const policyRules: readonly Rule[] = [
  {
    id: "tokens-forbidden",
    severity: "warning",
    title: "A forbid for every token of everybody",
    why: "Nobody gets a token in this environment, and whoever has one loses access within minutes; as an emergency brake it is easily forgotten.",
    fix: "add a `when`, name a principal or a resource, or suspend the integrations that should stop",
    waivable: true,
    check: onPolicies(({ enforced, spotOf }) =>
      enforced
        .filter(({ json }) => json.effect === "forbid" && isAboutTokens(json) && json.conditions.length === 0)
        .filter(({ json }) => json.principal.op === "All" && json.resource.op === "All" && json.action.op !== "All")
        .map((policy) => ({ at: spotOf(policy), message: `\`${policy.id}\` refuses every token` })),
    ),
  },
  {
    id: "forbid-leaves-tokens",
    severity: "info",
    title: "A forbid without an action, which says nothing about tokens",
    why: "It denies crossings at gateways; tokens are still issued, and a service that checks them itself still takes them.",
    fix: 'write a second one for `action in [Action::"token:issue", Action::"token:exchange"]`, or name the operations it is for',
    waivable: true,
    check: onPolicies(({ enforced, spotOf }) =>
      enforced
        .filter(({ json }) => json.effect === "forbid" && json.action.op === "All" && !isAboutTokens(json))
        .map((policy) => ({ at: spotOf(policy), message: `\`${policy.id}\` is about every operation and no token` })),
    ),
  },
  {
    id: "policy-invalid",
    severity: "error",
    title: "A policy that cannot be used",
    why: "It does not parse, does not fit what operations declare, or names what does not exist. Every operation it could concern is denied, because nobody knows what it would have forbidden.",
    fix: "correct the policy at the place that is named",
    waivable: false,
  },
  {
    id: "shadow-policy-invalid",
    severity: "warning",
    title: "A policy in shadow that cannot be judged",
    why: "It does not fit what operations declare, names what does not exist, or is about tokens. It decides nothing, so nothing is denied; but its silence in the records says nothing either, and enforced it would deny every operation it could concern.",
    fix: "correct the policy at the place that is named",
    waivable: true,
  },
  {
    id: "shadow-policy-old",
    severity: "warning",
    title: "A policy has been in shadow for more than 30 days",
    why: "What it was meant to forbid goes on, and everybody who reads the file takes it for a rule.",
    fix: "see `sallyport observe` and `sallyport policy replay`, then remove `@shadow` to enforce it, or remove the policy",
    waivable: true,
    check: (lint) =>
      lint.environments.flatMap((environment) => {
        const { policies, spotOf } = viewOf(environment);
        return policies.flatMap((policy) => {
          if (policy.shadow === undefined) return [];
          const { sinceMs } = policy.shadow;
          if (sinceMs === null)
            return [
              {
                at: spotOf(policy),
                message: `\`${policy.id}\` is in shadow and does not say since when`,
                fix: 'write the day it began: `@shadow("2027-01-31")`',
              },
            ];
          const days = Math.floor((lint.now - sinceMs) / dayMs);
          if (days <= shadowDaysMax) return [];
          return [{ at: spotOf(policy), message: `\`${policy.id}\` has been in shadow for ${days} days` }];
        });
      }),
  },
  {
    id: "operation-never-permitted",
    severity: "warning",
    title: "An operation says `authorize: policy` and no policy permits it",
    why: "Every call is denied, although a grant says otherwise; somebody will widen something in a hurry to make it work.",
    fix: "write a `permit` for it in policies/, or remove `authorize: policy`",
    waivable: true,
    check: onPolicies(({ granted, permitsOf }) =>
      granted
        .filter((subject) => subject.operation.authorize === "policy" && permitsOf(subject).length === 0)
        .map(({ action, at }) => ({
          at: at("authorize"),
          message: `no policy permits \`${action}\`, so every call is denied`,
        })),
    ),
  },
  {
    id: "permit-without-condition",
    severity: "warning",
    title: "A permit without a condition on a sensitive operation",
    why: "`authorize: policy` says that a rule decides; a permit without `when` lets in every granted caller, as a grant alone would.",
    fix: "add a `when` that reads what the decision depends on",
    waivable: true,
    check: onPolicies(({ granted, permitsOf, spotOf }) =>
      granted
        .filter(({ operation }) => operation.authorize === "policy" && isSensitive(operation))
        .flatMap((subject) =>
          permitsOf(subject)
            .filter(({ json }) => json.conditions.length === 0 && json.principal.op === "All")
            .map((policy) => ({
              at: spotOf(policy),
              message: `\`${policy.id}\` permits \`${subject.action}\`, which is ${subject.operation.classification}, without a condition`,
            })),
        ),
    ),
  },
  {
    id: "permit-everything",
    severity: "warning",
    title: "A permit for everybody and everything",
    why: "It permits each operation that says `authorize: policy`, also those somebody adds next year.",
    fix: "name the operations it is for",
    waivable: true,
    check: onPolicies(({ enforced, spotOf }) =>
      enforced
        .filter(({ json }) => json.effect === "permit" && isUnlimited(json) && json.conditions.length === 0)
        .map((policy) => ({ at: spotOf(policy), message: `\`${policy.id}\` permits everybody everything` })),
    ),
  },
  {
    id: "forbid-everything",
    severity: "warning",
    title: "A forbid for everybody and everything",
    why: "Nothing crosses in this environment; as an emergency brake it is easily forgotten.",
    fix: "remove it, or suspend the integrations that should stop",
    waivable: true,
    check: onPolicies(({ enforced, spotOf }) =>
      enforced
        .filter(({ json }) => json.effect === "forbid" && isUnlimited(json) && json.conditions.length === 0)
        .map((policy) => ({ at: spotOf(policy), message: `\`${policy.id}\` denies every crossing` })),
    ),
  },
  {
    id: "policy-never-applies",
    severity: "warning",
    title: "A policy that can never apply",
    why: "A forbid that never forbids is a protection on paper: nothing that is granted falls under it.",
    fix: "name an operation that is granted and a caller that has the grant, or remove the policy",
    waivable: true,
    check: (lint) => {
      if (isIncomplete(lint)) return [];
      // A file may be meant for one environment only: it must matter nowhere.
      const matters = new Set<string>();
      const hits = lint.environments.flatMap((environment) => {
        const view = viewOf(environment);
        return view.policies.flatMap((policy): { readonly id: string; readonly hit: Hit }[] => {
          if (view.granted.some((subject) => appliesTo(policy, subject)) || appliesToTokens(policy, environment))
            matters.add(policy.id);
          const hit = { at: view.spotOf(policy), message: `\`${policy.id}\` falls on nothing that is granted` };
          return [{ id: policy.id, hit }];
        });
      });
      return hits.filter(({ id }) => !matters.has(id)).map(({ hit }) => hit);
    },
  },
  {
    id: "permit-changes-nothing",
    severity: "info",
    title: "A permit for operations that their grants permit anyway",
    why: "With `authorize: grant` the integration permits already; such a permit reads like a condition and is none.",
    fix: "turn it into a `forbid … unless`, or write `authorize: policy` on the operation",
    waivable: true,
    check: onPolicies(({ enforced, granted, spotOf }) =>
      enforced
        .filter(({ json }) => json.effect === "permit")
        .filter((policy) => {
          // Nothing asks for a permit before a token is signed but the grant's own.
          if (policy.json.action.op !== "All" && isAboutTokens(policy.json)) return true;
          const under = granted.filter((subject) => appliesTo(policy, subject));
          return under.length > 0 && under.every(({ operation }) => operation.authorize === "grant");
        })
        .map((policy) => ({ at: spotOf(policy), message: `\`${policy.id}\` permits only what grants permit already` })),
    ),
  },
  {
    id: "policy-without-id",
    severity: "info",
    title: "A policy has no id",
    why: "Records and `why` name it by its place in the file, which changes with the next edit.",
    fix: 'write `@id("…")` before it',
    waivable: true,
    check: onPolicies(({ policies, spotOf }) =>
      policies
        .filter(({ json }) => json.annotations?.["id"] === undefined)
        .map((policy) => ({ at: spotOf(policy), message: `records can only call it \`${policy.id}\`` })),
    ),
  },
];

interface PolicyView {
  readonly policies: readonly ParsedPolicy[];
  /** Those that decide something. */
  readonly enforced: readonly ParsedPolicy[];
  /** Operations that at least one integration grants. */
  readonly granted: readonly OperationSubject[];
  permitsOf(subject: OperationSubject): readonly ParsedPolicy[];
  spotOf(policy: ParsedPolicy): Spot;
}

function onPolicies(check: (view: PolicyView) => readonly Hit[]): NonNullable<Rule["check"]> {
  return onEnvironments((environment) => check(viewOf(environment)));
}

function viewOf({ policies, systems }: LintEnvironment): PolicyView {
  const granted = systems.flatMap(({ operations }) => operations.filter(({ grantedBy }) => grantedBy.length > 0));
  return {
    policies: policies.policies,
    enforced: policies.policies.filter(isEnforced),
    granted,
    permitsOf: (subject) =>
      policies.policies.filter(
        (policy) => isEnforced(policy) && policy.json.effect === "permit" && appliesTo(policy, subject),
      ),
    spotOf: (policy) => ({
      file: policy.file,
      ...place(policies.texts.get(policy.file) ?? "", policy.offset),
      path: "$",
    }),
  };
}

/** Judged by the scope alone, as slices are: what the conditions say is known at the crossing. */
function appliesTo(policy: ParsedPolicy, { system, action, grantedBy }: OperationSubject): boolean {
  if (!canApply(policy.json, action, system.id)) return false;
  const caller = callerOf(policy);
  return caller === undefined || grantedBy.some(({ from }) => from === caller);
}

/** As slices of token actions are made: something must be granted that the policy's scope can fall on. */
function appliesToTokens(policy: ParsedPolicy, { config }: LintEnvironment): boolean {
  const caller = callerOf(policy);
  return tokenActions.some(
    (action) =>
      isAboutToken(policy.json, action) &&
      config.integrations.some(
        ({ from, to }) =>
          canApply(policy.json, action, to) &&
          (caller === undefined || from === caller) &&
          tokenGrants(config, action, to).some((grant) => grant.from === from),
      ),
  );
}

function isAboutTokens(policy: ParsedPolicy["json"]): boolean {
  return tokenActions.some((action) => isAboutToken(policy, action));
}

/** The one system whose calls the policy is about, or undefined: everybody's. */
function callerOf({ json: { principal } }: ParsedPolicy): string | undefined {
  const entity =
    principal.op === "is"
      ? principal.in !== undefined && "entity" in principal.in
        ? entityOf(principal.in.entity)
        : undefined
      : principal.op !== "All" && "entity" in principal
        ? entityOf(principal.entity)
        : undefined;
  return entity !== undefined && ["System", "Workload"].includes(entity.type) ? entity.id : undefined;
}

function isUnlimited({ principal, action, resource }: ParsedPolicy["json"]): boolean {
  return principal.op === "All" && action.op === "All" && resource.op === "All";
}
