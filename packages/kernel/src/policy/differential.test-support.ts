// Promises how compiled policies and the evaluator answer the same questions, each told apart by its seed: whatever differs is a bug of ours. Trusts the
// evaluator to be Cedar. For tests and `npm run soak -- policies`.
import { createRequire } from "node:module";
import { type Cedar, instantiateCedar } from "./cedar.ts";
import { parseIpRange } from "./cedar-ip.ts";
import { CedarDecimal, CedarEntity, CedarIp, type CedarRecord, type CedarValue } from "./cedar-values.ts";
import type { Frame } from "./closures.ts";
import { CompiledSet, type Failing, type Ruling } from "./compiled-set.ts";
import { isSameRuling } from "./decider.ts";
import { type Json, RandomCedar, type World } from "./random-cedar.test-support.ts";

type Package = typeof import("@cedar-policy/cedar-wasm/nodejs");
type PolicyJson = Extract<ReturnType<Package["policyToJson"]>, { type: "success" }>["json"];

export interface DifferentialReport {
  readonly seed: number;
  readonly sets: number;
  readonly policies: number;
  /** Sets of policies asked about requests. */
  readonly pairs: number;
  readonly allows: number;
  readonly denies: number;
  /** Pairs in which at least one policy failed. */
  readonly failing: number;
  /** Policies that Cedar did not read back, or that are not compiled: they are no part of a pair. */
  readonly leftOut: number;
  /** The first ones, as text and request. */
  readonly differences: readonly string[];
}

export interface DifferentialOptions {
  readonly seed: number;
  readonly pairs: number;
  readonly policiesOfSet?: number;
  readonly requestsOfSet?: number;
}

const differencesMax = 5;

export function runDifferential({
  seed,
  pairs,
  policiesOfSet = 4,
  requestsOfSet = 25,
}: DifferentialOptions): DifferentialReport {
  const cedar = instantiateCedar();
  const random = new RandomCedar(seed);
  const counts: Counts = { sets: 0, policies: 0, pairs: 0, allows: 0, denies: 0, failing: 0, leftOut: 0 };
  const differences: string[] = [];
  while (counts.pairs < pairs && differences.length < differencesMax) {
    const written = writtenSet(
      cedar,
      Array.from({ length: policiesOfSet }, () => random.policy()),
    );
    counts.leftOut += policiesOfSet - Object.keys(written).length;
    const worlds = Array.from({ length: requestsOfSet }, () => random.world());
    differences.push(...compareSet(cedar, written, worlds, counts));
  }
  return { seed, ...counts, differences: differences.slice(0, differencesMax) };
}

type Counts = { -readonly [Name in Exclude<keyof DifferentialReport, "seed" | "differences">]: number };

/** As text, and only what Cedar reads back and closures take. */
function writtenSet(cedar: Cedar, policies: readonly object[]): Readonly<Record<string, string>> {
  const texts = createRequire(import.meta.url)("@cedar-policy/cedar-wasm/nodejs") as Pick<Package, "policyToText">;
  const written: Record<string, string> = {};
  for (const [at, policy] of policies.entries()) {
    const made = texts.policyToText(policy as unknown as PolicyJson);
    if (made.type === "success" && typeof compileTexts(cedar, { one: made.text }) !== "string")
      written[`p${at}`] = made.text;
  }
  return written;
}

function compileTexts(cedar: Cedar, written: Readonly<Record<string, string>>): CompiledSet | string {
  const read: Record<string, PolicyJson> = {};
  for (const [id, text] of Object.entries(written)) {
    const back = cedar.policyToJson(text);
    if (back.type !== "success") return `${id} is no policy`;
    read[id] = back.json;
  }
  return CompiledSet.compile(read);
}

