// Promises what an operation's request carries, as the estate declares it, with the schema as a file of its own.
// Trusts translate-schema.ts. Source: OpenAPI 3.1.1 "Request Body Object" and "Media Type Object".
import type { MapTree, Tree } from "../../config/yaml-tree.ts";
import type { Reporter } from "../import-report.ts";
import { flagOf, mapOf, placeOfKey } from "../tree-members.ts";
import type { OperationSchema, OperationSchemas } from "./operation-schemas.ts";
import type { References } from "./references.ts";

export interface BodyDeclaration {
  /** For `body`; undefined: the default of the method says the same. */
  readonly body: "none" | Readonly<Record<string, unknown>> | undefined;
  /** For a file beside the system. */
  readonly schema: OperationSchema | null;
}

export interface BodyInput {
  readonly references: References;
  readonly schemas: OperationSchemas;
  readonly method: string;
  /** Name of the operation, for the report. */
  readonly name: string;
  readonly report: Reporter;
}

const takesJson = ["POST", "PUT", "PATCH"];
const mediaType = /^[a-z0-9!#$&^_.+-]+\/[a-z0-9!#$&^_.+-]+$/;
const jsonType = /^application\/(json|[a-z0-9.+-]+\+json)$/;

export function readBody(written: Tree | undefined, input: BodyInput): BodyDeclaration {
  const what = `operation ${input.name}`;
  if (written === undefined) return none(input);
  const body = input.references.map(written);
  if ("unresolved" in body) {
    const why = `its request body is not known: ${body.unresolved}`;
    input.report.lost(written.at, what, { why, fix: "declare `body` by hand" });
    return { body: undefined, schema: null };
  }
  if (["GET", "HEAD", "OPTIONS"].includes(input.method)) {
    const why = `a request body of ${input.method} is refused here`;
    input.report.lost(body.at, what, { why, fix: "let callers send it with POST" });
    return { body: undefined, schema: null };
  }
  const content = mapOf(body, "content");
  const types = [...(content?.entries.keys() ?? [])];
  const [chosen, ...others] = [...types].sort((a, b) => preference(a) - preference(b));
  if (content === undefined || chosen === undefined) return none(input);
  for (const other of others) {
    const why = "an operation takes one media type here";
    const fix = "declare a second operation on another path if callers need it";
    input.report.lost(placeOfKey(content, other), `${what}, content ${other}`, { why, fix });
  }
  if (takesJson.includes(input.method) && flagOf(body, "required") !== true && jsonType.test(bare(chosen))) {
    const why = "its request body may be left out in the source and must be sent here";
    input.report.changed(body.at, what, { why, fix: "nothing to do, unless callers leave it out" });
  }
  return declare(content, chosen, input);
}

function none({ method }: BodyInput): BodyDeclaration {
  return { body: takesJson.includes(method) ? "none" : undefined, schema: null };
}

function declare(content: MapTree, chosen: string, input: BodyInput): BodyDeclaration {
  const contentType = bare(chosen);
  const at = placeOfKey(content, chosen);
  if (!mediaType.test(contentType) || contentType.includes("*")) {
    const why = `the media type ${contentType} is not one type, so JSON is taken`;
    input.report.changed(at, `operation ${input.name}`, { why, fix: "write `contentType`" });
    return { body: takesJson.includes(input.method) ? undefined : {}, schema: null };
  }
  if (!jsonType.test(contentType)) return { body: { contentType }, schema: null };
  const written = mapOf(content, chosen)?.entries.get("schema")?.value;
  const typed = contentType === "application/json" ? {} : { contentType };
  const plain = takesJson.includes(input.method) && contentType === "application/json" ? undefined : typed;
  if (written === undefined || (written.kind === "map" && written.entries.size === 0))
    return { body: plain, schema: null };
  const { schema, losses } = input.schemas.translate(written);
  const what = `schema of ${input.name}`;
  if (schema === null) {
    const fix = "write a schema by hand; until then JSON of any shape passes";
    for (const { at, why } of losses.slice(-1)) input.report.lost(at, what, { why, fix });
    return { body: plain, schema: null };
  }
  const fix = "leave that check to the provider, or write it in the schema's file";
  for (const { at, why } of input.schemas.unsaid(losses)) input.report.changed(at, what, { why, fix });
  const name = input.schemas.nameOf(schema, input.name);
  return { body: { schema: `../schemas/${name}.json`, ...typed }, schema: { name, value: schema } };
}

/** JSON first, then what is like it; the rest in the order of the source. */
function preference(type: string): number {
  const name = bare(type);
  return name === "application/json" ? 0 : jsonType.test(name) ? 1 : 2;
}

function bare(type: string): string {
  return (type.split(";")[0] ?? "").trim().toLowerCase();
}
