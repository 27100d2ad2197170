// Promises Cedar expressions as functions over a request, with Cedar's result; whatever is an error in Cedar throws `cedarError`, whose text nobody needs:
// the evaluator is asked for it. An expression with something unknown in it is not compiled at all. Trusts Cedar's own JSON form of a policy.
// Specified by the Cedar language reference; held against the evaluator by differential tests (closures.test.ts) and at load (compiled-set.ts).
import { isInRange, isLoopback, isMulticast, parseIpRange } from "./cedar-ip.ts";
import {
  CedarDecimal,
  CedarEntity,
  CedarIp,
  type CedarRecord,
  type CedarValue,
  calculate,
  includes,
  includesAll,
  includesAny,
  isLong,
  isRecord,
  isSame,
  isSameEntity,
  isSet,
  type Long,
} from "./cedar-values.ts";

/** One of the entities that a request is about. */
export interface KnownEntity {
  readonly entity: CedarEntity;
  readonly attributes: CedarRecord;
  /** What it is in, besides itself. */
  readonly ancestors: readonly CedarEntity[];
}

export interface Frame {
  readonly principal: KnownEntity;
  readonly resource: KnownEntity;
  /** Nothing is known of an action but its name. */
  readonly action: CedarEntity;
  readonly context: CedarRecord;
}

export type Closure = (frame: Frame) => CedarValue;

/** What every error is; without a stack, because most are thrown for a caller's input. */
export const cedarError = new (class CedarEvaluationError extends Error {
  override readonly name = "CedarEvaluationError";
})("the evaluation failed");
delete cedarError.stack;

/** Thrown while compiling: this expression is for the evaluator. */
export class NotCompiled extends Error {}

function fail(): never {
  throw cedarError;
}

function booleanOf(value: CedarValue): boolean {
  return typeof value === "boolean" ? value : fail();
}

function longValue(value: CedarValue): Long {
  return isLong(value) ? value : fail();
}

function setOf(value: CedarValue): readonly CedarValue[] {
  return isSet(value) ? value : fail();
}

function entityValue(value: CedarValue): CedarEntity {
  return value instanceof CedarEntity ? value : fail();
}

/** Compiles an expression of Cedar's JSON form. Throws NotCompiled. */
export function compileExpression(node: unknown): Closure {
  const [operator, ...more] = entriesOf(node);
  if (operator === undefined || more.length > 0) throw new NotCompiled("an expression of an unknown form");
  const [name, value] = operator;
  const make = Object.hasOwn(operators, name) ? operators[name] : undefined;
  if (make === undefined) throw new NotCompiled(`the operator ${name}`);
  return make(value);
}

function entriesOf(node: unknown): readonly (readonly [string, unknown])[] {
  return typeof node === "object" && node !== null && !Array.isArray(node) ? Object.entries(node) : [];
}

/** The members of an operand, which are exactly these. */
function membersOf(node: unknown, names: readonly string[]): readonly unknown[] {
  const found = new Map(entriesOf(node));
  if (found.size !== names.length || names.some((name) => !found.has(name)))
    throw new NotCompiled(`an operand that is not ${names.join(", ")}`);
  return names.map((name) => found.get(name));
}

function textOf(node: unknown): string {
  if (typeof node !== "string") throw new NotCompiled("something else than a text");
  return node;
}

