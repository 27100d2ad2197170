// Promises what is kept of an operation's crossings as a gateway obeys it, or why nothing could be: no field is kept that no schema declares.
// Trusts project-schema.ts for what is dropped. Specified in docs/payloads.md.
import type { DataClass, PayloadRule, Projection } from "@sallyport/protocol/snapshot/objects.ts";
import { readSchemaFile } from "./attachments.ts";
import { readBodySchema } from "./body-schema.ts";
import type { EstateIo } from "./estate-io.ts";
import { errorAt, type Spot } from "./finding.ts";
import type { PayloadSource } from "./payload-schema.ts";
import { projectSchema } from "./project-schema.ts";
import { type AttributeReader, type Carried, refuseSource } from "./read-attributes.ts";
import { spotOf } from "./yaml-tree.ts";

interface Reader extends AttributeReader {
  readonly io: EstateIo;
}

export interface PayloadReading {
  readonly rule?: PayloadRule;
  /** What the schema of the response marks. */
  readonly classes: readonly DataClass[];
}

/** An answer up to this size is held whole (docs/gateway.md), and no longer one is kept. */
const bytesMaxMax = 64 * 1024;
const none: PayloadReading = { classes: [] };

export function readPayload(
  reader: Reader,
  at: readonly string[],
  source: PayloadSource | undefined,
  request: Omit<Carried, "unanswered"> & { readonly labelled?: unknown },
): PayloadReading {
  if (source === undefined) return none;
  const { tree, findings } = reader;
  const before = findings.length;
  const spot = (key: string, part: "key" | "value" = "value") => spotOf(tree, [...at, key], part);
  findings.push(
    ...refuseSource(spot("subject"), source.subject, {
      ...request,
      unanswered: "a payload is about whom the request names",
    }),
  );
  if (source.size > bytesMaxMax)
    findings.push(errorAt(spot("size"), "larger than a payload may be", "choose at most `64KiB`"));
  const keeps = (direction: "request" | "response") => source.keep.includes(direction);
  if (keeps("request") && request.labelled === undefined)
    findings.push(errorAt(spot("keep"), noSchema("request"), "declare `body.schema`, or keep the response alone"));
  const response = readResponseSchema(reader, spot, source);
  if (findings.length > before) return none;
  const dropped: ReadonlySet<DataClass> = new Set<DataClass>(["secret", ...source.drop]);
  const project = (schema: unknown): Projection | null => {
    const projected = projectSchema(schema, dropped);
    if ("projection" in projected) return projected.projection;
    findings.push(errorAt(spot("keep"), projected.message, projected.fix));
    return null;
  };
  const projections = {
    ...(keeps("request") ? { request: project(request.labelled) } : {}),
    ...(keeps("response") ? { response: project(response?.labelled) } : {}),
  };
  if (findings.length > before) return none;
  return {
    rule: {
      subject: { ...source.subject, type: "string" },
      days: source.days,
      bytesMax: source.size,
      ...definedOf(projections),
    },
    classes: response?.classes ?? [],
  };
}

function definedOf(projections: Readonly<Partial<Record<"request" | "response", Projection | null>>>) {
  const { request, response } = projections;
  return { ...(request ? { request } : {}), ...(response ? { response } : {}) };
}

function readResponseSchema(
  { io, findings }: Reader,
  spot: (key: string, part?: "key" | "value") => Spot,
  { keep, responseSchema }: PayloadSource,
): { readonly labelled: unknown; readonly classes: readonly DataClass[] } | null {
  const isKept = keep.includes("response");
  if (isKept && responseSchema === undefined)
    findings.push(
      errorAt(spot("keep"), noSchema("response"), "name its schema in `responseSchema`, or keep the request alone"),
    );
  if (responseSchema === undefined) return null;
  const at = spot("responseSchema");
  if (!isKept) {
    findings.push(
      errorAt(at, "the response is not kept, so its schema has no effect", "add `response` to `keep`, or remove it"),
    );
    return null;
  }
  const attached = readSchemaFile(io, at, responseSchema);
  findings.push(...attached.findings);
  if (attached.findings.length > 0) return null;
  const read = readBodySchema(attached.value);
  if (!("message" in read)) return read;
  const inFile = read.path.length > 0 ? ` at /${read.path.join("/")}` : "";
  findings.push(errorAt(at, `${read.message}${inFile}`, read.fix));
  return null;
}

const noSchema = (direction: string): string =>
  `the ${direction} has no schema, so no field of it is known and none would be kept`;
