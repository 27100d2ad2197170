// Promises which places of a JSON value a schema declares and does not label as something to drop, as a small machine that a gateway walks without
// knowing schemas. What cannot be told is dropped. Pure. Trusts body-schema.ts to have accepted the schema. Specified in docs/payloads.md "What is kept".
import {
  type DataClass,
  droppedNode,
  type Projection,
  type ProjectionNode,
} from "@sallyport/protocol/snapshot/objects.ts";
import { declaresScalar, mapOf, type Schema, schemaOf, together } from "./schema-place.ts";

export type Projecting = { readonly projection: Projection } | { readonly message: string; readonly fix: string };

/** Places told apart in one schema. */
const nodesMax = 2_048;

/** What `schema` declares, less the fields of these classes. */
export function projectSchema(schema: unknown, dropped: ReadonlySet<DataClass>): Projecting {
  const projecting = new Projecter(schema, dropped);
  const root = projecting.nodeOf([schema]);
  if (root === droppedNode || projecting.overflowed)
    return projecting.overflowed
      ? { message: `the schema has more than ${nodesMax} places`, fix: "describe what is kept in a smaller schema" }
      : { message: "everything in it would be dropped", fix: "drop fewer classes, or do not keep it" };
  return { projection: projecting.nodes };
}

class Projecter {
  readonly nodes: ProjectionNode[] = [];
  overflowed = false;
  readonly #root: unknown;
  readonly #dropped: ReadonlySet<DataClass>;
  /** Numbers of subschemas, by identity. */
  readonly #numbers = new Map<object, number>();
  /** Node by the subschemas that are that place. */
  readonly #known = new Map<string, number>();

  constructor(root: unknown, dropped: ReadonlySet<DataClass>) {
    this.#root = root;
    this.#dropped = dropped;
  }

  /** Index of the place that all of these subschemas are about. A schema that leads back to itself finds its own number. */
  nodeOf(schemas: readonly unknown[]): number {
    const all = together(this.#root, schemas);
    if (all === null || all.some((one) => this.#isDropped(one))) return droppedNode;
    const key = all
      .map((one) => this.#numberOf(one))
      .sort((a, b) => a - b)
      .join(" ");
    const known = this.#known.get(key);
    if (known !== undefined) return known;
    if (this.nodes.length >= nodesMax) {
      this.overflowed = true;
      return droppedNode;
    }
    const index = this.nodes.push({}) - 1;
    this.#known.set(key, index);
    this.nodes[index] = {
      ...this.#members(all),
      ...this.#items(all),
      ...(declaresScalar(all) ? {} : { scalar: false as const }),
    };
    return index;
  }

  #members(all: readonly Schema[]): ProjectionNode {
    const names = new Set(all.flatMap((one) => Object.keys(mapOf(one["properties"]))));
    const patterned = all.flatMap((one) => Object.values(mapOf(one["patternProperties"])));
    const others = all.flatMap((one) => schemaOf(one["additionalProperties"]));
    // Which pattern a name matches is not asked: labels of any of them count.
    const members: Record<string, number> = {};
    for (const name of [...names].sort()) {
      const own = all.flatMap((one) =>
        Object.hasOwn(mapOf(one["properties"]), name) ? [mapOf(one["properties"])[name]] : [],
      );
      const elsewhere = all.flatMap((one) =>
        Object.hasOwn(mapOf(one["properties"]), name) ? [] : schemaOf(one["additionalProperties"]),
      );
      members[name] = this.nodeOf([...own, ...patterned, ...elsewhere]);
    }
    // Any other name is declared only where every other name is, or none but those of the patterns may stand.
    const declaresOthers = others.length > 0 || all.some(isClosedByPatterns);
    const rest = declaresOthers ? this.nodeOf([...patterned, ...others]) : droppedNode;
    return {
      ...(names.size === 0 ? {} : { members }),
      ...(rest === droppedNode ? {} : { rest }),
    };
  }

  #items(all: readonly Schema[]): ProjectionNode {
    // Of a tuple each item is another place.
    if (all.some((one) => Object.hasOwn(one, "prefixItems"))) return {};
    const declared = all.flatMap((one) => schemaOf(one["items"]));
    if (declared.length === 0) return {};
    const items = this.nodeOf([...declared, ...all.flatMap((one) => schemaOf(one["contains"]))]);
    return items === droppedNode ? {} : { items };
  }

  #isDropped(schema: Schema): boolean {
    const label = schema["x-data-class"];
    const labels: readonly unknown[] = Array.isArray(label) ? label : [label];
    return labels.some((one) => this.#dropped.has(one as DataClass)); // a set answers no for whatever else it is
  }

  #numberOf(schema: object): number {
    const known = this.#numbers.get(schema) ?? this.#numbers.size;
    this.#numbers.set(schema, known);
    return known;
  }
}

function isClosedByPatterns(schema: Schema): boolean {
  return schema["additionalProperties"] === false && Object.keys(mapOf(schema["patternProperties"])).length > 0;
}
