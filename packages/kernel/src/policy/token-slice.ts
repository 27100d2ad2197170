// Promises the slice that decides about tokens for one provider: the policies that name a token action, over a closed context, or findings that say why
// not. Trusts grants and attributes checked by configuration; policy files are anybody's text. Specified in docs/policy.md "Policies about tokens".
import type { PolicyJson } from "@cedar-policy/cedar-wasm/nodejs";
import { grantWords } from "@sallyport/protocol/token/grant-type.ts";
import { factorNames } from "../geo/risk.ts";
import { canApply, mentionedActions } from "./applies.ts";
import { type Grant, generatedPermitId, generatedTokenPermit } from "./generated-permit.ts";
import {
  type Finding,
  finding,
  isEnforced,
  type ParsedPolicies,
  type ParsedPolicy,
  type PolicyFile,
} from "./policy-text.ts";
import { namesRead, readsOf } from "./reads.ts";
import type { SliceDraft } from "./slice-draft.ts";
import { type Caller, principalShape, type Shape } from "./slice-schema.ts";
import { type TokenSignalName, tokenSignalNames, tokenSignalShape } from "./token-signals.ts";

export const tokenActions = ["token:issue", "token:exchange"] as const;
export type TokenAction = (typeof tokenActions)[number];

export interface TokenSliceInput {
  readonly action: TokenAction;
  /** The system whose tokens are asked for. */
  readonly provider: Caller;
  /** Every system of the environment: who may be named in `grants`, and which attributes exist at all. */
  readonly callers: readonly Caller[];
  /** Integrations with this provider; of `token:exchange` those with a rule. */
  readonly grants: readonly Grant[];
  /** Is there an operation of this full name, in whatever environment? So a policy about a renamed one is found. */
  readonly isOperation: (name: string) => boolean;
  readonly policies: readonly PolicyFile[];
}

const commonShape: Shape = {
  integrations: { type: "strings", required: true },
  environment: { type: "string", required: true },
  grantType: { type: "string", required: true },
  client: { type: "string", required: true },
  clientAuthentication: { type: "string", required: true },
  binding: { type: "string", required: true },
  operations: { type: "strings", required: true },
  lifetimeSeconds: { type: "long", required: true },
  address: { type: "address", required: false },
  subject: { type: "string", required: false },
  acr: { type: "string", required: false },
  amr: { type: "strings", required: false },
  authTime: { type: "long", required: false },
  subjectIssuer: { type: "string", required: false },
  ...tokenSignalShape,
};

/** Contexts of the token actions as policies see them (TokenContext of port.ts). */
export const tokenContextShapes: Readonly<Record<TokenAction, Shape>> = {
  // A token that is exchanged says nothing of a browser.
  "token:issue": { ...commonShape, device: { type: "string", required: false } },
  "token:exchange": {
    ...commonShape,
    subject: { type: "string", required: true },
    subjectIssuer: { type: "string", required: true },
    as: { type: "string", required: true },
    depth: { type: "long", required: true },
    actors: { type: "strings", required: true },
  },
};

/** Attributes whose values are these words and no others: a policy that compares with another one would never apply. */
const vocabularies: Readonly<Record<string, readonly string[]>> = {
  grantType: grantWords,
  clientAuthentication: [
    "private_key_jwt",
    "tls_client_auth",
    "self_signed_tls_client_auth",
    "client_secret_basic",
    "none",
    "assertion",
  ],
  binding: ["dpop", "mtls", "none"],
  device: ["known", "new"],
  riskFactors: factorNames,
  as: ["delegate", "impersonate"],
};

/** Is the policy about this token action? Only one that names it is: a policy without an action is about operations. */
export function isAboutToken(policy: PolicyJson, action: TokenAction): boolean {
  return mentionedActions(policy).has(action);
}

/** May tokens be issued without asking: does no policy name a token action, and is every text readable? */
export function tokensAreUnrestricted({ policies, unreadable }: ParsedPolicies): boolean {
  const restricts = (policy: ParsedPolicy) => isEnforced(policy) && isAboutTokens(policy.json);
  return unreadable.length === 0 && !policies.some(restricts);
}

/** The signals that some policy about tokens reads: these and no others are worth making. */
export function tokenSignalsRead({ policies }: ParsedPolicies): readonly TokenSignalName[] {
  const about = policies
    .filter(isEnforced)
    .map(({ json }) => json)
    .filter(isAboutTokens);
  const { context } = readsOf(about, { principal: [], resource: [], context: [...tokenSignalNames] });
  return tokenSignalNames.filter((name) => context.includes(name));
}

const isAboutTokens = (policy: PolicyJson): boolean => tokenActions.some((action) => isAboutToken(policy, action));

