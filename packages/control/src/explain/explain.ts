// Promises whether a crossing would be allowed now, without one: the stages of the gateway over the estate in force, in their order, each with
// its reason. Trusts the objects the snapshot is compiled from and the policy engine gateways run. Specified in docs/cli/why.md.
import type { ProofKind } from "@sallyport/protocol/principal.ts";
import type { ProblemCode } from "@sallyport/protocol/problem.ts";
import type { RateLimit } from "@sallyport/protocol/snapshot/limit-objects.ts";
import type { IntegrationObject, ModeObject } from "@sallyport/protocol/snapshot/objects.ts";
import type { StageName } from "@sallyport/protocol/verdict.ts";
import { isTokenAction } from "../policy-tests/read-tests.ts";
import type { EnvironmentConfig, SystemConfig } from "../registry/config/estate.ts";
import { suggest } from "../registry/config/nearest.ts";
import type { OperationConfig } from "../registry/config/operation-config.ts";
import { compileIntegrations, type IntegrationStates } from "../snapshot/compile-objects.ts";
import { explainPolicy, type PolicyPorts, placeOfPolicy } from "./explain-policy.ts";
import { assumedSignals, refuseStepUp, stepUpWanted, stepUpWords, userContext } from "./explain-step-up.ts";
import { explainToken } from "./explain-token.ts";
import { type Explanation, type Fix, type Question, QuestionFault, type Step } from "./explanation.ts";
import { grantFix, nearestGrants } from "./nearest-grant.ts";

export interface ExplainOver extends PolicyPorts {
  /** Does any environment have this operation? Absent: those of this one are all there are. */
  readonly isOperation?: (name: string) => boolean;
  readonly environment: EnvironmentConfig;
  readonly states: IntegrationStates;
  /** Milliseconds since the epoch. */
  readonly now: number;
}

type Draft = Omit<Explanation, "question" | "allowed" | "steps" | "stage" | "code" | "observed">;
interface No extends Partial<Draft> {
  readonly code: ProblemCode;
  readonly stage: StageName;
  readonly says: string;
}

interface Asked {
  readonly question: Question;
  readonly over: ExplainOver;
  readonly caller: SystemConfig;
  readonly provider: SystemConfig;
  readonly operation: OperationConfig;
}

/** Throws QuestionFault when the question names what is not there. */
export function explain(question: Question, over: ExplainOver): Explanation {
  if (isTokenAction(question.operation)) return explainToken(question, question.operation, over);
  const steps: Step[] = [];
  const pass = (stage: StageName, says: string, passes: boolean | null = true): void =>
    void steps.push({ stage, passes, says });
  const broken = brokenSystem(question, over.environment);
  if (broken !== null) return denied(question, steps, broken);
  const asked = findAsked(question, over);
  const { provider, operation } = asked;
  pass("route", `${operation.method} ${addressOf(provider, operation)} is ${question.operation}`);
  const proof = proofOf(asked);
  if (typeof proof !== "string") return denied(question, steps, proof);
  pass("identify", [`${question.from} can prove itself with ${proof}`, ...outsideWords(asked)].join("; "));
  const bound = bindOf(asked);
  if ("code" in bound) return observedOr(asked, denied(question, steps, bound));
  pass("bind", `${bound.id} (${bound.declaredAt}) grants it and is ${bound.state}`);
  pass("limit", limitsOf(bound, operation.name), null);
  const no = authorizeOf(asked, { bound, proof });
  if ("code" in no) return observedOr(asked, { ...denied(question, steps, no), integration: bound.id });
  pass("authorize", no.says);
  pass("inspect", bodyOf(operation), null);
  return {
    ...draft,
    question,
    allowed: true,
    observed: null,
    code: null,
    stage: null,
    integration: bound.id,
    steps,
    policies: no.policies,
  };
}

const draft: Draft = { integration: null, nearest: [], missing: [], policies: [], fix: null };

function denied(question: Question, steps: readonly Step[], no: No): Explanation {
  const { says, code, stage, ...more } = no;
  return {
    ...draft,
    ...more,
    question,
    allowed: false,
    observed: null,
    code,
    stage,
    steps: [...steps, { stage, passes: false, says }],
  };
}

