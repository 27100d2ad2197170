// Promises an OpenAPI description of an estate as its operations, each with its place, read once per load; nothing is fetched, and nothing outside of
// the estate is read. Trusts source-document.ts for the bounds of a file. Specified in docs/openapi.md; OpenAPI 3.0.4 and 3.1.1.
import { type EstateIo, resolveInside } from "../config/estate-io.ts";
import { errorAt, type Finding, type Spot } from "../config/finding.ts";
import type { MapTree, Tree } from "../config/yaml-tree.ts";
import { References, referenceOf } from "../import/openapi/references.ts";
import { type TranslatedSchema, translateSchema } from "../import/openapi/translate-schema.ts";
import { readSourceFile } from "../import/source-document.ts";
import { textOf } from "../import/tree-members.ts";

/** Of one file: it is read at every load, for as long as the estate lives. */
export const descriptionBytesMax = 4 * 1024 * 1024;
/** Values of one file, those that aliases repeat included. */
export const descriptionNodesMax = 500_000;
const methods: readonly string[] = ["get", "head", "options", "post", "put", "patch", "delete"];

/** One operation as it is described. */
export interface DescribedOperation {
  readonly id: string | undefined;
  /** Upper case. */
  readonly method: string;
  /** As written: `/v1/invoices/{invoice-id}`. */
  readonly path: string;
  /** The path item, for what its operations share. */
  readonly item: MapTree;
  readonly tree: MapTree;
  /** Where the method stands. */
  readonly at: Spot;
}

type Direction = "request" | "answer";

export class Description {
  readonly file: string;
  readonly operations: readonly DescribedOperation[];
  readonly references: References;
  readonly #isOld: boolean;
  /** What many operations carry is translated once: by the place it refers to. */
  readonly #translated = { request: new Map<string, TranslatedSchema>(), answer: new Map<string, TranslatedSchema>() };

  constructor(io: EstateIo, file: string, root: MapTree) {
    this.file = file;
    const bounds = { bytesMax: descriptionBytesMax, nodesMax: descriptionNodesMax };
    this.references = new References(io, file, { document: { root }, bounds });
    this.#isOld = (textOf(root, "openapi") ?? "").startsWith("3.0");
    this.operations = [...operationsOf(root, this.references)];
  }

  translate(tree: Tree, of: Direction): TranslatedSchema {
    const key = this.#keyOf(tree);
    const known = this.#translated[of].get(key);
    const translated = known ?? translateSchema(tree, { references: this.references, isOld: this.#isOld, of });
    this.#translated[of].set(key, translated);
    return translated;
  }

  /** What stands beside a reference is part of the schema. */
  #keyOf(tree: Tree): string {
    const reference = referenceOf(tree);
    const { file, path } = tree.at;
    const isPlain = reference !== undefined && tree.kind === "map" && tree.entries.size === 1;
    const target = isPlain ? this.references.target(file, reference) : null;
    return target === null || "unresolved" in target ? `at ${file} ${path}` : `to ${target.key}`;
  }
}

function* operationsOf(root: MapTree, references: References): Iterable<DescribedOperation> {
  const paths = root.entries.get("paths")?.value;
  if (paths?.kind !== "map") return;
  for (const [path, { value }] of paths.entries) {
    const item = path.startsWith("/") ? references.map(value) : null;
    if (item === null || "unresolved" in item) continue;
    for (const [key, entry] of item.entries)
      if (methods.includes(key) && entry.value.kind === "map")
        yield {
          id: textOf(entry.value, "operationId"),
          method: key.toUpperCase(),
          path,
          item,
          tree: entry.value,
          at: entry.keyAt,
        };
  }
}

/** Every environment names the same file. */
const loads = new WeakMap<EstateIo, Map<string, DescriptionReading>>();

export type DescriptionReading = { readonly description: Description } | { readonly finding: Finding };

/** The description that a system names at `spot`. */
export function readDescription(io: EstateIo, spot: Spot, named: string): DescriptionReading {
  const file = resolveInside(spot.file, named);
  if (file === null)
    return {
      finding: errorAt(
        spot,
        "the path leaves the estate directory",
        "copy the file into the estate and name it by a relative path",
      ),
    };
  const known = loads.get(io) ?? new Map<string, DescriptionReading>();
  loads.set(io, known);
  const reading = known.get(file) ?? read(io, file);
  known.set(file, reading);
  return "finding" in reading && isOfWholeFile(reading.finding)
    ? { finding: errorAt(spot, `${file}: ${reading.finding.message}`, reading.finding.fix) }
    : reading;
}

/** What has no place in the file is said where the file is named. */
function isOfWholeFile({ line, column, path }: Finding): boolean {
  return line === 1 && column === 1 && path === "$";
}

function read(io: EstateIo, file: string): DescriptionReading {
  const document = readSourceFile(io, file, { bytesMax: descriptionBytesMax, nodesMax: descriptionNodesMax });
  if ("finding" in document) return document;
  const version = textOf(document.root, "openapi") ?? "";
  if (/^3\.[01](\.|$)/.test(version)) return { description: new Description(io, file, document.root) };
  const at = document.root.entries.get("openapi")?.keyAt ?? document.root.at;
  const what =
    version === "" ? "no OpenAPI description: it has no `openapi: 3.…`" : `OpenAPI ${version.slice(0, 12)} is not read`;
  return { finding: errorAt(at, what, "convert it to OpenAPI 3.0 or 3.1") };
}