/** Throws for bugs of the caller: a grant to a system that is not among `callers`, ids that are not ids. */
export function tokenDraft(input: TokenSliceInput, parsed: ParsedPolicies): SliceDraft {
  const { action, provider, grants } = input;
  const callers = principalShape(grants.map(({ from }) => callerOf(input, from)));
  const own = principalShape([provider]);
  // None is in shadow here: nothing records what it would have said of a token, and `check` says so.
  const kept = parsed.policies
    .filter(isEnforced)
    .filter(({ json }) => grants.length > 0 && isAboutToken(json, action) && canApply(json, action, provider.id));
  return {
    action,
    system: provider.id,
    shapesFor: () => ({ principal: callers.shape, resource: own.shape, context: tokenContextShapes[action] }),
    conflicts: callers.conflicts,
    kept,
    parsed,
    permits: Object.fromEntries(
      grants.map((grant) => [
        generatedPermitId(grant.integration),
        generatedTokenPermit(action, { ...grant, to: provider.id }),
      ]),
    ),
    grants: Object.fromEntries(grants.map(({ integration, from }) => [integration, from])),
    permitsRead: "integrations",
    findings: [],
    judge: (policy) => deadWords(policy, input, parsed),
  };
}

function callerOf({ action, callers }: TokenSliceInput, id: string): Caller {
  const caller = callers.find((one) => one.id === id);
  if (caller === undefined) throw new Error(`${action} is granted to ${id}, which is not among the callers`);
  return caller;
}

/** What a policy says that can never be so: Cedar would take it for a condition that does not hold, and a forbid would not forbid. */
function deadWords(policy: ParsedPolicy, input: TokenSliceInput, parsed: ParsedPolicies): readonly Finding[] {
  const file = { file: policy.file, text: parsed.texts.get(policy.file) ?? "" };
  const found = (why: string, fix: string): Finding => finding(file, policy.offset, why, fix);
  return [
    ...unknownAttributes(policy.json, input).map((name) =>
      found(
        `nothing has the attribute ${name}, so the policy would never apply`,
        "name an attribute of docs/policy.md, or one that a system declares",
      ),
    ),
    ...Object.entries(vocabularies).flatMap(([attribute, words]) =>
      comparedWith(policy.json, attribute)
        .filter((word) => !words.includes(word))
        .map((word) =>
          found(
            `context.${attribute} is never ${JSON.stringify(word)}, so the policy would never apply`,
            `use one of ${words.join(", ")}`,
          ),
        ),
    ),
    ...comparedWith(policy.json, "operations")
      .filter((name) => !input.isOperation(name))
      .map((name) =>
        found(
          `no operation is called ${JSON.stringify(name)}, so the policy would never apply`,
          "name an existing one, for example the new name of a renamed one",
        ),
      ),
  ];
}

/** `context.subjct`, `principal has regoin`: a `has` of what nobody declares is false for ever, and validates. */
function unknownAttributes(policy: PolicyJson, input: TokenSliceInput): readonly string[] {
  const read = namesRead([policy]);
  const ofSystems = new Set([input.provider, ...input.callers].flatMap(({ attributes }) => Object.keys(attributes)));
  // A policy about both actions may read what only one of them has.
  const about = tokenActions.filter((action) => isAboutToken(policy, action));
  const ofContext = new Set(about.flatMap((action) => Object.keys(tokenContextShapes[action])));
  const unknown = (area: "principal" | "resource" | "context", known: ReadonlySet<string>) =>
    [...read[area]].filter((name) => !known.has(name)).map((name) => `${area}.${name}`);
  return [
    ...unknown("principal", ofSystems),
    ...unknown("resource", ofSystems),
    // A policy about operations as well may read their context.
    ...(isOnlyAboutTokens(policy) ? unknown("context", ofContext) : []),
  ];
}

function isOnlyAboutTokens(policy: PolicyJson): boolean {
  const { action } = policy;
  const named = mentionedActions(policy);
  return action.op !== "All" && [...named].every((name) => tokenActions.some((one) => one === name));
}

const comparisons = ["==", "!=", "contains", "containsAll", "containsAny"];

/** Literals that a policy compares `context.<attribute>` with. */
function comparedWith(policy: PolicyJson, attribute: string): readonly string[] {
  const found: string[] = [];
  const pending: unknown[] = policy.conditions.map(({ body }) => body);
  // Bounded by the size of the policy, which is bounded by the size of its file.
  while (pending.length > 0) {
    const node = pending.pop();
    if (typeof node !== "object" || node === null) continue;
    for (const [operator, operand] of Object.entries(node)) {
      pending.push(operand);
      if (!comparisons.includes(operator) || typeof operand !== "object" || operand === null) continue;
      // The operand of a comparison is { left, right } in Cedar's JSON form.
      const { left, right } = operand as { left?: unknown; right?: unknown };
      if (isContext(left, attribute)) found.push(...literalsOf(right));
      if (isContext(right, attribute)) found.push(...literalsOf(left));
    }
  }
  return found;
}

function isContext(node: unknown, attribute: string): boolean {
  return JSON.stringify(node) === JSON.stringify({ ".": { left: { Var: "context" }, attr: attribute } });
}

function literalsOf(node: unknown): readonly string[] {
  if (typeof node !== "object" || node === null) return [];
  if ("Value" in node) {
    const { Value: value } = node;
    return (Array.isArray(value) ? value : [value]).filter((one) => typeof one === "string");
  }
  return "Set" in node && Array.isArray(node.Set) ? node.Set.flatMap(literalsOf) : [];
}