/** Differences, as text and request. Throws where closures do not take the policies, or Cedar does not take the request. */
export function compareSet(
  cedar: Cedar,
  written: Readonly<Record<string, string>>,
  worlds: readonly World[],
  counts: Counts = { sets: 0, policies: 0, pairs: 0, allows: 0, denies: 0, failing: 0, leftOut: 0 },
): readonly string[] {
  const set = compileTexts(cedar, written);
  if (typeof set === "string") throw new Error(set);
  if (cedar.preparsePolicySet("set", { staticPolicies: { ...written } }).type !== "success")
    throw new Error("not parsed");
  counts.sets++;
  counts.policies += Object.keys(written).length;
  return worlds.flatMap((world) => {
    const ruling = set.rule(frameOf(world));
    const asked = cedar.statefulIsAuthorized({ ...requestOf(world), preparsedPolicySetId: "set" });
    counts.pairs++;
    if (asked.type === "failure") throw new Error(JSON.stringify([asked.errors, world]));
    const { decision, diagnostics } = asked.response;
    const errors = diagnostics.errors.map(({ policyId, error }) => ({ policyId, message: error.message }));
    if (errors.length > 0) counts.failing++;
    else if (decision === "allow") counts.allows++;
    else counts.denies++;
    const isSame = isSameRuling(ruling, { decision, reason: diagnostics.reason, errors });
    return isSame ? [] : [described({ written, world, ruling, asked })];
  });
}

function described(of: {
  readonly written: Readonly<Record<string, string>>;
  readonly world: World;
  readonly ruling: Ruling | Failing;
  readonly asked: unknown;
}): string {
  return `${Object.entries(of.written)
    .map(([id, text]) => `${id}: ${text}`)
    .join(
      "\n",
    )}\n${JSON.stringify(of.world)}\nclosures ${JSON.stringify(of.ruling)}\nevaluator ${JSON.stringify(of.asked)}`;
}

type Request = Omit<Parameters<Package["statefulIsAuthorized"]>[0], "preparsedPolicySetId">;

function requestOf({ principal, resource, action, context, attributes, parents }: World): Request {
  return {
    principal,
    resource,
    action: { type: "Action", id: action },
    context,
    validateRequest: false,
    entities: [
      { uid: principal, attrs: attributes.principal, parents: parents.principal },
      { uid: resource, attrs: attributes.resource, parents: parents.resource },
    ],
    // JSON of Cedar's own form; its declarations want mutable lists.
  } as unknown as Request;
}

function frameOf({ principal, resource, action, context, attributes, parents }: World): Frame {
  return {
    principal: {
      entity: new CedarEntity(principal),
      attributes: recordOf(attributes.principal),
      ancestors: parents.principal.map((one) => new CedarEntity(one)),
    },
    resource: {
      entity: new CedarEntity(resource),
      attributes: recordOf(attributes.resource),
      ancestors: parents.resource.map((one) => new CedarEntity(one)),
    },
    action: new CedarEntity({ type: "Action", id: action }),
    context: recordOf(context),
  };
}

function recordOf(values: Readonly<Record<string, Json>>): CedarRecord {
  return Object.fromEntries(Object.entries(values).map(([name, value]) => [name, cedarValue(value)]));
}

function cedarValue(json: Json): CedarValue {
  if (typeof json !== "object") return json;
  if (Array.isArray(json)) return json.map((one: Json) => cedarValue(one));
  const record = json as Readonly<Record<string, Json>>; // neither a scalar nor a list
  if ("__entity" in record) return new CedarEntity(record["__entity"] as unknown as CedarEntity);
  if (!("__extn" in record)) return recordOf(record);
  const { fn, arg } = record["__extn"] as unknown as { readonly fn: string; readonly arg: string };
  if (fn === "decimal") return new CedarDecimal(unitsOf(arg));
  const range = parseIpRange(arg);
  if (range === null) throw new Error(`${arg} is no range`);
  return new CedarIp(range);
}

function unitsOf(text: string): bigint {
  const [whole = "", part = ""] = text.split(".");
  const units = BigInt(whole.replace("-", "")) * 10_000n + BigInt(part.padEnd(4, "0"));
  return text.startsWith("-") ? -units : units;
}