/** As gateways decide what passes (docs/observe.md): once granted the innermost word, before that the provider's, which an integration can only narrow. */
function observedOr(asked: Asked, no: Explanation): Explanation {
  const { over, provider } = asked;
  if (no.code === "not-served" || (no.stage === "bind" && isCutOff(asked))) return no;
  const ofProvider = provider.mode ?? over.environment.mode;
  const innermost = over.environment.integrations.find(({ id }) => id === no.integration)?.mode ?? ofProvider;
  const untilMs = Math.min(untilOf(innermost), no.stage === "bind" ? untilOf(ofProvider) : Number.POSITIVE_INFINITY);
  if (untilMs <= over.now) return no;
  return {
    ...no,
    observed: `nothing is enforced there until ${new Date(untilMs).toISOString()}: it passes and is recorded`,
  };
}

function untilOf(mode: ModeObject | undefined): number {
  return mode?.mode === "observe" ? mode.untilMs : 0;
}

/** The switch of a human holds for all that the caller sends there. */
function isCutOff({ over, caller, provider }: Asked): boolean {
  return compileIntegrations(over).some(
    ({ from, to, state }) => from === caller.id && to === provider.id && (state === "suspended" || state === "retired"),
  );
}

function brokenSystem({ from, operation }: Question, environment: EnvironmentConfig): No | null {
  const ids = [operation.split(":", 1)[0] ?? "", from];
  const entry = environment.broken.find(({ object }) => ids.some((id) => object === `system/${id}`));
  if (entry === undefined) return null;
  const fix: Fix = { says: entry.why, file: entry.file, line: entry.line, yaml: null };
  return { code: "not-served", stage: "bind", says: `${entry.object} is broken and not served: ${entry.why}`, fix };
}

function findAsked(question: Question, over: ExplainOver): Asked {
  const { systems, name: environment } = over.environment;
  const find = (id: string): SystemConfig => {
    const system = systems.find((one) => one.id === id);
    if (system !== undefined) return system;
    throw new QuestionFault(
      `there is no system ${id} in ${environment}`,
      suggest(
        id,
        systems.map((one) => one.id),
      ),
    );
  };
  const caller = systems.find(({ clients }) => clients.some(({ id }) => id === question.from)) ?? find(question.from);
  const [to = "", ...rest] = question.operation.split(":");
  const provider = find(to);
  const operation = provider.operations.find(({ name }) => name === rest.join(":"));
  if (operation !== undefined) return { question: { ...question, from: caller.id }, over, caller, provider, operation };
  const all = provider.operations.map(({ name }) => `${to}:${name}`);
  throw new QuestionFault(
    `${to} has no operation ${rest.join(":") || "(none named)"}`,
    suggest(question.operation, all),
  );
}

function addressOf({ public: at }: SystemConfig, { path }: OperationConfig): string {
  return `${at.host ?? ""}${at.path === "/" ? "" : at.path}${path}`;
}

function proofOf(asked: Asked): ProofKind | No {
  const { question, caller } = asked;
  const able: ProofKind[] = [
    ...(caller.clients.length > 0 || outsideRules(asked).length > 0 ? (["dpop", "bearer"] as const) : []),
    ...(caller.certificates.length > 0 ? (["mtls"] as const) : []),
    ...(caller.signatures === undefined ? [] : (["signature"] as const)),
    ...(caller.apiKeys === undefined ? [] : (["api-key"] as const)),
  ];
  const wanted = question.proof ?? able[0];
  if (wanted !== undefined && able.includes(wanted)) return wanted;
  const { file, line } = caller.declaredAt;
  const { code, yaml } = unableBy(wanted, caller.id);
  return {
    code,
    stage: "identify",
    says: `${caller.id} has no identity that could prove itself${wanted === undefined ? "" : ` with ${wanted}`}`,
    fix: { says: "declare how it proves itself", file, line, yaml },
  };
}

function unableBy(wanted: ProofKind | undefined, caller: string): Pick<No, "code"> & { readonly yaml: string } {
  if (wanted === "mtls")
    return {
      code: "certificate-unknown",
      yaml: "identity:\n  certificate: { trust: <bundle>, uri: <the certificate's URI name> }",
    };
  if (wanted === "signature")
    return {
      code: "signature-key-unknown",
      yaml: `identity:\n  signatures: { keys: [${caller}.signing.jwks.json] }`,
    };
  if (wanted === "api-key") return { code: "api-key-unknown", yaml: "identity:\n  apiKeys: {}" };
  return { code: "client-unknown", yaml: `identity: { client: ${caller}, keys: [${caller}.jwks.json] }` };
}