const operators: Readonly<Record<string, (operand: unknown) => Closure>> = {
  Value: (operand) => {
    const value = literalOf(operand);
    return () => value;
  },
  Var: variable,
  "==": binary((one, other) => isSame(one, other)),
  "!=": binary((one, other) => !isSame(one, other)),
  "<": binary((one, other) => longValue(one) < longValue(other)),
  "<=": binary((one, other) => longValue(one) <= longValue(other)),
  ">": binary((one, other) => longValue(one) > longValue(other)),
  ">=": binary((one, other) => longValue(one) >= longValue(other)),
  "+": binary((one, other) => calculate("+", longValue(one), longValue(other)) ?? fail()),
  "-": binary((one, other) => calculate("-", longValue(one), longValue(other)) ?? fail()),
  "*": binary((one, other) => calculate("*", longValue(one), longValue(other)) ?? fail()),
  contains: binary((one, other) => includes(setOf(one), other)),
  containsAll: binary((one, other) => includesAll(setOf(one), setOf(other))),
  containsAny: binary((one, other) => includesAny(setOf(one), setOf(other))),
  isEmpty: unary((one) => setOf(one).length === 0),
  "!": unary((one) => !booleanOf(one)),
  neg: unary((one) => calculate("-", 0, longValue(one)) ?? fail()),
  "&&": (operand) => {
    const [left, right] = pairOf(operand);
    return (frame) => booleanOf(left(frame)) && booleanOf(right(frame));
  },
  "||": (operand) => {
    const [left, right] = pairOf(operand);
    return (frame) => booleanOf(left(frame)) || booleanOf(right(frame));
  },
  "if-then-else": (operand) => {
    const [condition, then, otherwise] = membersOf(operand, ["if", "then", "else"]).map(compileExpression);
    if (condition === undefined || then === undefined || otherwise === undefined) throw new NotCompiled("half an if");
    return (frame) => (booleanOf(condition(frame)) ? then(frame) : otherwise(frame));
  },
  Set: (operand) => {
    if (!Array.isArray(operand)) throw new NotCompiled("a set of an unknown form");
    const parts = operand.map(compileExpression);
    if (operand.every((one) => entriesOf(one)[0]?.[0] === "Value")) {
      const constant = parts.map((part) => part(nobody));
      return () => constant;
    }
    return (frame) => parts.map((part) => part(frame));
  },
  Record: (operand) => {
    const parts = entriesOf(operand).map(([name, node]) => [name, compileExpression(node)] as const);
    return (frame) => Object.fromEntries(parts.map(([name, part]) => [name, part(frame)]));
  },
  ".": attribute,
  has,
  in: (operand) => {
    const [left, right] = pairOf(operand);
    return (frame) => isIn(left(frame), right(frame), frame);
  },
  is,
  like,
  ip: (operand) => {
    const range = parseIpRange(constantText(operand));
    if (range === null) throw new NotCompiled("an address that only the evaluator may read");
    const value = new CedarIp(range);
    return () => value;
  },
  isIpv4: ipTest(({ range }) => range.bits === 32),
  isIpv6: ipTest(({ range }) => range.bits === 128),
  isLoopback: ipTest(({ range }) => isLoopback(range)),
  isMulticast: ipTest(({ range }) => isMulticast(range)),
  isInRange: method((one, other) => isInRange(ipOf(one).range, ipOf(other).range)),
  decimal: (operand) => {
    const value = new CedarDecimal(unitsOf(constantText(operand)));
    return () => value;
  },
  lessThan: method((one, other) => decimalOf(one) < decimalOf(other)),
  lessThanOrEqual: method((one, other) => decimalOf(one) <= decimalOf(other)),
  greaterThan: method((one, other) => decimalOf(one) > decimalOf(other)),
  greaterThanOrEqual: method((one, other) => decimalOf(one) >= decimalOf(other)),
};

/** For what is constant: it asks nothing of a request. */
const nobody: Frame = {
  principal: { entity: new CedarEntity({ type: "", id: "" }), attributes: {}, ancestors: [] },
  resource: { entity: new CedarEntity({ type: "", id: "" }), attributes: {}, ancestors: [] },
  action: new CedarEntity({ type: "", id: "" }),
  context: {},
};

function literalOf(node: unknown): CedarValue {
  if (typeof node === "boolean" || typeof node === "string") return node;
  // Beyond that the digits of the literal are lost already.
  if (typeof node === "number" && Number.isSafeInteger(node)) return node === 0 ? 0 : node;
  const [[name, value] = ["", undefined], ...more] = entriesOf(node);
  if (name !== "__entity" || more.length > 0) throw new NotCompiled("a literal of an unknown form");
  const [type, id] = membersOf(value, ["type", "id"]);
  return new CedarEntity({ type: textOf(type), id: textOf(id) });
}

function variable(operand: unknown): Closure {
  switch (operand) {
    case "principal":
      return (frame) => frame.principal.entity;
    case "resource":
      return (frame) => frame.resource.entity;
    case "action":
      return (frame) => frame.action;
    case "context":
      return (frame) => frame.context;
    default:
      throw new NotCompiled(`the variable ${String(operand)}`);
  }
}

function pairOf(operand: unknown): readonly [Closure, Closure] {
  const [left, right] = membersOf(operand, ["left", "right"]);
  return [compileExpression(left), compileExpression(right)];
}

function binary(over: (one: CedarValue, other: CedarValue) => CedarValue): (operand: unknown) => Closure {
  return (operand) => {
    const [left, right] = pairOf(operand);
    return (frame) => over(left(frame), right(frame));
  };
}

function unary(over: (one: CedarValue) => CedarValue): (operand: unknown) => Closure {
  return (operand) => {
    const [arg] = membersOf(operand, ["arg"]);
    const inner = compileExpression(arg);
    return (frame) => over(inner(frame));
  };
}

/** A function of an extension: its operands stand in a list. */
function method(over: (one: CedarValue, other: CedarValue) => CedarValue): (operand: unknown) => Closure {
  return (operand) => {
    if (!Array.isArray(operand) || operand.length !== 2) throw new NotCompiled("a call of an unknown form");
    const [left, right] = operand.map(compileExpression);
    if (left === undefined || right === undefined) throw new NotCompiled("half a call");
    return (frame) => over(left(frame), right(frame));
  };
}

function ipTest(over: (one: CedarIp) => boolean): (operand: unknown) => Closure {
  return (operand) => {
    if (!Array.isArray(operand) || operand.length !== 1) throw new NotCompiled("a call of an unknown form");
    const inner = compileExpression(operand[0]);
    return (frame) => over(ipOf(inner(frame)));
  };
}

function ipOf(value: CedarValue): CedarIp {
  return value instanceof CedarIp ? value : fail();
}

