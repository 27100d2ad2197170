// Promises one layout for a file of an estate, with every value, every comment and every trap as it was: proven by reading both, or refused.
// Trusts the `yaml` package to print and yaml-tree.ts to read. Specified in docs/cli/fmt.md.
import { isDeepStrictEqual } from "node:util";
import {
  Document,
  isMap,
  isScalar,
  isSeq,
  type Pair,
  Parser,
  parseDocument,
  type Scalar,
  YAMLMap,
  YAMLSeq,
} from "yaml";
import { yamlBytesMax } from "../config/bounds.ts";
import { decodeText, type EstateIo } from "../config/estate-io.ts";
import { errorAt, type Finding, fileSpot } from "../config/finding.ts";
import type { FileKind } from "../config/reference.ts";
import { readYamlFile } from "../config/source-files.ts";
import { findTraps } from "../config/yaml-traps.ts";
import { type MapTree, parseYaml, plainOf } from "../config/yaml-tree.ts";
import { alternatives, intoItem, intoKey, keysOf, type OrderNode, orderOf } from "./key-order.ts";

/** A `{ … }` or `[ … ]` longer than this becomes lines of its own. */
export const flowCharactersMax = 100;

export type Formatted = { readonly text: string } | { readonly findings: readonly Finding[] };

export interface FormatInput {
  /** The name that findings show. */
  readonly file: string;
  readonly kind: FileKind;
  readonly text: string;
}

/** The file in the one layout, or why it is left as it is. */
export function formatYaml(input: FormatInput): Formatted {
  const before = parseYaml(input.file, input.text);
  if (before.root === null) return { findings: before.findings };
  const once = print(input.text, input.kind);
  // Some comments find their place in the second pass; one that would not rest is refused below.
  const text = print(once, input.kind);
  const refused =
    refuseChange(input, before.root, text) ??
    (print(text, input.kind) === text ? null : "the layout of this file does not come to rest");
  if (refused === null) return { text };
  return {
    findings: [errorAt(fileSpot(input.file), `${refused}, so the file is left as it is`, "lay it out by hand")],
  };
}

/** The same for a file of an estate; `changed` is false when it has the layout already. */
export function formatFile(
  io: EstateIo,
  { file, kind }: Pick<FormatInput, "file" | "kind">,
): { readonly text: string; readonly changed: boolean } | { readonly findings: readonly Finding[] } {
  const bytes = io.read(file, yamlBytesMax);
  const text = typeof bytes === "string" ? null : decodeText(bytes);
  // What cannot be read at all: the reader of the estate has the words.
  if (text === null) return { findings: readYamlFile(io, file)?.findings ?? [] };
  const formatted = formatYaml({ file, kind, text });
  return "findings" in formatted ? formatted : { text: formatted.text, changed: formatted.text !== text };
}

function refuseChange(input: FormatInput, before: MapTree, text: string): string | null {
  const after = parseYaml(input.file, text).root;
  if (after === null || !isDeepStrictEqual(plainOf(before), plainOf(after))) return "the layout would change a value";
  if (!isDeepStrictEqual(trapsOf(before), trapsOf(after))) return "the layout would hide or make a YAML trap";
  return isDeepStrictEqual(commentsOf(input.text), commentsOf(text)) ? null : "a comment would be lost";
}

function trapsOf(root: MapTree): readonly string[] {
  return findTraps(root)
    .map(({ path, message }) => `${path} ${message}`)
    .sort();
}

/** Every comment of a text, in any order: keys move. */
function commentsOf(text: string): readonly string[] {
  const comments: string[] = [];
  const walk = (token: unknown): void => {
    if (typeof token !== "object" || token === null) return;
    if ("type" in token && token.type === "comment" && "source" in token) comments.push(String(token.source).trimEnd());
    for (const value of Object.values(token)) walk(value);
  };
  for (const token of new Parser().parse(text)) walk(token);
  return comments.sort();
}

function print(text: string, kind: FileKind): string {
  const document = parseDocument(text.replace(/^\uFEFF/, "").replaceAll("\r\n", "\n"), {
    version: "1.2",
    schema: "core",
    merge: false,
    // Looked for before this, by a reader that is not slow at it.
    uniqueKeys: false,
    logLevel: "silent",
    keepSourceTokens: true,
  });
  if (document.directives !== undefined) document.directives.docStart = null;
  const root = document.contents;
  const mark = markFor(text);
  if (isMap(root)) {
    markSameLine(root, mark);
    layOut(root, alternatives(orderOf(kind)));
  }
  return printDocument(document)
    .replaceAll(new RegExp(`:\\n *#${mark}`, "g"), ": #")
    .replaceAll(mark, "");
}

