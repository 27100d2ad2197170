// Promises one self-contained policy slice per action, or a broken slice and the findings that say why: never a weaker one.
// Trusts that grants and attributes were checked by configuration; policy files are anybody's text.
// Specified in docs/policy.md.
import { createHash } from "node:crypto";
import { canApply, mentionedActions } from "./applies.ts";
import { type AskCedar, type Cedar, createAskCedar } from "./cedar.ts";
import { type Grant, generatedPermit, generatedPermitId } from "./generated-permit.ts";
import { Memo } from "./memo.ts";
import {
  charactersOf,
  type Finding,
  finding,
  isEnforced,
  type ParsedPolicies,
  type ParsedPolicy,
  type PolicyFile,
  parsePolicyFiles,
} from "./policy-text.ts";
import type { AttributeType, PolicySlice } from "./port.ts";
import { readsOf } from "./reads.ts";
import { compileShadow } from "./shadow-slice.ts";
import { signalNames, signalShape } from "./signals.ts";
import type { SliceDraft } from "./slice-draft.ts";
import {
  type Caller,
  contextShape,
  declaredNames,
  isAttributeName,
  principalShape,
  resourceShape,
  type Shape,
  type SliceShapes,
  sliceSchema,
} from "./slice-schema.ts";
import { type TokenSliceInput, tokenDraft } from "./token-slice.ts";

export interface SliceInput {
  /** `billing:invoice.create` */
  readonly action: string;
  /** Id of the providing system: `billing`. */
  readonly system: string;
  readonly resourceAttributes: Readonly<Record<string, AttributeType>>;
  /** Systems that may be named in `grants`; others are ignored. */
  readonly callers: readonly Caller[];
  readonly grants: readonly Grant[];
  /** `policy`: no permit is generated, so only policies permit. */
  readonly authorize: "grant" | "policy";
  readonly policies: readonly PolicyFile[];
}

export interface CompiledSlice {
  readonly slice: PolicySlice;
  readonly findings: readonly Finding[];
  /** About policies in shadow, which the slice leaves out; absent: there are none in shadow. */
  readonly shadowFindings?: readonly Finding[];
}

export interface SliceCompiler {
  /** Compiles one action. The same `policies` array is parsed once, however many actions ask. Findings of a file repeat per action. */
  compileSlice(input: SliceInput): CompiledSlice;
  /** Compiles what decides about tokens for one provider. */
  compileTokenSlice(input: TokenSliceInput): CompiledSlice;
  /** The parsed files, for checks over the whole estate (`checkPolicyScopes`). */
  parse(policies: readonly PolicyFile[]): ParsedPolicies;
}

/**
 * A compiler with an evaluator of its own; make one per run over an estate.
 * Throws only for bugs of the caller (a grant to a system that is not among `callers`, ids that are not ids).
 */
export function createSliceCompiler(ask: AskCedar = createAskCedar()): SliceCompiler {
  const parsedFiles = new WeakMap<readonly PolicyFile[], ParsedPolicies>();
  const valid: ValidSlices = new Memo(validSlicesMax);
  const parse = (policies: readonly PolicyFile[]): ParsedPolicies => {
    const known = parsedFiles.get(policies);
    if (known !== undefined) return known;
    const parsed = parsePolicyFiles(ask, policies);
    parsedFiles.set(policies, parsed);
    return parsed;
  };
  return {
    parse,
    compileSlice: (input) => compile({ ask, valid }, crossingDraft(input, parse(input.policies))),
    compileTokenSlice: (input) => compile({ ask, valid }, tokenDraft(input, parse(input.policies))),
  };
}

/** Hashes of what was validated and found right. Validating a slice costs milliseconds, nearly all of it for reading the schema. */
type ValidSlices = Memo<true>;
const validSlicesMax = 8_192;

interface Compiling {
  readonly ask: AskCedar;
  readonly valid: ValidSlices;
}

/** One slice with a compiler of its own: for a single question. For an estate use `createSliceCompiler`. */
export function compileSlice(input: SliceInput): CompiledSlice {
  return createSliceCompiler().compileSlice(input);
}

/** What every crossing has, and of the signals those that the policies read: what nobody reads nobody makes. */
function crossingContext(policies: Parameters<typeof readsOf>[0]): Shape {
  const { context: read } = readsOf(policies, { principal: [], resource: [], context: signalNames });
  if (read.length === 0) return contextShape;
  // A risk is a number that its factors explain: the record has both.
  const wanted = new Set(read.includes("risk") ? [...read, "riskFactors"] : read);
  const signals = Object.entries(signalShape).filter(([name]) => wanted.has(name));
  return { ...contextShape, ...Object.fromEntries(signals) };
}

