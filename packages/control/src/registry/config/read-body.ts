// Promises what requests of an operation carry, as a gateway obeys it, and the classes its schema marks. Trusts read-schema.ts.
// Specified in docs/configuration.md "systems/<id>.yaml" and docs/inspection.md "What a request carries".
import type { BodyContent, PartRule } from "@sallyport/protocol/snapshot/body-rule.ts";
import type { DataClass } from "@sallyport/protocol/snapshot/objects.ts";
import type { BodySource } from "./content-schema.ts";
import { errorAt } from "./finding.ts";
import { formFieldsOf } from "./form-fields.ts";
import type { BodyConfig } from "./operation-config.ts";
import { readSchemaAt, type SchemaReader } from "./read-schema.ts";
import type { OperationSource } from "./system-schema.ts";
import { spotOf } from "./yaml-tree.ts";

export interface BodyReading {
  readonly body: BodyConfig | undefined;
  readonly bytesMax: number;
  readonly classes: readonly DataClass[];
  /** The schema with its labels; undefined: there is none. */
  readonly labelled?: unknown;
}

const bodyBytesMaxDefault = 1024 * 1024;
const none: BodyReading = { body: undefined, bytesMax: 0, classes: [] };

/** Content types of which each kind is; every other type is `opaque`. */
const kinds: readonly (readonly [BodyContent, RegExp])[] = [
  ["json", /^application\/(json|[a-z0-9.+-]+\+json)$/],
  ["form", /^application\/x-www-form-urlencoded$/],
  ["multipart", /^multipart\/form-data$/],
  ["xml", /^(?:application|text)\/xml$|^[a-z]+\/[a-z0-9.+-]+\+xml$/],
];

export function readBody(reader: SchemaReader, at: readonly string[], source: OperationSource): BodyReading {
  const takesBody = ["POST", "PUT", "PATCH"].includes(source.match.method);
  if (source.body === "none" || (source.body === undefined && !takesBody)) return none;
  if (source.body === undefined)
    return { body: { content: "json", contentType: "application/json" }, bytesMax: bodyBytesMaxDefault, classes: [] };
  const where = [...at, "body"];
  if (["GET", "HEAD", "OPTIONS"].includes(source.match.method)) {
    reader.findings.push(
      errorAt(spotOf(reader.tree, where, "key"), `${source.match.method} has no body`, "remove `body`"),
    );
    return none;
  }
  return readContent(reader, where, source.body);
}

function readContent(reader: SchemaReader, where: readonly string[], source: BodySource): BodyReading {
  const { contentType, size, encoding, reason, schema } = source;
  const inferred = kinds.find(([, types]) => types.test(contentType))?.[0] ?? "opaque";
  const content = source.as ?? inferred;
  const before = reader.findings.length;
  refuseUnfit(reader, where, { source, content, inferred });
  if (reader.findings.length > before) return none;
  const parts = content === "multipart" ? { parts: partsOf(source) } : {};
  const said = {
    content,
    contentType,
    ...(encoding === undefined ? {} : { encoding }),
    ...(reason === undefined ? {} : { reason }),
    ...parts,
  };
  if (schema === undefined) return { body: said, bytesMax: size, classes: [] };
  const read = readSchemaAt(reader, [...where, "schema"], schema);
  if (read === null) return none;
  const { classes, labelled } = read;
  if (content === "json") return { body: { ...said, schema: read.schema }, bytesMax: size, classes, labelled };
  const fields = formFieldsOf(read.schema);
  if (!("refused" in fields)) return { body: { ...said, schema: read.schema, fields }, bytesMax: size, classes };
  const message = `the member \`${fields.refused.slice(0, 60)}\` of the form has no single plain type`;
  const fix = "write `type: string`, `integer`, `number`, `boolean`, or an `array` of one of these";
  reader.findings.push(errorAt(spotOf(reader.tree, [...where, "schema"]), message, fix));
  return none;
}

/** What is said of a kind of content that it is not. */
function refuseUnfit(
  { tree, findings }: SchemaReader,
  where: readonly string[],
  on: { readonly source: BodySource; readonly content: BodyContent; readonly inferred: BodyContent },
): void {
  const { source, content, inferred } = on;
  const { parts = {}, schema, as: said, reason, contentType } = source;
  const refused = [
    [
      "as",
      said !== undefined && said !== "opaque" && said !== inferred,
      `${contentType} is not read as \`${content}\``,
      "correct one of the two",
    ],
    [
      "schema",
      schema !== undefined && content !== "json" && content !== "form",
      "a schema for content that is neither JSON nor a form",
      "use such a content type, or remove the schema",
    ],
    [
      "parts",
      Object.keys(parts).length > 0 && content !== "multipart",
      "`parts` of content that is no multipart/form-data",
      "remove them",
    ],
    [
      "contentType",
      Object.keys(parts).length === 0 && content === "multipart",
      "multipart/form-data without declared parts",
      "declare `parts`, or write `as: opaque` with a `reason`",
    ],
    ["reason", reason !== undefined && content !== "opaque", "a `reason`, but the content is looked into", "remove it"],
  ] as const;
  for (const [key, isRefused, message, fix] of refused)
    if (isRefused) findings.push(errorAt(spotOf(tree, [...where, key]), message, fix));
}

function partsOf({ parts = {}, size }: BodySource): readonly PartRule[] {
  return Object.entries(parts)
    .map(([name, { type, size: bytesMax, required, most }]) => ({
      name,
      types: type === undefined ? [] : typeof type === "string" ? [type] : type,
      bytesMax: bytesMax ?? size,
      required,
      most,
    }))
    .sort((a, b) => (a.name < b.name ? -1 : 1));
}
