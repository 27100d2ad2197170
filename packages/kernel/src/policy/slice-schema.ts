// Promises the Cedar schema of exactly one action, made from what the operation and its granted callers declare.
// Trusts declared types, not values. Specified by Cedar's JSON schema format and docs/policy.md.
import type { Scalar } from "@sallyport/protocol/snapshot/objects.ts";
import type { AttributeType } from "./port.ts";
import type { Reads } from "./reads.ts";

export interface Caller {
  /** Id of the consuming system. */
  readonly id: string;
  readonly attributes: Readonly<Record<string, Scalar>>;
}

/** A record of the schema: attribute name -> type and whether each request must carry it. */
export type Shape = Readonly<Record<string, { readonly type: ShapeType; readonly required: boolean }>>;
export type ShapeType = AttributeType | "strings" | "address";

export interface SliceShapes {
  readonly principal: Shape;
  readonly resource: Shape;
  readonly context: Shape;
}

/** The context of a crossing as policies see it (DecisionInputs.context). */
export const contextShape: Shape = {
  integration: { type: "string", required: true },
  environment: { type: "string", required: true },
  zone: { type: "string", required: true },
  proof: { type: "string", required: true },
  scopes: { type: "strings", required: true },
  issuer: { type: "string", required: false },
  subject: { type: "string", required: false },
  acr: { type: "string", required: false },
  authTime: { type: "long", required: false },
  stalenessMs: { type: "long", required: true },
};

const attributeNameForm = /^[A-Za-z][A-Za-z0-9_-]{0,63}$/;

/** May an attribute have this name? Cedar keywords and names with a meaning in its JSON forms are excluded. */
export function isAttributeName(name: string): boolean {
  return attributeNameForm.test(name);
}

/** The attribute type of a configured value; undefined for a number that is not an exact integer. */
export function attributeTypeOf(value: Scalar): AttributeType | undefined {
  if (typeof value === "string") return "string";
  if (typeof value === "boolean") return "boolean";
  return Number.isSafeInteger(value) ? "long" : undefined;
}

/**
 * Attributes of all granted callers together: required where each has it, else optional. A name that two callers use with
 * two types is left out and returned in `conflicts`: a policy that reads it cannot mean both.
 */
export function principalShape(callers: readonly Caller[]): {
  readonly shape: Shape;
  readonly conflicts: readonly string[];
} {
  const types = new Map<string, { type: AttributeType; count: number }>();
  const conflicts = new Set<string>();
  for (const caller of callers) {
    for (const [name, value] of Object.entries(caller.attributes)) {
      const type = attributeTypeOf(value);
      const known = types.get(name);
      if (type === undefined || !isAttributeName(name) || (known !== undefined && known.type !== type))
        conflicts.add(name);
      else types.set(name, { type, count: (known?.count ?? 0) + 1 });
    }
  }
  const declared = [...types].filter(([name]) => !conflicts.has(name)).toSorted(([a], [b]) => (a < b ? -1 : 1));
  const shape = Object.fromEntries(
    declared.map(([name, { type, count }]) => [name, { type, required: count === callers.length }]),
  );
  return { shape, conflicts: [...conflicts].toSorted() };
}

export function resourceShape(attributes: Readonly<Record<string, AttributeType>>): Shape {
  const declared = Object.entries(attributes).toSorted(([a], [b]) => (a < b ? -1 : 1));
  return Object.fromEntries(declared.map(([name, type]) => [name, { type, required: true }]));
}

export function declaredNames(shapes: SliceShapes): Reads {
  return {
    principal: Object.keys(shapes.principal),
    resource: Object.keys(shapes.resource),
    context: Object.keys(shapes.context),
  };
}

const cedarTypes = {
  string: { type: "String" },
  long: { type: "Long" },
  boolean: { type: "Boolean" },
  strings: { type: "Set", element: { type: "String" } },
  address: { type: "Extension", name: "ipaddr" },
} as const;

interface CedarRecord {
  readonly type: "Record";
  readonly attributes: Readonly<Record<string, { readonly type: string; readonly required: boolean }>>;
}

function cedarRecord(shape: Shape): CedarRecord {
  const attributes = Object.entries(shape).map(([name, { type, required }]) => [
    name,
    { ...cedarTypes[type], required },
  ]);
  return { type: "Record", attributes: Object.fromEntries(attributes) };
}

/**
 * Cedar JSON schema with `action` alone. Other actions that the policies mention are declared by name with nothing they could
 * apply to: the validator then knows them without checking a policy against objects of other operations.
 */
export function sliceSchema(action: string, shapes: SliceShapes, mentioned: Iterable<string>): unknown {
  const others = [...mentioned].filter((name) => name !== action).toSorted();
  const nothing = { appliesTo: { principalTypes: [], resourceTypes: [] } };
  const appliesTo = { principalTypes: ["Workload"], resourceTypes: ["Resource"], context: cedarRecord(shapes.context) };
  return {
    "": {
      entityTypes: {
        System: {},
        Workload: { memberOfTypes: ["System"], shape: cedarRecord(shapes.principal) },
        Resource: { memberOfTypes: ["System"], shape: cedarRecord(shapes.resource) },
      },
      actions: Object.fromEntries([...others.map((name) => [name, nothing]), [action, { appliesTo }]]),
    },
  };
}

/** The shapes back from a schema that `sliceSchema` made; throws when it is not one. */
export function shapesOf(schema: unknown, action: string): SliceShapes {
  // A slice arrives as JSON in a signed snapshot; each step is checked on the way down.
  const top = step(schema, "");
  const types = step(top, "entityTypes");
  return {
    principal: shapeFrom(step(step(types, "Workload"), "shape")),
    resource: shapeFrom(step(step(types, "Resource"), "shape")),
    context: shapeFrom(step(step(step(step(top, "actions"), action), "appliesTo"), "context")),
  };
}

function step(value: unknown, key: string): unknown {
  if (typeof value !== "object" || value === null || !Object.hasOwn(value, key))
    throw new Error(`the slice's schema has no ${JSON.stringify(key)}`);
  // hasOwn above makes the key present; its value stays unknown.
  return (value as Record<string, unknown>)[key];
}

const typesByCedarName: ReadonlyMap<unknown, ShapeType> = new Map<unknown, ShapeType>([
  ["String", "string"],
  ["Long", "long"],
  ["Boolean", "boolean"],
  ["Set", "strings"],
  ["Extension", "address"],
]);

function shapeFrom(record: unknown): Shape {
  const attributes = step(record, "attributes");
  const names = Object.keys(attributes ?? {});
  const entries = names.map((name) => {
    const attribute = step(attributes, name);
    const type = typesByCedarName.get(step(attribute, "type"));
    if (type === undefined)
      throw new Error(`the slice's schema gives ${JSON.stringify(name)} a type that is not used here`);
    return [name, { type, required: step(attribute, "required") === true }] as const;
  });
  return Object.fromEntries(entries);
}
