// Promises at least every attribute that a set of policies can read: reading one too many costs memory, one too few would be a wrong answer.
// Trusts Cedar's JSON form of a policy. Specified in docs/policy.md, section on memoisation.
import type { PolicyJson } from "@cedar-policy/cedar-wasm/nodejs";
import type { PolicySlice } from "./port.ts";

export type Reads = PolicySlice["reads"];

interface Found {
  readonly principal: Set<string>;
  readonly resource: Set<string>;
  readonly context: Set<string>;
  /** An attribute was taken from something else than a plain variable: anything may have been read. */
  everything: boolean;
}

/** Every attribute name that the policies spell, of plain variables. */
export function namesRead(policies: readonly PolicyJson[]): Readonly<Record<keyof Reads, ReadonlySet<string>>> {
  return gather(policies);
}

/** Attributes that the policies may read, out of those that the schema declares; sorted. */
export function readsOf(policies: readonly PolicyJson[], declared: Reads): Reads {
  const found = gather(policies);
  const pick = (area: "principal" | "resource" | "context") =>
    declared[area].filter((name) => found.everything || found[area].has(name)).toSorted();
  return { principal: pick("principal"), resource: pick("resource"), context: pick("context") };
}

function gather(policies: readonly PolicyJson[]): Found {
  const found: Found = { principal: new Set(), resource: new Set(), context: new Set(), everything: false };
  for (const policy of policies) {
    const pending: unknown[] = policy.conditions.map((clause) => clause.body);
    // Bounded by the size of the policy; a list instead of recursion, so that deep nesting cannot exhaust the stack.
    while (pending.length > 0) visit(pending.pop(), found, pending);
  }
  return found;
}

function visit(node: unknown, found: Found, pending: unknown[]): void {
  if (Array.isArray(node)) pending.push(...node);
  if (typeof node !== "object" || node === null || Array.isArray(node)) return;
  for (const [operator, operand] of Object.entries(node)) {
    // Literals hold no variables. A record literal may have a key of any name, also "Value" or ".": its values are visited as expressions.
    if (operator === "Value") continue;
    if (operator === "Record" && typeof operand === "object" && operand !== null)
      pending.push(...Object.values(operand));
    else if (operator === "Var") bareVariable(operand, found);
    else if (operator === "." || operator === "has") attributeOf(operand, found, pending);
    else pending.push(...(typeof operand === "object" && operand !== null ? Object.values(operand) : []));
  }
}

/** `principal == x` compares identities and reads no attribute; `context` on its own is the whole record. */
function bareVariable(name: unknown, found: Found): void {
  if (name === "context") found.everything = true;
}

function attributeOf(operand: unknown, found: Found, pending: unknown[]): void {
  // The operand of "." and "has" is { left, attr } in Cedar's JSON form.
  const { left, attr } = operand as { left: unknown; attr: unknown };
  const first = Array.isArray(attr) ? attr[0] : attr;
  const variable = typeof left === "object" && left !== null && "Var" in left ? left.Var : undefined;
  if (typeof first === "string" && (variable === "principal" || variable === "resource" || variable === "context")) {
    found[variable].add(first);
    return;
  }
  // `(if a then principal else resource).team`, `{ x: principal }.x.team`: we do not follow values around.
  if (variable === undefined && !isAttributeOfContext(left)) found.everything = true;
  pending.push(left);
}

/** `context.a.b`: the outer step reads nothing that `context.a` does not. */
function isAttributeOfContext(node: unknown): boolean {
  if (typeof node !== "object" || node === null || !("." in node)) return false;
  const inner = node["."];
  if (typeof inner !== "object" || inner === null || !("left" in inner)) return false;
  const { left } = inner;
  return typeof left === "object" && left !== null && "Var" in left && left.Var === "context";
}
