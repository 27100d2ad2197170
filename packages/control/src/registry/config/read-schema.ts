// Promises the JSON Schema that a key names or holds, compiled once per load however many keys name its file, or findings at the key.
// Trusts body-schema.ts to judge it. Specified in docs/configuration.md "Body schemas".
import { readSchemaFile } from "./attachments.ts";
import { type BodySchema, readBodySchema } from "./body-schema.ts";
import type { EstateIo } from "./estate-io.ts";
import { errorAt, type Finding } from "./finding.ts";
import { type MapTree, spotOf } from "./yaml-tree.ts";

export interface SchemaReader {
  readonly io: EstateIo;
  readonly tree: MapTree;
  readonly findings: Finding[];
}

/** `at`: the key. Null: the findings say why. */
export function readSchemaAt(reader: SchemaReader, at: readonly string[], schema: unknown): BodySchema | null {
  const spot = spotOf(reader.tree, at);
  const isFile = typeof schema === "string";
  const known = isFile ? knownSchemas(reader).get(schema) : undefined;
  if (known !== undefined) return known;
  const attached = isFile ? readSchemaFile(reader.io, spot, schema) : { value: schema, findings: [] };
  reader.findings.push(...attached.findings);
  if (attached.findings.length > 0) return null;
  const read = readBodySchema(attached.value);
  if ("message" in read) {
    const place = isFile ? spot : spotOf(reader.tree, [...at, ...read.path]);
    const inFile = isFile && read.path.length > 0 ? ` at /${read.path.join("/")}` : "";
    reader.findings.push(errorAt(place, `${read.message}${inFile}`, read.fix));
    return null;
  }
  if (isFile) knownSchemas(reader).set(schema, read);
  return read;
}

/** Schemas in order by the name of their file, for each load: many operations and every environment may name the same one. */
const loads = new WeakMap<EstateIo, Map<string, BodySchema>>();

function knownSchemas({ io }: SchemaReader): Map<string, BodySchema> {
  const known = loads.get(io) ?? new Map<string, BodySchema>();
  loads.set(io, known);
  return known;
}