function crossingDraft(input: SliceInput, parsed: ParsedPolicies): SliceDraft {
  const granted = grantedCallers(input);
  const { shape, conflicts } = principalShape(granted);
  // Without a grant nothing can be permitted, and nobody says which attributes callers have: there is nothing to check against.
  const kept =
    granted.length === 0 ? [] : parsed.policies.filter((policy) => canApply(policy.json, input.action, input.system));
  return {
    action: input.action,
    shapesFor: (policies) => ({
      principal: shape,
      resource: resourceShape(input.resourceAttributes),
      context: crossingContext(policies.map((policy) => policy.json)),
    }),
    conflicts,
    kept,
    parsed,
    permits: generatedPermits(input),
    grants: Object.fromEntries(input.grants.map(({ integration, from }) => [integration, from])),
    permitsRead: "integration",
    findings: badNames(input),
    judge: () => [],
  };
}

function compile(compiling: Compiling, draft: SliceDraft): CompiledSlice {
  const made = compileEnforced(compiling, draft, draft.kept.filter(isEnforced));
  const inShadow = draft.kept.filter((policy) => !isEnforced(policy));
  if (inShadow.length === 0) return made;
  const { shadow, findings } = compileShadow(draft, inShadow, {
    ask: compiling.ask,
    findingsOf: (policies) => findingsOf(compiling, draft, policies),
  });
  const slice = made.slice.broken === undefined ? { ...made.slice, shadow } : made.slice;
  return { ...made, slice, shadowFindings: findings };
}

/** What keeps these policies from being used, in the schema that they need; they are validated where nothing was wrong `before` that. */
function findingsOf(
  compiling: Compiling,
  draft: SliceDraft,
  policies: readonly ParsedPolicy[],
  before: readonly Finding[] = [],
): readonly Finding[] {
  const { action, conflicts, parsed } = draft;
  const shapes = draft.shapesFor(policies);
  const names = declaredNames(shapes);
  const mentioned = mentionedBy(policies);
  const contested = readsOf(
    policies.map(({ json }) => json),
    { ...names, principal: [...names.principal, ...conflicts] },
  ).principal.filter((name) => conflicts.includes(name));
  const findings = [
    ...before,
    ...policies.flatMap((policy) => (policy.fault === undefined ? [] : [policy.fault])),
    ...policies.flatMap(draft.judge),
    ...contested.map((name) => contestedFinding(name, policies, parsed)),
  ];
  // Permits that we generate fit the schema by their form; only what somebody wrote can be wrong.
  if (findings.length > 0 || policies.length === 0) return findings;
  const key = sameValidation(draft, { shapes, policies, mentioned });
  if (compiling.valid.get(key) !== undefined) return [];
  const found = validated(compiling.ask, {
    schema: sliceSchema(action, shapes, mentioned),
    policies: { ...draft.permits, ...textsOf(policies) },
    kept: policies,
    parsed,
    action,
  });
  if (found.length === 0) compiling.valid.set(key, true);
  return found;
}

function compileEnforced(compiling: Compiling, draft: SliceDraft, policies: readonly ParsedPolicy[]): CompiledSlice {
  const { action, parsed } = draft;
  const shapes = draft.shapesFor(policies);
  const schema = sliceSchema(action, shapes, mentionedBy(policies));
  const findings = findingsOf(compiling, draft, policies, [...parsed.unreadable, ...draft.findings]);
  const of = { action, ...(draft.system === undefined ? {} : { system: draft.system }) };
  const [first] = findings;
  if (first !== undefined) return { slice: brokenSlice(of, schema, first), findings };
  const own = readsOf(
    policies.map(({ json }) => json),
    declaredNames(shapes),
  );
  // The generated permits read the integration, whatever else the policies read.
  const reads = { ...own, context: [...new Set([...own.context, draft.permitsRead])].toSorted() };
  const texts = { ...draft.permits, ...textsOf(policies) };
  return { slice: { v: 1, ...of, schema, policies: texts, grants: draft.grants, reads }, findings: [] };
}

function textsOf(policies: readonly ParsedPolicy[]): Readonly<Record<string, string>> {
  return Object.fromEntries(policies.map(({ id, text }) => [id, text]));
}

function mentionedBy(policies: readonly ParsedPolicy[]): readonly string[] {
  return policies.flatMap((policy) => [...mentionedActions(policy.json)]);
}

/**
 * Equal for slices that validate alike: the same attributes, the same policies, generated permits or none. A type check does not depend on how
 * things are called, so the slice's own action stands as a nameless one, and annotations (@id) and the ids in generated permits do not count.
 * Where a policy names other actions too, all names count: then it matters which of them is the slice's own.
 */
