// Promises the answer of Cedar over a set of policies without asking it: decision and determining policies, or the word that something failed, for which
// the evaluator is asked. Pure. Trusts closures.ts for expressions and Cedar's own JSON form of policies. Specified by the Cedar language reference
// (authorization: a forbid that applies wins; a policy that fails is skipped).
import type { PolicyJson } from "@cedar-policy/cedar-wasm/nodejs";
import { CedarEntity, type CedarValue, isSameEntity } from "./cedar-values.ts";
import { type Closure, cedarError, compileExpression, type Frame, type KnownEntity, NotCompiled } from "./closures.ts";
import { entityOf } from "./policy-text.ts";

type Test = (frame: Frame) => boolean;

interface CompiledPolicy {
  readonly id: string;
  readonly isForbid: boolean;
  readonly scope: readonly Test[];
  readonly conditions: readonly { readonly body: Closure; readonly wanted: boolean }[];
}

export interface Ruling {
  readonly decision: "allow" | "deny";
  /** Ids of the permits of an allow, of the forbids of a deny. */
  readonly reason: string[];
}

/** Which policies failed. */
export interface Failing {
  readonly failed: readonly string[];
}

export class CompiledSet {
  readonly #policies: readonly CompiledPolicy[];

  private constructor(policies: readonly CompiledPolicy[]) {
    this.#policies = policies;
  }

  /** Why not, where any policy holds something that is not compiled: then the evaluator decides over all of them. */
  static compile(policies: Readonly<Record<string, PolicyJson>>): CompiledSet | string {
    try {
      return new CompiledSet(Object.entries(policies).map(([id, json]) => compilePolicy(id, json)));
    } catch (error) {
      if (error instanceof NotCompiled) return error.message;
      throw error;
    }
  }

  rule(frame: Frame): Ruling | Failing {
    const permits: string[] = [];
    const forbids: string[] = [];
    let failed: string[] | null = null;
    for (const policy of this.#policies) {
      try {
        if (applies(policy, frame)) (policy.isForbid ? forbids : permits).push(policy.id);
      } catch (error) {
        if (error !== cedarError) throw error;
        failed ??= [];
        failed.push(policy.id);
      }
    }
    if (failed !== null) return { failed };
    if (forbids.length > 0) return { decision: "deny", reason: forbids };
    return { decision: permits.length > 0 ? "allow" : "deny", reason: permits };
  }
}

function applies({ scope, conditions }: CompiledPolicy, frame: Frame): boolean {
  for (const test of scope) if (!test(frame)) return false;
  for (const { body, wanted } of conditions) {
    const value: CedarValue = body(frame);
    if (typeof value !== "boolean") throw cedarError;
    if (value !== wanted) return false;
  }
  return true;
}

function compilePolicy(id: string, json: PolicyJson): CompiledPolicy {
  const { effect, principal, action, resource, conditions } = json;
  if (effect !== "permit" && effect !== "forbid") throw new NotCompiled("an effect that is neither");
  return {
    id,
    isForbid: effect === "forbid",
    scope: [
      ...scopeTest(principal, (frame) => frame.principal),
      ...actionTest(action),
      ...scopeTest(resource, (frame) => frame.resource),
    ],
    conditions: conditions.map(({ kind, body }) => {
      if (kind !== "when" && kind !== "unless") throw new NotCompiled("a condition of an unknown kind");
      return { body: compileExpression(body), wanted: kind === "when" };
    }),
  };
}

function isUnder({ entity, ancestors }: KnownEntity, other: CedarEntity): boolean {
  return isSameEntity(entity, other) || ancestors.some((one) => isSameEntity(one, other));
}

function scopeTest(
  scope: PolicyJson["principal"] | PolicyJson["resource"],
  of: (frame: Frame) => KnownEntity,
): readonly Test[] {
  if (scope.op === "All") return [];
  if (scope.op === "is") {
    const { entity_type: type } = scope;
    const within = scope.in;
    if (within !== undefined && !("entity" in within)) throw new NotCompiled("a slot");
    const other = within === undefined ? null : new CedarEntity(entityOf(within.entity));
    return [(frame) => of(frame).entity.type === type && (other === null || isUnder(of(frame), other))];
  }
  if (!("entity" in scope)) throw new NotCompiled("a slot");
  const other = new CedarEntity(entityOf(scope.entity));
  if (scope.op === "==") return [(frame) => isSameEntity(of(frame).entity, other)];
  if (scope.op === "in") return [(frame) => isUnder(of(frame), other)];
  throw new NotCompiled("a scope of an unknown form");
}

/** Actions have no hierarchy here: none is in another one. */
function actionTest(scope: PolicyJson["action"]): readonly Test[] {
  if (scope.op === "All") return [];
  const listed = "entities" in scope ? scope.entities : "entity" in scope ? [scope.entity] : null;
  if (listed === null || (scope.op !== "==" && scope.op !== "in")) throw new NotCompiled("a scope of an unknown form");
  const named = listed.map((one) => new CedarEntity(entityOf(one)));
  return [(frame) => named.some((one) => isSameEntity(frame.action, one))];
}