/** Rules by which a token of an outside issuer stands for the caller. */
function outsideRules({ over, caller }: Pick<Asked, "over" | "caller">) {
  return over.environment.issuers.flatMap((issuer) =>
    (issuer.gateways ?? []).filter(({ system }) => system === caller.id).map((rule) => ({ issuer, rule })),
  );
}

/** Which outside tokens it could come with, and by which audience they open the provider. */
function outsideWords(asked: Asked): string[] {
  const { provider, question } = asked;
  return outsideRules(asked).map(({ issuer, rule }) => {
    const named = Object.entries(rule.audiences).filter(([, opens]) => opens.includes(provider.id));
    const audience = named.length === 0 ? `<issuer>/systems/${provider.id}` : named.map(([word]) => word).join(" or ");
    const words = Object.entries(rule.carries ?? {}).filter(([, operations]) =>
      operations.includes(question.operation),
    );
    const scope =
      rule.carries === undefined ? "" : `, scope ${words.map(([word]) => word).join(" or ") || "(no word carries it)"}`;
    const place = `${issuer.declaredAt.file}:${issuer.declaredAt.line}`;
    return `or with a token of ${issuer.id} (${place}) for azp ${rule.party}, aud ${audience}${scope}`;
  });
}

function bindOf({ question, over, caller, provider, operation }: Asked): IntegrationObject | No {
  const wanted = { environment: over.environment, from: caller, to: provider.id, operation: operation.name };
  const grant = compileIntegrations(over).find(
    (one) =>
      one.from === caller.id && one.to === provider.id && one.operations.some(({ name }) => name === operation.name),
  );
  if (grant === undefined)
    return {
      code: "not-granted",
      stage: "bind",
      says: `no integration grants ${question.operation} to ${caller.id}`,
      nearest: nearestGrants(wanted),
      fix: grantFix(wanted),
    };
  const [file = "", line = ""] = grant.declaredAt.split(/:(?=\d+$)/);
  const at = { file, line: Number(line), yaml: null };
  if (grant.broken !== undefined)
    return {
      code: "not-served",
      stage: "bind",
      says: `integration ${grant.id} is broken and not served: ${grant.broken}`,
      fix: { says: grant.broken, ...at },
    };
  if (grant.state === "active") return grant;
  const says =
    grant.state === "expired"
      ? "write a later day under expires"
      : `sallyport integration activate ${grant.id} --environment ${over.environment.name} --reason "…"`;
  return {
    code: "not-active",
    stage: "bind",
    integration: grant.id,
    says: `integration ${grant.id} is ${grant.state}; ${grant.owner} answers for it`,
    fix: { says, ...at },
  };
}

const acrossText = (across: RateLimit["across"]): string =>
  across === undefined ? "" : `, across gateways (${across.onLoss} where that is lost)`;

/** Those that count this operation. */
function limitsOf({ limits, concurrency = [], quotas = [] }: IntegrationObject, operation: string): string {
  const counts = ({ operations }: Pick<RateLimit, "operations">) => operations?.includes(operation) ?? true;
  return [
    ...limits
      .filter(counts)
      .map(
        ({ per, rate, periodMs, burst, across }) =>
          `${rate} per ${periodMs / 1000} s and ${per}, burst ${burst}${acrossText(across)}`,
      ),
    ...concurrency.filter(counts).map(({ per, max, across }) => `${max} at once per ${per}${acrossText(across)}`),
    ...quotas.filter(counts).map(({ per, max, period, timeZone }) => `${max} a ${period} (${timeZone}) per ${per}`),
  ].join("; ");
}

interface Yes {
  readonly says: string;
  readonly policies: Explanation["policies"];
}

