// Promises a YAML file as a bounded tree in which every key and value knows its place, or findings that say why not.
// Trusts the `yaml` package to parse; refuses what it would resolve for us (aliases, anchors, tags, several documents).
// Specified by YAML 1.2.2 with the core schema, and docs/configuration.md "YAML we accept".
import type { LineCounter, Node } from "yaml";
import { depthMax, nodesMax, syntaxFindingsMax, yamlBytesMax } from "./bounds.ts";
import { errorAt, type Finding, fileSpot, pathInto, type Spot } from "./finding.ts";
import { parsePlainYaml } from "./plain-yaml.ts";
import { type YamlPackage, yamlPackage } from "./yaml-package.ts";
import { duplicateKey, explainErrors } from "./yaml-syntax.ts";

export type ScalarValue = string | number | boolean | null;

export interface ScalarTree {
  readonly kind: "scalar";
  readonly at: Spot;
  readonly value: ScalarValue;
  /** As written; differs from the value for numbers such as `1.10`. */
  readonly source: string;
  /** Written without quotes and not as a block text. */
  readonly plain: boolean;
  /** A comment that follows on the same line, from its `#`. */
  readonly comment: string | null;
}

export interface MapEntry {
  readonly keyAt: Spot;
  /** The key was written without quotes. */
  readonly plainKey: boolean;
  readonly value: Tree;
}

export interface MapTree {
  readonly kind: "map";
  readonly at: Spot;
  readonly entries: ReadonlyMap<string, MapEntry>;
}

export interface ListTree {
  readonly kind: "list";
  readonly at: Spot;
  readonly items: readonly Tree[];
}

export type Tree = ScalarTree | MapTree | ListTree;

export interface ParsedYaml {
  /** Null when there is no usable root map; then `findings` has an error. */
  readonly root: MapTree | null;
  readonly findings: readonly Finding[];
}

/** Parses one estate file. `file` is the name that findings show. Never throws on any input. */
export function parseYaml(file: string, text: string): ParsedYaml {
  if (text.length > yamlBytesMax) {
    const message = `the file is larger than ${yamlBytesMax} bytes`;
    return failed(errorAt(fileSpot(file), message, "split it: one file per object"));
  }
  const plain = parsePlainYaml(file, text);
  return plain === null ? parseAnyYaml(file, text) : { root: plain, findings: [] };
}