function decimalOf(value: CedarValue): bigint {
  return value instanceof CedarDecimal ? value.units : fail();
}

/** What a constructor of an extension is called with; only a literal is compiled. */
function constantText(operand: unknown): string {
  const [only] = Array.isArray(operand) && operand.length === 1 ? entriesOf(operand[0]) : [];
  if (only?.[0] !== "Value") throw new NotCompiled("a constructor whose text is not a literal");
  return textOf(only[1]);
}

function unitsOf(text: string): bigint {
  const found = /^(-?)(\d{1,15})\.(\d{1,4})$/.exec(text);
  if (found === null) throw new NotCompiled("a decimal that only the evaluator may read");
  const [, sign, whole = "", part = ""] = found;
  const units = BigInt(whole) * 10_000n + BigInt(part.padEnd(4, "0"));
  return sign === "-" ? -units : units;
}

function knownAs(entity: CedarEntity, frame: Frame): KnownEntity | null {
  if (isSameEntity(entity, frame.principal.entity)) return frame.principal;
  return isSameEntity(entity, frame.resource.entity) ? frame.resource : null;
}

function attribute(operand: unknown): Closure {
  const [left, name] = membersOf(operand, ["left", "attr"]);
  const [inner, wanted] = [compileExpression(left), textOf(name)];
  return (frame) => {
    const value = inner(frame);
    const of = value instanceof CedarEntity ? knownAs(value, frame)?.attributes : value;
    if (of === undefined || !isRecord(of) || !Object.hasOwn(of, wanted)) return fail();
    return of[wanted] ?? fail();
  };
}

function hasAttribute(value: CedarValue, name: string, frame: Frame): boolean {
  const of = value instanceof CedarEntity ? (knownAs(value, frame)?.attributes ?? {}) : value;
  return isRecord(of) ? Object.hasOwn(of, name) : fail();
}

/** `context has a.b` asks for `a` first, and for `b` of it only where it is there. */
function has(operand: unknown): Closure {
  const [left, attr] = membersOf(operand, ["left", "attr"]);
  const inner = compileExpression(left);
  const names = (Array.isArray(attr) ? attr : [attr]).map(textOf);
  const [only, ...more] = names;
  if (only === undefined) throw new NotCompiled("a has without a name");
  if (more.length === 0) return (frame) => hasAttribute(inner(frame), only, frame);
  return (frame) => {
    let value = inner(frame);
    for (const [at, name] of names.entries()) {
      if (!hasAttribute(value, name, frame)) return false;
      if (at === names.length - 1) break;
      const of = value instanceof CedarEntity ? knownAs(value, frame)?.attributes : value;
      value = (of !== undefined && isRecord(of) ? of[name] : undefined) ?? fail();
    }
    return true;
  };
}

function isIn(left: CedarValue, right: CedarValue, frame: Frame): boolean {
  const entity = entityValue(left);
  const isUnder = (other: CedarEntity) =>
    isSameEntity(entity, other) ||
    (knownAs(entity, frame)?.ancestors.some((ancestor) => isSameEntity(ancestor, other)) ?? false);
  // Every member has to be an entity, also behind one that it is in.
  return isSet(right) ? right.map(entityValue).some(isUnder) : isUnder(entityValue(right));
}

function is(operand: unknown): Closure {
  const withIn = entriesOf(operand).some(([name]) => name === "in");
  const [left, type, within] = membersOf(operand, ["left", "entity_type", ...(withIn ? ["in"] : [])]);
  const [inner, wanted] = [compileExpression(left), textOf(type)];
  if (!withIn) return (frame) => entityValue(inner(frame)).type === wanted;
  const outer = compileExpression(within);
  return (frame) => {
    const entity = entityValue(inner(frame));
    return entity.type === wanted && isIn(entity, outer(frame), frame);
  };
}

function like(operand: unknown): Closure {
  const [left, pattern] = membersOf(operand, ["left", "pattern"]);
  if (!Array.isArray(pattern)) throw new NotCompiled("a pattern of an unknown form");
  const inner = compileExpression(left);
  const pieces = piecesOf(pattern);
  return (frame) => {
    const text = inner(frame);
    return typeof text === "string" ? isLike(text, pieces) : fail();
  };
}

/** Literal texts between wildcards. */
function piecesOf(pattern: readonly unknown[]): readonly string[] {
  const pieces = [""];
  for (const part of pattern) {
    if (part === "Wildcard") pieces.push("");
    else pieces.push(`${pieces.pop()}${textOf(membersOf(part, ["Literal"])[0])}`);
  }
  return pieces;
}

/** Each piece at its first place behind the one before; the first and the last stand at the ends. */
function isLike(text: string, pieces: readonly string[]): boolean {
  const [first = "", ...rest] = pieces;
  const last = rest.pop();
  if (last === undefined) return text === first;
  if (!text.startsWith(first)) return false;
  let at = first.length;
  for (const piece of rest) {
    const found = text.indexOf(piece, at);
    if (found === -1) return false;
    at = found + piece.length;
  }
  return text.length - last.length >= at && text.endsWith(last);
}
