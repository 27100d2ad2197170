// Promises whether a token would be issued now, without a request for one: what the token endpoint decides first, then the policies, each with its reason.
// Trusts the token endpoint's own decisions and the policy engine. Specified in docs/cli/why.md and docs/policy.md "Policies about tokens".
import type { ProofKind } from "@sallyport/protocol/principal.ts";
import { decideTokenCase } from "../identity/policy/decide-token-case.ts";
import { createIssuancePolicy } from "../identity/policy/issuance-policy.ts";
import type { EnvironmentConfig, SystemConfig } from "../registry/config/estate.ts";
import { initialState } from "../registry/config/estate.ts";
import { suggest } from "../registry/config/nearest.ts";
import type { IntegrationStates } from "../snapshot/compile-objects.ts";
import { operationsOf } from "../snapshot/compile-token-policies.ts";
import { type PolicyPorts, placeOfPolicy } from "./explain-policy.ts";
import { type Explanation, type Question, QuestionFault, type Step } from "./explanation.ts";

export interface ExplainTokenOver extends PolicyPorts {
  readonly environment: EnvironmentConfig;
  readonly states: IntegrationStates;
  readonly now: number;
  /** Absent: operations of this environment are all there are. */
  readonly isOperation?: (name: string) => boolean;
}

const policyCodes = ["policy-denied", "policy-error"];

/** Throws QuestionFault when the question names what is not there, or does not say for which system the token is. */
export function explainToken(
  question: Question,
  action: "token:issue" | "token:exchange",
  over: ExplainTokenOver,
): Explanation {
  const { environment, states, now } = over;
  const caller = callerOf(question.from, environment);
  const provider = findSystem(question.for ?? "", environment, "write --for <system>: whom the token is for");
  const isOperation = over.isOperation ?? operationsOf([environment]);
  const policy = createIssuancePolicy({ environment, isOperation, compiler: over.compiler, engine: () => over.engine });
  const asked = {
    action,
    caller: caller.id,
    for: provider.id,
    grantType: question.grantType ?? (question.user === undefined ? "client_credentials" : "authorization_code"),
    proof: question.proof ?? proofOf(caller),
    scopes: question.scopes,
    address: question.address,
    depth: 1,
    ...userOf(question, now),
    ...{ country: question.country, risk: question.risk, riskFactors: question.riskFactors },
    ...(caller.id === question.from ? {} : { client: question.from }),
  } as const;
  const isActive = (id: string) => (states.get(id) ?? initialState(environment)) === "active";
  const verdict = decideTokenCase(asked, { environment, policy, now, isActive });
  const isPolicy = verdict.kind === "allow" || policyCodes.includes(verdict.code);
  const policies = verdict.policies.map((id) => ({ id, place: placeOfPolicy(id, environment.policies) }));
  const named = policies.map(({ id, place }) => (place === null ? id : `${id} (${place})`)).join(", ");
  const why = verdict.kind === "deny" ? (verdict.facts["why"] ?? "") : "";
  const steps: readonly Step[] = isPolicy
    ? [
        { stage: "bind", passes: true, says: `what is granted to ${caller.id} at ${provider.id} allows it` },
        {
          stage: "authorize",
          passes: verdict.kind === "allow",
          says:
            verdict.kind === "allow" ? `policies say yes: ${named}` : `${named === "" ? why : `${named} forbids it`}`,
        },
      ]
    : [{ stage: "bind", passes: false, says: why }];
  const [file = null, line] = policies.find(({ place }) => place !== null)?.place?.split(":") ?? [];
  const fix = {
    says: isPolicy
      ? "change the policy, or what the client asks for"
      : "change the integration, or what the client asks for",
    file: isPolicy ? file : null,
    line: isPolicy && line !== undefined ? Number(line) : null,
    yaml: null,
  };
  return {
    question: { ...question, from: caller.id },
    allowed: verdict.kind === "allow",
    observed: null,
    code: verdict.kind === "allow" ? null : verdict.code,
    stage: verdict.kind === "allow" ? null : isPolicy ? "authorize" : "bind",
    integration: null,
    steps,
    nearest: [],
    missing: [],
    policies,
    fix: verdict.kind === "allow" ? null : fix,
  };
}

function userOf({ user }: Question, now: number): { readonly acr?: string; readonly authTime?: number } {
  if (user === undefined) return {};
  return { acr: `urn:sallyport:acr:${user.acr}`, authTime: Math.floor(now / 1000) - user.authAgeSeconds };
}

function callerOf(from: string, environment: EnvironmentConfig): SystemConfig {
  const owner = environment.systems.find(({ clients }) => clients.some(({ id }) => id === from));
  return owner ?? findSystem(from, environment);
}

function findSystem(id: string, { systems, name }: EnvironmentConfig, fix?: string): SystemConfig {
  const found = systems.find((one) => one.id === id);
  if (found !== undefined) return found;
  const ids = systems.map((one) => one.id);
  throw new QuestionFault(
    id === "" ? "a token is for one system" : `there is no system ${id} in ${name}`,
    id === "" && fix !== undefined ? fix : suggest(id, ids),
  );
}

function proofOf({ clients, certificates }: SystemConfig): ProofKind {
  return clients.length === 0 && certificates.length > 0 ? "mtls" : "dpop";
}
