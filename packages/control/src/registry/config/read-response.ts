// Promises how answers of an operation are looked into, as a gateway obeys it, and the classes its schemas mark. Trusts read-schema.ts and label-schema.ts.
// Specified in docs/inspection.md.
import type { DataClass } from "@sallyport/protocol/snapshot/objects.ts";
import type { LabelNode } from "@sallyport/protocol/snapshot/response-rule.ts";
import type { BodySchema } from "./body-schema.ts";
import { compareText, errorAt } from "./finding.ts";
import { labelSchemas } from "./label-schema.ts";
import type { ResponseConfig } from "./operation-config.ts";
import { readSchemaAt, type SchemaReader } from "./read-schema.ts";
import { isJsonType, type ResponseSource } from "./response-schema.ts";
import { spotOf } from "./yaml-tree.ts";

export interface ResponseReading {
  readonly response?: ResponseConfig;
  readonly classes: readonly DataClass[];
}

const bytesMaxMax = 8 * 1024 * 1024;
const none: ResponseReading = { classes: [] };

export function readResponse(
  reader: SchemaReader,
  at: readonly string[],
  source: ResponseSource | undefined,
): ResponseReading {
  if (source === undefined) return none;
  const { tree, findings } = reader;
  const before = findings.length;
  const spot = (key: string) => spotOf(tree, [...at, key]);
  if (source.size > bytesMaxMax)
    findings.push(errorAt(spot("size"), "larger than an answer that is held may be", "choose at most `8MiB`"));
  const isJson = isJsonType(source.contentType);
  const needJson = [
    ["schema", source.schema !== undefined || Object.keys(source.statuses).length > 0],
    ["redact", source.redact.length > 0],
    ["undeclared", source.undeclared === "drop"],
  ] as const;
  for (const [key, isSaid] of isJson ? [] : needJson)
    if (isSaid)
      findings.push(
        errorAt(
          spot(key),
          "only JSON is looked into, and the answers are declared as something else",
          "use a JSON content type, or remove this",
        ),
      );
  const takesOut = source.redact.length > 0 || source.undeclared === "drop";
  if (source.long === "pass" && takesOut)
    findings.push(
      errorAt(
        spot("long"),
        "a long answer would pass with what is taken out of others",
        "remove `long: pass`, or what is taken out",
      ),
    );
  const schemas = readSchemas(reader, at, source);
  if (source.undeclared === "drop" && schemas.size === 0)
    findings.push(errorAt(spot("undeclared"), "no schema declares anything, so nothing would be left", "add `schema`"));
  const labels = labelsOf(reader, at, { schemas: [...schemas.values()], always: source.undeclared === "drop" });
  if (source.long === "pass" && labels !== null)
    findings.push(
      errorAt(spot("long"), "a long answer would pass with fields that are labelled", "remove `long: pass`"),
    );
  if (findings.length > before) return none;
  const { contentType, size, redact, undeclared, long, mismatch } = source;
  return {
    response: {
      schemas: Object.fromEntries([...schemas].map(([status, { schema }]) => [status, schema])),
      contentType,
      bytesMax: size,
      ...(long === "pass" ? { long } : {}),
      ...(mismatch === "report" ? { mismatch } : {}),
      redact,
      undeclared,
      ...(labels === null ? {} : { labels }),
    },
    classes: [...schemas.values()].flatMap(({ classes }) => classes),
  };
}

/** In ascending order of the status. */
function readSchemas(reader: SchemaReader, at: readonly string[], source: ResponseSource): Map<string, BodySchema> {
  const schemas = new Map<string, BodySchema>();
  const take = (status: string, path: readonly string[], schema: unknown): void => {
    const read = readSchemaAt(reader, path, schema);
    if (read !== null) schemas.set(status, read);
  };
  if (source.schema !== undefined) take("2XX", [...at, "schema"], source.schema);
  for (const [status, schema] of Object.entries(source.statuses).sort(([a], [b]) => compareText(a, b))) {
    const path = [...at, "statuses", status];
    if (status === "2XX" && source.schema !== undefined)
      reader.findings.push(
        errorAt(spotOf(reader.tree, path, "key"), "`schema` says what successful answers are", "keep one of the two"),
      );
    else take(status, path, schema);
  }
  return schemas;
}

function labelsOf(
  { tree, findings }: SchemaReader,
  at: readonly string[],
  { schemas, always }: { readonly schemas: readonly BodySchema[]; readonly always: boolean },
): readonly LabelNode[] | null {
  if (!always && schemas.every(({ classes }) => classes.length === 0)) return null;
  const labelled = labelSchemas(schemas.map((one) => one.labelled));
  if ("labels" in labelled) return labelled.labels;
  findings.push(errorAt(spotOf(tree, at, "key"), labelled.message, labelled.fix));
  return null;
}