function authorizeOf(asked: Asked, by: { readonly bound: IntegrationObject; readonly proof: ProofKind }): Yes | No {
  const { question, operation, over } = asked;
  const { bound, proof } = by;
  const [file = "", line = ""] = bound.declaredAt.split(/:(?=\d+$)/);
  const at = { file, line: Number(line) };
  if (!bound.proof.includes(proof))
    return {
      code: "proof-not-accepted",
      stage: "authorize",
      says: `${bound.id} accepts ${bound.proof.join(" or ")}, not ${proof}`,
      fix: {
        says: `call with ${bound.proof.join(" or ")}, or accept it`,
        ...at,
        yaml: `proof: { accept: [${[...bound.proof, proof].join(", ")}] }`,
      },
    };
  const weak = refuseScope(question) ?? refuseStepUp(question, { provider: asked.provider, operation, bound });
  if (weak !== null) return weak;
  const answer = explainPolicy(
    {
      environment: over.environment,
      system: asked.provider,
      operation,
      given: question.attributes,
      principal: { id: asked.caller.id, attributes: asked.caller.attributes },
      context: {
        integration: bound.id,
        environment: over.environment.name,
        zone: asked.caller.zone,
        proof,
        scopes: question.scopes ?? [],
        stalenessMs: 0,
        ...userContext(question, over.now),
      },
      signals: (names) => assumedSignals(names, question),
    },
    over,
  );
  if (answer.kind === "missing") return missingAttributes(operation, answer.names);
  const verdict = policyVerdict(answer.decision, over.environment);
  const wanted = stepUpWanted(operation, bound);
  const more = [
    ...(answer.decision.shadow ?? []).map(
      ({ policy, would }) => `in shadow ${policy} would ${would === "error" ? "fail, a denial" : would}`,
    ),
    ...(wanted === undefined ? [] : [`the user has ${stepUpWords(wanted)}`]),
    ...(answer.assumed.length === 0
      ? []
      : [`assumed of ${answer.assumed.join(", ")}: docs/policy-signals.md "Asking"`]),
  ];
  return { ...verdict, says: [verdict.says, ...more].join("; ") };
}

function refuseScope({ scopes, operation }: Question): No | null {
  if (scopes === undefined || scopes.includes(operation)) return null;
  return {
    code: "scope-missing",
    stage: "authorize",
    says: `the token carries ${scopes.join(" ") || "no scope"}, not ${operation}`,
    fix: { says: `ask for a token with the scope ${operation}, or without one`, file: null, line: null, yaml: null },
  };
}

function missingAttributes(operation: OperationConfig, names: readonly string[]): No {
  const described = names.map((name) => {
    const source = operation.attributes[name];
    return source === undefined ? name : `${name} (${source.type}, from ${source.from} ${source.name})`;
  });
  return {
    code: "attribute-missing",
    stage: "authorize",
    says: `policies read ${described.join(", ")}, which a request must carry`,
    missing: described,
    fix: {
      says: `name it here: ${names.map((name) => `--attr ${name}=<value>`).join(" ")}`,
      file: null,
      line: null,
      yaml: null,
    },
  };
}

function policyVerdict(
  {
    kind,
    policies,
    errors,
  }: { readonly kind: string; readonly policies: readonly string[]; readonly errors: readonly string[] },
  environment: EnvironmentConfig,
): Yes | No {
  const decided = policies.map((id) => ({ id, place: placeOfPolicy(id, environment.policies) }));
  const named = decided.map(({ id, place }) => (place === null ? id : `${id} (${place})`)).join(", ");
  if (kind === "allow") return { says: `proof, scope and policies say yes: ${named}`, policies: decided };
  const says =
    kind === "error"
      ? `the policies fail: ${errors.join("; ")}`
      : named === ""
        ? "no policy permits it"
        : `${named} forbids it`;
  const [file = null, line] = decided.find(({ place }) => place !== null)?.place?.split(":") ?? [];
  return {
    code: kind === "error" ? "policy-error" : "policy-denied",
    stage: "authorize",
    says,
    policies: decided,
    fix: {
      says: named === "" ? "write a permit for it in policies/" : "change the policy, or what the request carries",
      file,
      line: line === undefined ? null : Number(line),
      yaml: null,
    },
  };
}

function bodyOf({ body, bodyBytesMax }: OperationConfig): string {
  if (body === undefined) return "it takes no body";
  const schema = body.schema === undefined ? "" : ", and fits its schema";
  return `a body is ${body.contentType}, at most ${bodyBytesMax} bytes${schema}`;
}
