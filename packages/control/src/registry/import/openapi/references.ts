// Promises that `$ref` leads to a place of the same file or of one beside it, in a bounded number of steps, or to a sentence why not.
// Trusts estate-io.ts for containment; nothing is fetched. Specified by OpenAPI 3.1 "Reference Object" and RFC 6901.
import { isDeepStrictEqual } from "node:util";
import type { EstateIo } from "../../config/estate-io.ts";
import { type MapTree, type Tree, treeAt } from "../../config/yaml-tree.ts";
import { readSourceFile, resolveSource, type SourceBounds, type SourceDocument } from "../source-document.ts";
import { textOf } from "../tree-members.ts";

/** Files of one description. */
export const filesMax = 256;
/** References that lead to references. */
const hopsMax = 32;

export interface Target {
  readonly tree: Tree;
  /** `common.yaml#/components/schemas/Invoice`: the same for the same place. */
  readonly key: string;
  /** Last part of the pointer, or the name of the file. */
  readonly name: string;
}

export interface Unresolved {
  readonly unresolved: string;
}

export class References {
  readonly #io: EstateIo;
  readonly #documents = new Map<string, SourceDocument>();
  readonly #bounds: SourceBounds | undefined;

  constructor(io: EstateIo, file: string, { document, bounds }: { document: SourceDocument; bounds?: SourceBounds }) {
    this.#io = io;
    this.#bounds = bounds;
    this.#documents.set(file, document);
  }

  /** What a `$ref` written in a file means. */
  target(from: string, reference: string): Target | Unresolved {
    const [path = "", fragment = ""] = reference.split("#");
    if (/^[a-z][a-z0-9+.-]*:/i.test(path) || path.startsWith("//"))
      return { unresolved: "the `$ref` leads to another host, and nothing is fetched" };
    const file = path === "" ? from : resolveSource(from, path);
    if (file === null) return { unresolved: "the `$ref` leads out of the folder of the source" };
    const document = this.#document(file);
    if (document === null) return { unresolved: `more than ${filesMax} files` };
    if ("finding" in document) return { unresolved: `the \`$ref\` leads to ${file}: ${document.finding.message}` };
    if (fragment !== "" && !fragment.startsWith("/"))
      return { unresolved: "the `$ref` names an anchor, not a place such as `#/components/schemas/Invoice`" };
    const pointer = pointerParts(fragment);
    const tree = pointer === null ? undefined : stepInto(document.root, pointer);
    if (pointer === null || tree === undefined) return { unresolved: "the `$ref` leads to nothing" };
    return { tree, key: `${file}#${fragment}`, name: pointer.at(-1) ?? file };
  }

  /** The tree itself, or where its `$ref` leads in the end; siblings of a `$ref` are not looked at. */
  follow(tree: Tree): Tree | Unresolved {
    let current = tree;
    for (let hop = 0; hop < hopsMax; hop += 1) {
      const reference = referenceOf(current);
      if (reference === undefined) return current;
      const target = this.target(current.at.file, reference);
      if ("unresolved" in target) return target;
      if (isDeepStrictEqual(target.tree.at, current.at)) return { unresolved: "the `$ref` leads to itself" };
      current = target.tree;
    }
    return { unresolved: "the `$ref` leads in a circle" };
  }

  /** Followed, and a map. */
  map(tree: Tree | undefined): MapTree | Unresolved {
    if (tree === undefined) return { unresolved: "nothing is there" };
    const found = this.follow(tree);
    if ("unresolved" in found) return found;
    return found.kind === "map" ? found : { unresolved: "not a map" };
  }

  #document(file: string): SourceDocument | null {
    const known = this.#documents.get(file);
    if (known !== undefined) return known;
    if (this.#documents.size >= filesMax) return null;
    const document = readSourceFile(this.#io, file, this.#bounds);
    this.#documents.set(file, document);
    return document;
  }
}

export function referenceOf(tree: Tree): string | undefined {
  return tree.kind === "map" ? textOf(tree, "$ref") : undefined;
}

function pointerParts(fragment: string): readonly string[] | null {
  try {
    return fragment
      .split("/")
      .slice(1)
      .map((part) => decodeURIComponent(part).replaceAll("~1", "/").replaceAll("~0", "~"));
  } catch {
    return null;
  }
}

function stepInto(root: Tree, pointer: readonly string[]): Tree | undefined {
  let current: Tree | undefined = root;
  for (const part of pointer)
    current = current === undefined ? undefined : treeAt(current, [current.kind === "list" ? Number(part) : part]);
  return current;
}
