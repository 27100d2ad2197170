// Promises each operation of a path under a name of its own, or a line in the report. Pure but for the reads of files beside the source.
// Trusts operation-path.ts and read-body.ts. Source: OpenAPI 3.1.1 "Path Item Object" and "Operation Object".
import type { Place } from "../../config/finding.ts";
import type { MapTree, Tree } from "../../config/yaml-tree.ts";
import { type Names, operationNameFrom } from "../ids.ts";
import type { Reporter } from "../import-report.ts";
import { sentenceOf, textOf } from "../tree-members.ts";
import { dataClassesOf } from "./data-classes.ts";
import { operationPath, requestShape } from "./operation-path.ts";
import type { OperationSchema, OperationSchemas } from "./operation-schemas.ts";
import { readBody } from "./read-body.ts";
import type { References } from "./references.ts";

/** What the operations of one description share while they are read. */
export interface OperationReading {
  readonly references: References;
  readonly report: Reporter;
  readonly schemas: OperationSchemas;
  readonly names: Names;
  /** Shape of the requests -> the operation that takes them. */
  readonly shapes: Map<string, string>;
  /** Shapes of paths without a parameter inside a segment: those are never widened onto. */
  readonly exact: ReadonlySet<string>;
}

export interface ReadOperation {
  readonly name: string;
  readonly method: string;
  readonly declaration: Readonly<Record<string, unknown>>;
  readonly schema: OperationSchema | null;
}

const methods: readonly string[] = ["get", "head", "options", "post", "put", "patch", "delete"];

/** The operations of one path. */
export function readPath(reading: OperationReading, path: string, written: Tree): readonly ReadOperation[] {
  const { report, references } = reading;
  const item = references.map(written);
  if ("unresolved" in item) {
    report.lost(written.at, `path ${path}`, { why: item.unresolved, fix: "declare its operations by hand" });
    return [];
  }
  const read = operationPath(path);
  if ("refused" in read) {
    report.lost(written.at, `path ${path}`, { why: read.refused, fix: read.fix });
    return [];
  }
  if (read.changed !== null && reading.exact.has(requestShape("", read.path))) {
    const why = "a parameter inside a segment cannot be told from another path of the source";
    report.lost(written.at, `path ${path}`, { why, fix: "declare it by hand under another path, or leave it out" });
    return [];
  }
  const found = [...item.entries].filter(([key]) => methods.includes(key));
  if (read.changed !== null && found.length > 0)
    report.changed(written.at, `path ${path}`, {
      why: read.changed,
      fix: "see that the provider refuses what it does not know, or leave the operation out",
    });
  for (const [key, entry] of item.entries)
    if (["trace", "query"].includes(key))
      report.lost(entry.keyAt, `${key.toUpperCase()} ${path}`, { why: "the method is not served", fix: "" });
    else if (key === "servers")
      report.lost(entry.keyAt, `servers of ${path}`, {
        why: "a system has one URL",
        fix: "make a second system of these operations",
      });
  return found.flatMap(([method, entry]) =>
    readOperation(reading, { method, path: read.path, item, tree: entry.value, at: entry.keyAt }),
  );
}

interface OperationInput {
  readonly method: string;
  readonly path: string;
  readonly item: MapTree;
  readonly tree: Tree;
  /** Where the method stands. */
  readonly at: Place;
}

function readOperation(reading: OperationReading, at: OperationInput): readonly ReadOperation[] {
  const { report, references, schemas } = reading;
  const method = at.method.toUpperCase();
  const match = `${method} ${at.path}`;
  if (at.tree.kind !== "map") return [];
  const shape = requestShape(method, at.path);
  const other = reading.shapes.get(shape);
  if (other !== undefined) {
    const why = `it takes the same requests as \`${other}\``;
    report.lost(at.at, match, { why, fix: "declare one of the two" });
    return [];
  }
  const name = nameOf(reading, at, match);
  reading.shapes.set(shape, name);
  const { body, schema } = readBody(at.tree.entries.get("requestBody")?.value, {
    references,
    schemas,
    method,
    name,
    report,
  });
  sayParameters(reading, at, name);
  const classes = dataClassesOf(at.tree, { references, report, name, shared: at.item, withBody: schema === null });
  const description = sentenceOf(at.tree, "summary") ?? sentenceOf(at.tree, "description");
  report.mapped(at.at, match, `operation ${name}`);
  const declaration = {
    match,
    ...(description === undefined ? {} : { description }),
    ...(classes.length === 0 ? {} : { data: classes }),
    ...(body === undefined || (typeof body === "object" && Object.keys(body).length === 0 && method !== "DELETE")
      ? {}
      : { body }),
  };
  return [{ name, method, declaration, schema }];
}

function nameOf(reading: OperationReading, at: OperationInput, match: string): string {
  const written = textOf(at.tree, "operationId");
  const fromPath = at.path
    .split("/")
    .filter((segment) => segment !== "")
    .map((segment) => (segment.startsWith("{") ? `by-${segment.slice(1, -1)}` : segment))
    .join("/");
  const wanted =
    (written === undefined ? null : operationNameFrom(written)) ??
    operationNameFrom(`${fromPath}/${at.method}`) ??
    at.method;
  const { name, collided } = reading.names.take(wanted);
  if (written === undefined)
    reading.report.changed(at.at, match, {
      why: "no `operationId`, so the name comes from path and method",
      fix: "rename it before somebody uses it",
    });
  else if (collided)
    reading.report.changed(at.at, match, {
      why: `another operation has the name \`${wanted}\``,
      fix: "rename it before somebody uses it",
    });
  return name;
}

/** Parameters of the path are part of the match; what the others may be is for the provider to check. */
function sayParameters(reading: OperationReading, at: OperationInput, name: string): void {
  const lists = [
    at.item.entries.get("parameters")?.value,
    at.tree.kind === "map" ? at.tree.entries.get("parameters")?.value : undefined,
  ];
  const places = new Set<string>();
  for (const list of lists)
    for (const item of list?.kind === "list" ? list.items : []) {
      const parameter = reading.references.map(item);
      if (!("unresolved" in parameter)) places.add(textOf(parameter, "in") ?? "");
    }
  const unchecked = ["query", "header", "cookie", "path"].filter((place) => places.has(place));
  if (unchecked.length > 0)
    reading.report.lost(at.at, `parameters of ${name} (${unchecked.join(", ")})`, {
      why: "the schemas of parameters are not checked",
      fix: "leave that to the provider; what a policy must know, declare under `attributes`",
    });
}