/** A word that the text does not have. */
function markFor(text: string): string {
  let mark = "same-line";
  while (text.includes(mark)) mark += "-";
  return mark;
}

/** `listeners: # where callers come in`: the printer would put the comment on the next line, so it is marked and put back. */
function markSameLine(node: unknown, mark: string): void {
  if (isSeq(node)) for (const item of node.items) markSameLine(item, mark);
  if (!isMap(node)) return;
  for (const { value, srcToken } of node.items) {
    const [comment] = srcToken?.sep?.filter(({ type }) => type === "comment" || type === "newline") ?? [];
    if ((isMap(value) || isSeq(value)) && value.flow !== true && comment?.type === "comment")
      value.commentBefore = `${mark}${value.commentBefore ?? ""}`;
    markSameLine(value, mark);
  }
}

function printDocument(document: Document): string {
  return document.toString({ lineWidth: 0, indent: 2, indentSeq: true });
}

/** Maps of named things, each on lines of its own. */
const blockKeys: ReadonlySet<string> = new Set(["operations", "environments", "teams", "listeners", "operators"]);

function layOut(root: YAMLMap, nodes: readonly OrderNode[]): void {
  root.flow = false;
  for (const { key, value } of root.items) {
    const isNamed = isScalar(key) && blockKeys.has(String(key.value));
    if (isMap(value) && isNamed && value.items.length > 0) value.flow = false;
    if (isSeq(value) && value.items.some((item) => isMap(item) || isSeq(item))) value.flow = false;
  }
  visit(root, nodes, false);
}

/** Keys of the type come in its order; what an author named keeps the author's order. */
function visit(node: unknown, nodes: readonly OrderNode[], inFlow: boolean): void {
  if (isScalar(node)) normaliseQuotes(node);
  if (!isMap(node) && !isSeq(node)) return;
  const isFlow = inFlow || (node.flow === true && staysOnOneLine(node));
  node.flow = isFlow;
  if (isFlow) pad(node);
  if (isSeq(node)) {
    for (const item of node.items) visit(item, intoItem(nodes), isFlow);
    return;
  }
  sortKeys(node, keysOf(nodes));
  for (const { key, value } of node.items) {
    visit(key, [], isFlow);
    visit(value, isScalar(key) ? intoKey(nodes, String(key.value)) : [], isFlow);
  }
}

/** False for one that is long, or has a comment inside. An empty one has no other form. */
function staysOnOneLine(node: YAMLMap | YAMLSeq): boolean {
  const alone = new Document();
  // The node goes back unchanged: a document of its own is the way to print it.
  alone.contents = node;
  const printed = printDocument(alone).trimEnd();
  return node.items.length === 0 || (!printed.includes("\n") && printed.length <= flowCharactersMax);
}

/** `{ a: b }` and `[a, b]`: the printer has one setting for both. */
function pad(node: YAMLMap | YAMLSeq): void {
  const flowCollectionPadding = isMap(node) ? " " : "";
  const printer = isMap(node) ? YAMLMap.prototype.toString : YAMLSeq.prototype.toString;
  node.toString = (context, ...rest) =>
    printer.call(node, context === undefined ? undefined : { ...context, flowCollectionPadding }, ...rest);
}

function normaliseQuotes(scalar: Scalar): void {
  const { value } = scalar;
  if (scalar.type === "QUOTE_SINGLE" && typeof value === "string" && !/["\\]/.test(value)) scalar.type = "QUOTE_DOUBLE";
}

function sortKeys(map: YAMLMap, keys: readonly string[]): void {
  const [first] = map.items;
  const rank = ({ key }: Pair): number => {
    const index = isScalar(key) ? keys.indexOf(String(key.value)) : -1;
    return index === -1 ? keys.length : index;
  };
  const sorted = map.items
    .map((pair, index) => ({ pair, index }))
    .sort((a, b) => rank(a.pair) - rank(b.pair) || a.index - b.index)
    .map(({ pair }) => pair);
  map.items = sorted;
  const [top] = sorted;
  if (first === top || !isScalar(top?.key)) return;
  // What stands above the first key of a nested map belongs to the map and stays on top; a blank line above the key that comes up would follow it.
  top.key.spaceBefore = false;
}