/** The same with the package alone, whatever the text: the measure of `parsePlainYaml`. */
export function parseAnyYaml(file: string, text: string): ParsedYaml {
  const whole = fileSpot(file);
  // `%YAML 1.1` would make `no` a boolean again; `%TAG` names other types.
  if (/^\uFEFF?(?:[ \t]*(?:#[^\n]*)?\r?\n)*%/.test(text))
    return failed(errorAt(whole, "YAML directives (`%`) are not accepted", "remove the line"));
  const yaml = yamlPackage();
  const lines = new yaml.LineCounter();
  const builder = new TreeBuilder(file, text, { yaml, lines });
  try {
    const documents = yaml.parseAllDocuments(text, {
      version: "1.2",
      schema: "core",
      merge: false,
      strict: true,
      // The parser looks through the whole map for each key, which takes minutes for a large one: `#map` looks.
      uniqueKeys: false,
      prettyErrors: false,
      logLevel: "silent",
      lineCounter: lines,
    });
    if (!Array.isArray(documents) || documents.length === 0)
      return failed(errorAt(whole, "the file is empty", "delete it, or write the object"));
    const errors = documents.flatMap((document) => [...document.errors, ...document.warnings]);
    if (errors.length > 0) {
      const findings = explainErrors(errors, text, syntaxFindingsMax).map(({ offset, message, fix }) =>
        errorAt(builder.spot(offset, "$"), message, fix),
      );
      return { root: null, findings };
    }
    const [first, second] = documents;
    if (second !== undefined) {
      const at = builder.spot(second.range[0], "$");
      return failed(
        errorAt(at, "the file holds more than one YAML document (`---`)", "put each object into a file of its own"),
      );
    }
    const contents = first?.contents ?? null;
    if (contents === null) return failed(errorAt(whole, "the file is empty", "delete it, or write the object"));
    const root = builder.build(contents, "$", 0);
    if (builder.findings.length > 0 || root === null) return { root: null, findings: builder.findings };
    if (root.kind !== "map")
      return failed(errorAt(root.at, "the file is not a map of keys", "write `key: value` lines"));
    return { root, findings: [] };
  } catch (cause) {
    // The parser recurses: input nested past the stack ends here, as a finding like any other.
    if (cause instanceof RangeError)
      return failed(errorAt(whole, "the file is nested too deeply", `use at most ${depthMax} levels`));
    throw cause;
  }
}

function failed(finding: Finding): ParsedYaml {
  return { root: null, findings: [finding] };
}

class TreeBuilder {
  readonly findings: Finding[] = [];
  readonly #file: string;
  readonly #text: string;
  readonly #yaml: YamlPackage;
  readonly #lines: LineCounter;
  #nodes = 0;

  constructor(file: string, text: string, by: { readonly yaml: YamlPackage; readonly lines: LineCounter }) {
    this.#file = file;
    this.#text = text;
    this.#yaml = by.yaml;
    this.#lines = by.lines;
  }

  spot(offset: number, path: string): Spot {
    const { line, col } = this.#lines.linePos(offset);
    return { file: this.#file, line: Math.max(1, line), column: Math.max(1, col), path };
  }

  build(node: Node | null, path: string, depth: number): Tree | null {
    this.#nodes += 1;
    const at = this.spot(node?.range?.[0] ?? 0, path);
    if (this.#nodes > nodesMax)
      return this.#refuse(at, `the file has more than ${nodesMax} values`, "split it: one file per object");
    if (depth > depthMax)
      return this.#refuse(at, `the file is nested deeper than ${depthMax} levels`, "make it flatter");
    if (node === null) return { kind: "scalar", at, value: null, source: "", plain: true, comment: null };
    if (node.tag !== undefined && this.#hasWrittenTag(node)) {
      return this.#refuse(at, "YAML tags (`!name`) are not accepted", "remove the tag");
    }
    if ("anchor" in node && node.anchor !== undefined) {
      return this.#refuse(at, "YAML anchors and aliases are not accepted", "write the value out where it is needed");
    }
    const { isMap, isNode, isScalar, isSeq } = this.#yaml;
    if (isMap(node)) return this.#map(node.items, at, depth);
    if (isSeq(node)) {
      const items = node.items.map((item, index) =>
        this.build(isNode(item) ? item : null, pathInto(path, index), depth + 1),
      );
      return { kind: "list", at, items: items.filter((item) => item !== null) };
    }
    if (isScalar(node)) return this.#scalar(node, at);
    return this.#refuse(at, "YAML anchors and aliases are not accepted", "write the value out where it is needed");
  }

  #map(pairs: readonly { readonly key: unknown; readonly value: unknown }[], at: Spot, depth: number): MapTree {
    const { isNode, isScalar } = this.#yaml;
    const entries = new Map<string, MapEntry>();
    for (const { key, value } of pairs) {
      if (!isScalar(key)) {
        this.#refuse(
          isNode(key) ? this.spot(key.range?.[0] ?? 0, at.path) : at,
          "a key is not a plain word",
          "quote it if it is text",
        );
        continue;
      }
      // A key such as 404 or true is text here, as it is written.
      const name = typeof key.value === "string" ? key.value : (key.source ?? String(key.value));
      const keyAt = this.spot(key.range?.[0] ?? 0, pathInto(at.path, name));
      if (name === "__proto__") {
        this.#refuse(keyAt, "`__proto__` is not accepted as a key", "choose another name");
        continue;
      }
      if (key.anchor !== undefined || this.#hasWrittenTag(key)) {
        this.#refuse(keyAt, "YAML anchors and tags are not accepted", "write the key out");
        continue;
      }
      if (entries.has(name)) {
        this.#refuse(keyAt, ...duplicateKey);
        continue;
      }
      const built = isNode(value) ? this.build(value, keyAt.path, depth + 1) : this.#absent(keyAt);
      if (built !== null) entries.set(name, { keyAt, plainKey: key.type === "PLAIN", value: built });
    }
    return { kind: "map", at, entries };
  }

  #absent(keyAt: Spot): ScalarTree {
    this.#nodes += 1;
    return { kind: "scalar", at: keyAt, value: null, source: "", plain: true, comment: null };
  }

  #scalar(
    node: { value: unknown; source?: string; type?: string; range?: readonly number[] | null },
    at: Spot,
  ): ScalarTree | null {
    const { value } = node;
    if (value !== null && typeof value !== "string" && typeof value !== "number" && typeof value !== "boolean") {
      return this.#refuse(at, "a value of this type is not accepted", "quote it if it is text");
    }
    const end = node.range?.[1] ?? 0;
    const rest = /^[ \t]+(#[^\r\n]*)/.exec(this.#text.slice(end, this.#lineEnd(end)));
    const plain = node.type === "PLAIN";
    return {
      kind: "scalar",
      at,
      value,
      source: node.source ?? String(value),
      plain,
      comment: plain ? (rest?.[1] ?? null) : null,
    };
  }

  #lineEnd(offset: number): number {
    const end = this.#text.indexOf("\n", offset);
    return end === -1 ? this.#text.length : end;
  }

  /** The composer sets `tag` on resolved nodes too; a written one stands in the source before the value. */
  #hasWrittenTag(node: Node): boolean {
    return (
      node.tag !== undefined &&
      this.#text
        .slice(0, node.range?.[0] ?? 0)
        .trimEnd()
        .split(/\s/)
        .at(-1)
        ?.startsWith("!") === true
    );
  }

  #refuse(at: Spot, message: string, fix: string): null {
    if (this.findings.length < syntaxFindingsMax) this.findings.push(errorAt(at, message, fix));
    return null;
  }
}

