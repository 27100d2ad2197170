// Promises somebody else's YAML or JSON file as a bounded tree in which everything knows its place, aliases and merge keys written out.
// Trusts the `yaml` package to parse; refuses what would grow past its bounds, whatever the file says. Specified in docs/import-openapi.md "Bounds".
import type { Node, Scalar } from "yaml";
import { decodeText, type EstateIo, resolveInside } from "../config/estate-io.ts";
import { errorAt, type Finding, fileSpot, pathInto, type Spot } from "../config/finding.ts";
import { type YamlPackage, yamlPackage } from "../config/yaml-package.ts";
import { duplicateKey, explainSyntax } from "../config/yaml-syntax.ts";
import type { MapEntry, MapTree, Tree } from "../config/yaml-tree.ts";

/** One file. Descriptions of large public APIs have some ten megabytes. */
export const sourceBytesMax = 16 * 1024 * 1024;
/** Values of one file, those that aliases repeat included. */
export const sourceNodesMax = 2_000_000;
export const sourceDepthMax = 100;

/** How much of a file is read; absent: as of an import. */
export interface SourceBounds {
  readonly bytesMax: number;
  readonly nodesMax: number;
}

const importBounds: SourceBounds = { bytesMax: sourceBytesMax, nodesMax: sourceNodesMax };

export type SourceDocument = { readonly root: MapTree } | { readonly finding: Finding };

/** Reads a file of the folder the source lies in. Nothing outside of that folder is read, and nothing is fetched. */
export function readSourceFile(io: EstateIo, file: string, bounds: SourceBounds = importBounds): SourceDocument {
  const failed = (message: string, fix: string): SourceDocument => ({ finding: errorAt(fileSpot(file), message, fix) });
  const bytes = io.read(file, bounds.bytesMax);
  if (bytes === "absent") return failed("no such file", "correct the path");
  if (bytes === "outside") return failed("the file is a symbolic link out of its folder", "copy it beside the others");
  if (bytes === "not-a-file") return failed("not a regular file", "name a file");
  if (bytes === "too-large") return failed(`the file is larger than ${bounds.bytesMax} bytes`, "split it");
  const text = decodeText(bytes);
  return text === null
    ? failed("the file is not UTF-8 text", "save it as UTF-8")
    : parseSource(file, text, bounds.nodesMax);
}

/** The file that `named` means in `from`, or null when it would leave the folder. */
export function resolveSource(from: string, named: string): string | null {
  try {
    return resolveInside(from, decodeURIComponent(named));
  } catch {
    return null;
  }
}

/** Never throws on any input. */
export function parseSource(file: string, text: string, nodesMax = sourceNodesMax): SourceDocument {
  const yaml = yamlPackage();
  const lines = new yaml.LineCounter();
  const spot = (offset: number, path: string): Spot => {
    const { line, col } = lines.linePos(offset);
    return { file, line: Math.max(1, line), column: Math.max(1, col), path };
  };
  try {
    const documents = yaml.parseAllDocuments(text, {
      version: "1.2",
      schema: "core",
      merge: false,
      strict: false,
      // The parser looks through the whole map for each key, which takes hours for a large one: `#map` looks.
      uniqueKeys: false,
      prettyErrors: false,
      logLevel: "silent",
      lineCounter: lines,
    });
    const [first, second] = Array.isArray(documents) ? documents : [];
    const [error] = first?.errors ?? [];
    if (error !== undefined) {
      const { message, fix, offset } = explainSyntax(error.code, text, error.pos[0]);
      return { finding: errorAt(spot(offset, "$"), message, fix) };
    }
    if (first === undefined || first.contents === null)
      return { finding: errorAt(fileSpot(file), "the file is empty", "name the file to import") };
    if (second !== undefined)
      return {
        finding: errorAt(spot(second.range[0], "$"), "the file holds more than one document", "import one at a time"),
      };
    const builder = new SourceBuilder(yaml, spot, nodesMax);
    const root = builder.build(first.contents, "$", 0);
    if (root.kind !== "map")
      return { finding: errorAt(root.at, "the file is not a map of keys", "name the file to import") };
    return { root };
  } catch (cause) {
    if (cause instanceof SourceBoundError) return { finding: cause.finding };
    // The parser recurses: input nested past the stack ends here.
    if (cause instanceof RangeError)
      return {
        finding: errorAt(fileSpot(file), "the file is nested too deeply", `use at most ${sourceDepthMax} levels`),
      };
    throw cause;
  }
}

