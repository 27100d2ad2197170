// Promises each schema of a description translated once and written once, however many operations carry it. Trusts translate-schema.ts.
// A body's schema holds every definition it needs, so that what is shared is what makes a large description a small estate.
import type { Tree } from "../../config/yaml-tree.ts";
import type { WrittenFile } from "../written-estate.ts";
import { type References, referenceOf } from "./references.ts";
import { type Loss, type TranslatedSchema, translateSchema } from "./translate-schema.ts";

export class OperationSchemas {
  readonly #on: { readonly references: References; readonly isOld: boolean };
  /** Place of a target -> what became of it. */
  readonly #translated = new Map<string, TranslatedSchema>();
  /** Text of a schema -> the operation whose name its file has. */
  readonly #files = new Map<string, string>();
  readonly #said = new Set<string>();

  constructor(on: { readonly references: References; readonly isOld: boolean }) {
    this.#on = on;
  }

  translate(tree: Tree): TranslatedSchema {
    const key = this.#keyOf(tree);
    const known = key === null ? undefined : this.#translated.get(key);
    const translated = known ?? translateSchema(tree, { ...this.#on, of: "request" });
    if (key !== null) this.#translated.set(key, translated);
    return translated;
  }

  /** Name of the file that holds a schema, without its ending: that of the first operation with this very schema. */
  nameOf(schema: object, operation: string): string {
    const text = textOf(schema);
    const name = this.#files.get(text) ?? operation;
    this.#files.set(text, name);
    return name;
  }

  /** What was not said yet: a place that many operations reach is one thing to know. */
  unsaid(losses: readonly Loss[]): readonly Loss[] {
    return losses.filter(({ at, why }) => {
      const key = `${at.file}:${at.line}:${at.column} ${why}`;
      const isNew = !this.#said.has(key);
      this.#said.add(key);
      return isNew;
    });
  }

  /** The files of these operations' schemas, in their order. */
  static files(operations: readonly { readonly schema: OperationSchema | null }[]): readonly WrittenFile[] {
    const files = new Map<string, WrittenFile>();
    for (const { schema } of operations) {
      const file = schema === null ? null : `schemas/${schema.name}.json`;
      if (schema !== null && file !== null && !files.has(file)) files.set(file, { file, text: textOf(schema.value) });
    }
    return [...files.values()];
  }

  /** Only of a plain reference: what stands beside one is part of the schema. */
  #keyOf(tree: Tree): string | null {
    const reference = referenceOf(tree);
    if (reference === undefined || tree.kind !== "map" || tree.entries.size !== 1) return null;
    const target = this.#on.references.target(tree.at.file, reference);
    return "unresolved" in target ? null : target.key;
  }
}

/** A schema with the name of its file. */
export interface OperationSchema {
  readonly name: string;
  readonly value: object;
}

/** Nobody reads a larger one from top to bottom: it has a line for each definition, which is what changes one at a time. */
const spreadCharactersMax = 64 * 1024;

function textOf(schema: object): string {
  const spread = JSON.stringify(schema, null, 2);
  if (spread.length <= spreadCharactersMax || !("$defs" in schema)) return `${spread}\n`;
  const { $defs, ...root } = schema;
  const lines = Object.entries($defs ?? {}).map(
    ([name, definition]) => `    ${JSON.stringify(name)}: ${JSON.stringify(definition)}`,
  );
  const members = Object.entries(root).map(([key, value]) => `  ${JSON.stringify(key)}: ${JSON.stringify(value)},\n`);
  return `{\n${members.join("")}  "$defs": {\n${lines.join(",\n")}\n  }\n}\n`;
}