function sameValidation(
  { action, permits }: SliceDraft,
  on: {
    readonly shapes: SliceShapes;
    readonly policies: readonly ParsedPolicy[];
    readonly mentioned: readonly string[];
  },
): string {
  const { shapes, mentioned } = on;
  const hasPermits = Object.keys(permits).length > 0;
  const namesOthers = mentioned.some((name) => name !== action);
  const policies = on.policies.map(({ json: { annotations: _, ...rest } }) => {
    const text = JSON.stringify(rest);
    // No JSON holds a bare NUL, so nothing that somebody wrote is taken for the nameless action.
    return namesOthers ? text : text.replaceAll(JSON.stringify(action), "\u0000");
  });
  return createHash("sha256")
    .update(JSON.stringify([shapes, namesOthers ? [action, ...mentioned] : null, hasPermits, policies]))
    .digest("base64");
}

function grantedCallers(input: SliceInput): readonly Caller[] {
  const byId = new Map(input.callers.map((caller) => [caller.id, caller]));
  const ids = new Set(input.grants.map((grant) => grant.from));
  return [...ids].map((id) => {
    const caller = byId.get(id);
    if (caller === undefined) throw new Error(`${input.action} is granted to ${id}, which is not among the callers`);
    return caller;
  });
}

function generatedPermits(input: SliceInput): Readonly<Record<string, string>> {
  if (input.authorize === "policy") return {};
  return Object.fromEntries(
    input.grants.map((grant) => [generatedPermitId(grant.integration), generatedPermit(input.action, grant)]),
  );
}

function badNames(input: SliceInput): readonly Finding[] {
  const bad = Object.keys(input.resourceAttributes).filter((name) => !isAttributeName(name));
  return bad.map((name) => ({
    file: input.action,
    line: 1,
    column: 1,
    why: `${JSON.stringify(name)} cannot be the name of an attribute`,
    fix: "start with a letter and use up to 64 letters, digits, _ and -",
  }));
}

function contestedFinding(name: string, kept: readonly ParsedPolicy[], parsed: ParsedPolicies): Finding {
  const reader = kept.find(
    (policy) => readsOf([policy.json], { principal: [name], resource: [], context: [] }).principal.length > 0,
  );
  const file = { file: reader?.file ?? "", text: parsed.texts.get(reader?.file ?? "") ?? "" };
  const why = `the policy reads principal.${name}, which granted callers declare with different types, or as a number that is not a whole one, or under a name that attributes may not have`;
  return finding(
    file,
    reader?.offset ?? 0,
    why,
    `give ${name} the same type in the attributes of every system that is granted this operation`,
  );
}

interface Validation {
  readonly schema: unknown;
  readonly policies: Readonly<Record<string, string>>;
  readonly kept: readonly ParsedPolicy[];
  readonly parsed: ParsedPolicies;
  readonly action: string;
}

function validated(ask: AskCedar, validation: Validation): readonly Finding[] {
  const { schema, policies, kept, parsed, action } = validation;
  const byId = new Map(kept.map((policy) => [policy.id, policy]));
  // The schema is ours and of Cedar's JSON form; our own type is wider.
  const answer = ask((cedar) =>
    cedar.validate({
      schema: schema as Parameters<Cedar["validate"]>[0]["schema"],
      policies: { staticPolicies: policies },
      validationSettings: { mode: "strict" },
    }),
  );
  if (answer === undefined) {
    const suspect = kept.at(-1);
    const file = { file: suspect?.file ?? action, text: parsed.texts.get(suspect?.file ?? "") ?? "" };
    return [
      finding(
        file,
        suspect?.offset ?? 0,
        `the validator gave up on the policies for ${action}`,
        "simplify this policy or one before it",
      ),
    ];
  }
  if (answer.type === "failure") {
    return [
      {
        file: action,
        line: 1,
        column: 1,
        why: answer.errors.map((error) => error.message).join("; "),
        fix: "report this: the generated schema is not accepted",
      },
    ];
  }
  return answer.validationErrors.map(({ policyId, error }) => {
    const policy = byId.get(policyId);
    const [where] = error.sourceLocations ?? [];
    const inside = policy === undefined || where === undefined ? 0 : charactersOf(policy.text, where.start);
    const file = { file: policy?.file ?? action, text: parsed.texts.get(policy?.file ?? "") ?? "" };
    return finding(
      file,
      (policy?.offset ?? 0) + inside,
      `for ${action}: ${error.message}`,
      error.help ?? `name only what ${action} declares, or narrow the policy to the operations that declare it`,
    );
  });
}

function brokenSlice(
  of: Pick<PolicySlice, "action" | "system">,
  schema: unknown,
  { file, line, column, why, fix }: Finding,
): PolicySlice {
  const reads = { principal: [], resource: [], context: [] };
  return {
    v: 1,
    ...of,
    schema,
    policies: {},
    grants: {},
    reads,
    broken: `${file}:${line}:${column}: ${why}. Fix: ${fix}`,
  };
}