class SourceBoundError extends Error {
  readonly finding: Finding;
  constructor(finding: Finding) {
    super(finding.message);
    this.finding = finding;
  }
}

class SourceBuilder {
  readonly #yaml: YamlPackage;
  readonly #spot: (offset: number, path: string) => Spot;
  /** Anchors seen so far: an alias means the last one before it. */
  readonly #anchors = new Map<string, Node>();
  #nodes = 0;
  readonly #nodesMax: number;

  constructor(yaml: YamlPackage, spot: (offset: number, path: string) => Spot, nodesMax: number) {
    this.#yaml = yaml;
    this.#spot = spot;
    this.#nodesMax = nodesMax;
  }

  build(node: Node | null, path: string, depth: number): Tree {
    const { isAlias, isMap, isNode, isScalar, isSeq } = this.#yaml;
    this.#nodes += 1;
    const at = this.#spot(node?.range?.[0] ?? 0, path);
    if (this.#nodes > this.#nodesMax)
      throw new SourceBoundError(
        errorAt(at, `more than ${this.#nodesMax} values, aliases written out`, "write fewer aliases"),
      );
    if (depth > sourceDepthMax)
      throw new SourceBoundError(errorAt(at, `nested deeper than ${sourceDepthMax} levels`, "make it flatter"));
    if (isAlias(node)) {
      const meant = this.#anchors.get(node.source);
      if (meant === undefined)
        throw new SourceBoundError(errorAt(at, "an alias of nothing", "name an anchor above it"));
      return this.build(meant, path, depth + 1);
    }
    if (node !== null && "anchor" in node && node.anchor !== undefined) this.#anchors.set(node.anchor, node);
    if (isMap(node)) return this.#map(node.items, at, depth);
    if (isSeq(node)) {
      const items = node.items.map((item, index) =>
        this.build(isNode(item) ? item : null, pathInto(path, index), depth + 1),
      );
      return { kind: "list", at, items };
    }
    return scalarTree(isScalar(node) ? node : null, at);
  }

  #map(pairs: readonly { readonly key: unknown; readonly value: unknown }[], at: Spot, depth: number): MapTree {
    const { isNode, isScalar } = this.#yaml;
    const entries = new Map<string, MapEntry>();
    const merged: Tree[] = [];
    for (const { key, value } of pairs) {
      const name = isScalar(key)
        ? typeof key.value === "string"
          ? key.value
          : (key.source ?? String(key.value))
        : null;
      const keyAt = this.#spot(isNode(key) ? (key.range?.[0] ?? 0) : 0, pathInto(at.path, name ?? "?"));
      if (name === null || name === "__proto__")
        throw new SourceBoundError(errorAt(keyAt, "a key that is not accepted", "use a plain word"));
      if (entries.has(name) || (name === "<<" && merged.length > 0))
        throw new SourceBoundError(errorAt(keyAt, ...duplicateKey));
      const built = this.build(isNode(value) ? value : null, keyAt.path, depth + 1);
      if (name === "<<") merged.push(...(built.kind === "list" ? built.items : [built]));
      else entries.set(name, { keyAt, plainKey: true, value: isNode(value) ? built : { ...built, at: keyAt } });
    }
    // A merge key adds what is not there (YAML 1.1 merge type, which Kong's own tool reads); the first of several wins.
    for (const tree of merged)
      if (tree.kind === "map")
        for (const [name, entry] of tree.entries) if (!entries.has(name)) entries.set(name, entry);
    return { kind: "map", at, entries };
  }
}

function scalarTree(node: Scalar | null, at: Spot): Tree {
  const value = node?.value ?? null;
  const isPlainValue = typeof value === "string" || typeof value === "number" || typeof value === "boolean";
  return {
    kind: "scalar",
    at,
    value: isPlainValue ? value : value === null ? null : String(value),
    source: node?.source ?? String(value),
    plain: node?.type === "PLAIN",
    comment: null,
  };
}