/** The value of a tree as plain data. Maps have no prototype, so that no key can reach one. */
export function plainOf(tree: Tree): unknown {
  if (tree.kind === "scalar") return tree.value;
  if (tree.kind === "list") return tree.items.map(plainOf);
  const result: Record<string, unknown> = Object.create(null);
  for (const [key, entry] of tree.entries) result[key] = plainOf(entry.value);
  return result;
}

/** The spot of a value, or of its nearest ancestor that exists, with the full path asked for. */
export function spotOf(tree: Tree, path: readonly (string | number)[], part: "key" | "value" = "value"): Spot {
  let current: Tree = tree;
  let spot = tree.at;
  for (const [index, member] of path.entries()) {
    const isLast = index === path.length - 1;
    const entry: MapEntry | undefined = current.kind === "map" ? current.entries.get(String(member)) : undefined;
    const next: Tree | undefined =
      current.kind === "list" && typeof member === "number" ? current.items[member] : entry?.value;
    if (next === undefined) return { ...spot, path: path.slice(index).reduce<string>(pathInto, current.at.path) };
    spot = isLast && part === "key" && entry !== undefined ? entry.keyAt : next.at;
    current = next;
  }
  return spot;
}

/** A map as if one of its keys had not been written. */
export function withoutKey(root: MapTree, key: string): MapTree {
  if (!root.entries.has(key)) return root;
  return { ...root, entries: new Map([...root.entries].filter(([name]) => name !== key)) };
}

/** The subtree at a path, or undefined. */
export function treeAt(tree: Tree, path: readonly (string | number)[]): Tree | undefined {
  let current: Tree | undefined = tree;
  for (const member of path) {
    if (current?.kind === "map") current = current.entries.get(String(member))?.value;
    else if (current?.kind === "list" && typeof member === "number") current = current.items[member];
    else return undefined;
  }
  return current;
}

/** A text value at a path, or null when it is something else. */
export function textAt(tree: Tree, path: readonly (string | number)[]): string | null {
  const found = treeAt(tree, path);
  return found?.kind === "scalar" && typeof found.value === "string" ? found.value : null;
}

/** The environment whose overrides a JSONPath points into, or null. */
export function pathOfEnvironment(path: string): string | null {
  const [, plain, quoted] = /^\$\.environments(?:\.([A-Za-z_]\w*)|\['([^']+)'\])/.exec(path) ?? [];
  return plain ?? quoted ?? null;
}
