// Promises that a request fits the slice's schema before Cedar or the memo sees it, and a memo key that two different requests never share.
// Trusts the shapes of the slice; values come from callers. Specified in docs/policy.md.
import { isIP } from "node:net";
import type { Scalar } from "@sallyport/protocol/snapshot/objects.ts";
import type { CrossingContext, DecisionInputs, TokenContext } from "./port.ts";
import type { Reads } from "./reads.ts";
import type { Shape, ShapeType, SliceShapes } from "./slice-schema.ts";

/** Longest text of one attribute, in UTF-16 units. */
export const attributeTextMax = 16 * 1024;
export const scopesMax = 256;
/** Operations of one integration may be many more than the scopes of one token. */
export const operationsMax = 4_096;

type Value = Scalar | readonly string[];

/** Why the request does not fit, for operators, without its values; undefined when it fits. */
export function misfit(
  shapes: SliceShapes,
  inputs: DecisionInputs<CrossingContext | TokenContext>,
  /** Names that the context may have: those of policies in shadow are in it too. */
  declared: Shape = shapes.context,
): string | undefined {
  return (
    misfitText("principal id", inputs.principal.id) ??
    misfitRecord("principal", shapes.principal, inputs.principal.attributes) ??
    misfitRecord("resource", shapes.resource, inputs.resource.attributes) ??
    undeclared("resource", shapes.resource, inputs.resource.attributes) ??
    // Its fields are exactly those of contextShape, each a Value or absent.
    misfitRecord("context", shapes.context, inputs.context as unknown as Readonly<Record<string, Value>>) ??
    undeclared("context", declared, inputs.context)
  );
}

/** Attributes of the principal come from configuration and may be more than a slice declares; callers have a hand in all others. */
function undeclared(area: string, shape: Shape, values: object): string | undefined {
  // Once per decision and area: names alone, because a list of pairs would be made and thrown away each time.
  for (const name of Object.keys(values)) {
    if (Object.hasOwn(shape, name)) continue;
    const value: unknown = Reflect.get(values, name);
    if (value !== undefined) return `${area}.${name} is not declared`;
  }
  return undefined;
}

function misfitRecord(
  area: string,
  shape: Shape,
  values: Readonly<Record<string, Value | undefined>>,
): string | undefined {
  for (const name in shape) {
    const declared = shape[name];
    const value = Object.hasOwn(values, name) ? values[name] : undefined;
    if (declared === undefined) continue;
    if (value === undefined) {
      if (declared.required) return `${area}.${name} is missing`;
      continue;
    }
    const wrong = misfitValue(declared.type, value, name === "operations" ? operationsMax : scopesMax);
    if (wrong !== undefined) return `${area}.${name} ${wrong}`;
  }
  return undefined;
}

function misfitValue(type: ShapeType, value: Value, entriesMax: number): string | undefined {
  switch (type) {
    case "boolean":
      return typeof value === "boolean" ? undefined : "is not a boolean";
    case "long":
      // Cedar's Long is 64 bits wide, but beyond 2^53 a JavaScript number has already lost the caller's digits.
      return Number.isSafeInteger(value) ? undefined : "is not a whole number within ±(2^53 - 1)";
    case "string":
      return typeof value === "string" ? misfitText("", value)?.trimStart() : "is not a string";
    case "strings":
      if (!Array.isArray(value)) return "is not a list of strings";
      if (value.length > entriesMax) return `has more than ${entriesMax} entries`;
      return value.every((entry) => typeof entry === "string" && misfitText("", entry) === undefined)
        ? undefined
        : "is not a list of strings";
    case "address":
      // With a zone (`fe80::1%eth0`) it is no address that Cedar knows.
      return typeof value === "string" && isIP(value) !== 0 && !value.includes("%")
        ? undefined
        : "is not an IP address";
    default:
      return "has an unknown type";
  }
}

function misfitText(what: string, text: unknown): string | undefined {
  if (typeof text !== "string") return `${what} is not a string`;
  if (text.length > attributeTextMax) return `${what} is longer than ${attributeTextMax} characters`;
  return text.isWellFormed() ? undefined : `${what} is not well-formed Unicode`;
}

export interface Projection {
  readonly principal: Readonly<Record<string, Value>>;
  readonly resource: Readonly<Record<string, Value>>;
  readonly context: Readonly<Record<string, Value>>;
}

/** Only what the policies read enters the evaluation, so that the memo key and the evaluation cannot disagree. */
export function project(reads: Reads, inputs: DecisionInputs<CrossingContext | TokenContext>): Projection {
  return {
    principal: picked(reads.principal, inputs.principal.attributes),
    resource: picked(reads.resource, inputs.resource.attributes),
    // See misfit: the fields of the context are Values.
    context: picked(reads.context, inputs.context as unknown as Readonly<Record<string, Value>>),
  };
}

function picked(
  names: readonly string[],
  values: Readonly<Record<string, Value | undefined>>,
): Readonly<Record<string, Value>> {
  const out: Record<string, Value> = {};
  for (const name of names) {
    const value = Object.hasOwn(values, name) ? values[name] : undefined;
    // Cedar's sets have no order and no doubles; sorting gives equal sets equal keys.
    if (value !== undefined) out[name] = typeof value === "object" ? [...new Set(value)].sort() : value;
  }
  return out;
}

/** Injective over everything that enters the evaluation: each text is preceded by its length, each value by its type. */
export function memoKey(reads: Reads, principalId: string, projection: Projection): string {
  let key = keyed(principalId);
  for (const name of reads.principal) key += keyed(projection.principal[name]);
  for (const name of reads.resource) key += keyed(projection.resource[name]);
  for (const name of reads.context) key += keyed(projection.context[name]);
  return key;
}

function keyed(value: Value | undefined): string {
  if (value === undefined) return "-";
  if (typeof value === "string") return `s${value.length}:${value}`;
  if (typeof value === "number") return `i${value};`;
  if (typeof value === "boolean") return value ? "t" : "f";
  return `l${value.length}:${value.map(keyed).join("")}`;
}
