// Promises the data classes that schemas label at each place of a JSON value, as a small machine that a gateway walks without knowing schemas.
// What may be labelled is: branches, conditions and patterns all count. Pure. Trusts body-schema.ts to have accepted the schemas.
// Specified in docs/inspection.md "Labels".
import { foldCase } from "@sallyport/protocol/snapshot/fold-case.ts";
import type { DataClass } from "@sallyport/protocol/snapshot/objects.ts";
import type { LabelNode } from "@sallyport/protocol/snapshot/response-rule.ts";
import { dataClasses } from "./data-classes.ts";
import { declaresScalar, isObject, mapOf, type Schema, schemaOf, together } from "./schema-place.ts";

export type Labelling = { readonly labels: readonly LabelNode[] } | { readonly message: string; readonly fix: string };

/** Places told apart in one machine. */
const nodesMax = 2_048;

/** A subschema, and the schema that its references lead into. */
interface Within {
  readonly root: unknown;
  readonly schema: unknown;
}

/** What these schemas together say of one answer: which of them holds is not asked, so the labels of all do. */
export function labelSchemas(roots: readonly unknown[]): Labelling {
  const labeller = new Labeller();
  labeller.nodeOf(roots.map((root) => ({ root, schema: root })));
  if (labeller.overflowed)
    return { message: `the schemas have more than ${nodesMax} places`, fix: "describe the answer in a smaller schema" };
  if (labeller.untold)
    return {
      message: "labels stand in a schema with references that cannot be followed",
      fix: "refer to `#/$defs/<name>` in place of `$dynamicRef`, `$anchor` and `$id`",
    };
  return { labels: labeller.nodes };
}

class Labeller {
  readonly nodes: LabelNode[] = [];
  overflowed = false;
  untold = false;
  /** Numbers of subschemas, by identity. */
  readonly #numbers = new Map<object, number>();
  /** Node by the subschemas that are that place. */
  readonly #known = new Map<string, number>();

  /** Index of the place that all of these subschemas are about. A schema that leads back to itself finds its own number. */
  nodeOf(all: readonly Within[]): number {
    const applied = this.#applied(all);
    const key = applied
      .map(({ schema }) => this.#numberOf(schema))
      .sort((a, b) => a - b)
      .join(" ");
    const known = this.#known.get(key);
    if (known !== undefined) return known;
    if (this.nodes.length >= nodesMax) {
      this.overflowed = true;
      return 0;
    }
    const index = this.nodes.push({}) - 1;
    this.#known.set(key, index);
    const classes = classesOf(applied.map(({ schema }) => schema));
    this.nodes[index] = {
      ...(classes.length === 0 ? {} : { classes }),
      ...this.#members(applied),
      ...this.#items(applied),
      ...(declaresScalar(applied.map(({ schema }) => schema)) ? {} : { scalar: false as const }),
    };
    return index;
  }

  #members(all: readonly Applied[]): LabelNode {
    const patterned = all.flatMap((one) => inside(one, Object.values(mapOf(one.schema["patternProperties"]))));
    const others = all.flatMap((one) => inside(one, othersOf(one.schema)));
    const byName = new Map<string, Within[]>();
    for (const one of all)
      for (const [name, schema] of Object.entries(mapOf(one.schema["properties"])))
        byName.set(foldCase(name), [...(byName.get(foldCase(name)) ?? []), { root: one.root, schema }]);
    const members: Record<string, number> = {};
    // A name of one branch is, in another, any other name.
    for (const name of [...byName.keys()].sort())
      members[name] = this.nodeOf([...(byName.get(name) ?? []), ...patterned, ...others]);
    const rest = [...patterned, ...others];
    return {
      ...(byName.size === 0 ? {} : { members }),
      ...(rest.length === 0 ? {} : { rest: this.nodeOf(rest) }),
    };
  }

  /** Of a tuple, too, one place stands for all items. */
  #items(all: readonly Applied[]): LabelNode {
    const items = all.flatMap((one) => {
      const { schema } = one;
      const tuple = Array.isArray(schema["prefixItems"]) ? schema["prefixItems"] : [];
      const listed = [schema["items"], schema["contains"], schema["unevaluatedItems"]].flatMap(schemaOf);
      return inside(one, [...tuple.flatMap(schemaOf), ...listed]);
    });
    return items.length === 0 ? {} : { items: this.nodeOf(items) };
  }

  /** With all that applies, or may apply, to the same value. */
  #applied(all: readonly Within[]): readonly Applied[] {
    return all.flatMap(({ root, schema }) => {
      const schemas = together(root, [schema]);
      if (schemas === null) this.untold = true;
      return (schemas ?? []).map((one) => ({ root, schema: one }));
    });
  }

  #numberOf(schema: object): number {
    const known = this.#numbers.get(schema) ?? this.#numbers.size;
    this.#numbers.set(schema, known);
    return known;
  }
}

interface Applied {
  readonly root: unknown;
  readonly schema: Schema;
}

const inside = ({ root }: Applied, schemas: readonly unknown[]): readonly Within[] =>
  schemas.filter(isObject).map((schema) => ({ root, schema }));

function othersOf(schema: Schema): readonly Schema[] {
  return [...schemaOf(schema["additionalProperties"]), ...schemaOf(schema["unevaluatedProperties"])];
}

function classesOf(all: readonly Schema[]): readonly DataClass[] {
  const said: ReadonlySet<unknown> = new Set(all.flatMap((one) => [one["x-data-class"]].flat()));
  return dataClasses.filter((one) => said.has(one));
}
