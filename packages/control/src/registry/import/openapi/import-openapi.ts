// Promises one system with the operations of an OpenAPI 3.0 or 3.1 description, and a report of what it says that an estate does not. Pure but
// for the reads of files beside it. Trusts references.ts to stay in the folder. Specified in docs/import-openapi.md.
import { yamlBytesMax } from "../../config/bounds.ts";
import type { EstateIo } from "../../config/estate-io.ts";
import type { Place } from "../../config/finding.ts";
import type { MapTree, Tree } from "../../config/yaml-tree.ts";
import { createNames, idFrom, operationNameMax } from "../ids.ts";
import { createReporter, type ImportReport, type Reporter, sortEntries } from "../import-report.ts";
import { sentenceOf, textOf } from "../tree-members.ts";
import { type WrittenFile, writeObject } from "../written-estate.ts";
import { consumerOf, exampleCall } from "./consumer.ts";
import { operationPath, requestShape } from "./operation-path.ts";
import { OperationSchemas } from "./operation-schemas.ts";
import { type OperationReading, type ReadOperation, readPath } from "./read-operations.ts";
import { References } from "./references.ts";
import { readServer } from "./servers.ts";

export interface ImportChoice {
  /** Id of the system; from the title by default. */
  readonly name?: string;
  /** Where it is served; from `servers` by default. */
  readonly upstream?: string;
  /** Id of a system that may read; none by default. */
  readonly consumer?: string;
}

export interface ImportInput {
  readonly io: EstateIo;
  readonly file: string;
  readonly root: MapTree;
  readonly choice: ImportChoice;
  readonly progress: (doing: string) => void;
}

export interface Imported {
  readonly files: readonly WrittenFile[];
  readonly report: ImportReport;
  /** Arguments of `sallyport call` that would be allowed; null where nobody was granted a read. */
  readonly call: string | null;
}

export function importOpenApi(input: ImportInput): Imported {
  const { root, choice } = input;
  const report = createReporter();
  const references = new References(input.io, input.file, { document: { root } });
  const reading: OperationReading = {
    references,
    report,
    schemas: new OperationSchemas({ references, isOld: (textOf(root, "openapi") ?? "").startsWith("3.0") }),
    names: createNames(operationNameMax),
    shapes: new Map(),
    exact: exactShapes(root),
  };
  const info = root.entries.get("info")?.value;
  const system = choice.name ?? idFrom(textOf(info, "title") ?? "", "api");
  const paths = [...pathItems(root)];
  const read = paths.flatMap(([path, item], index) => {
    input.progress(`path ${index + 1} of ${paths.length}`);
    return readPath(reading, path, item);
  });
  const operations = fitting(read, root.at, report);
  sayUnread(root, report);
  const server = readServer(root, { upstream: choice.upstream, report });
  const written = systemFile({ system, title: sentenceOf(info, "title"), operations, server });
  const consumer =
    choice.consumer === undefined ? [] : consumerOf({ id: choice.consumer, system, operations, report, at: root.at });
  return {
    files: [written, ...consumer, ...OperationSchemas.files(operations)],
    report: { kind: "openapi", source: input.file, entries: sortEntries(report.entries) },
    call: choice.consumer === undefined ? null : exampleCall(system, choice.consumer, operations),
  };
}

function pathItems(root: MapTree): ReadonlyMap<string, Tree> {
  const paths = root.entries.get("paths")?.value;
  if (paths?.kind !== "map") return new Map();
  return new Map(
    [...paths.entries].filter(([path]) => !path.startsWith("x-")).map(([path, { value }]) => [path, value]),
  );
}

function exactShapes(root: MapTree): ReadonlySet<string> {
  const shapes = [...pathItems(root).keys()].flatMap((path) => {
    const read = operationPath(path);
    return "path" in read && read.changed === null ? [requestShape("", read.path)] : [];
  });
  return new Set(shapes);
}

function sayUnread(root: MapTree, report: Reporter): void {
  const said: readonly (readonly [string, string, string])[] = [
    [
      "security",
      "who may call is decided by grants, and callers prove themselves with DPoP or mTLS",
      "grant operations under `uses` of the callers",
    ],
    ["webhooks", "webhooks are not in this version", ""],
  ];
  for (const [key, why, fix] of said) {
    const entry = root.entries.get(key);
    if (entry !== undefined) report.lost(entry.keyAt, key, { why, fix });
  }
}

interface SystemInput {
  readonly system: string;
  readonly title: string | undefined;
  readonly operations: readonly ReadOperation[];
  readonly server: { readonly url: string; readonly isPrivate: boolean };
}

function systemFile(on: SystemInput): WrittenFile {
  const { system, title, server } = on;
  return writeObject({
    kind: "system",
    file: `systems/${system}.yaml`,
    comment: "Imported from OpenAPI; what that changed is in import-report.md.",
    value: {
      system,
      ...(title === undefined ? {} : { description: title }),
      url: server.url,
      ...(server.isPrivate ? { allowPrivate: true } : {}),
      operations: Object.fromEntries(on.operations.map(({ name, declaration }) => [name, shortForm(declaration)])),
    },
  });
}

/** Operations as the file of a system can hold them: first without their descriptions, then only as many as fit. */
function fitting(operations: readonly ReadOperation[], at: Place, report: Reporter): readonly ReadOperation[] {
  const sizeOf = ({ name, declaration }: ReadOperation): number =>
    name.length + JSON.stringify(declaration).length + 40;
  const most = yamlBytesMax * 0.9;
  if (operations.reduce((sum, operation) => sum + sizeOf(operation), 0) < most) return operations;
  report.lost(at, "summaries", {
    why: "with the descriptions of its operations the file would be too large",
    fix: "divide the system, or do without",
  });
  let size = 0;
  return operations.flatMap((operation): readonly ReadOperation[] => {
    const { description: _, ...declaration } = operation.declaration;
    const short = { ...operation, declaration };
    size += sizeOf(short);
    if (size < most) return [short];
    report.lost(at, `operation ${operation.name}`, { why: "the file would be too large", fix: "divide the system" });
    return [];
  });
}

function shortForm(declaration: Readonly<Record<string, unknown>>): unknown {
  return Object.keys(declaration).length === 1 ? declaration["match"] : declaration;
}
