// Promises the members of a tree by name, without assuming any shape: what has another form is absent. Trusts yaml-tree.ts. Format: none of its own.
import { findClearSecrets } from "../config/clear-secrets.ts";
import type { Place } from "../config/finding.ts";
import { type MapTree, type Tree, treeAt } from "../config/yaml-tree.ts";

export function member(tree: Tree | undefined, key: string): Tree | undefined {
  return tree === undefined ? undefined : treeAt(tree, [key]);
}

export function mapOf(tree: Tree | undefined, key: string): MapTree | undefined {
  const found = member(tree, key);
  return found?.kind === "map" ? found : undefined;
}

export function itemsOf(tree: Tree | undefined, key: string): readonly Tree[] {
  const found = member(tree, key);
  return found?.kind === "list" ? found.items : [];
}

/** A text, or a number as it is written; empty texts are absent. */
export function textOf(tree: Tree | undefined, key: string): string | undefined {
  return scalarText(member(tree, key));
}

export function scalarText(tree: Tree | undefined): string | undefined {
  if (tree?.kind !== "scalar" || tree.value === null || tree.value === "") return undefined;
  return typeof tree.value === "string" ? tree.value : tree.source;
}

export function numberOf(tree: Tree | undefined, key: string): number | undefined {
  const found = member(tree, key);
  return found?.kind === "scalar" && typeof found.value === "number" ? found.value : undefined;
}

export function flagOf(tree: Tree | undefined, key: string): boolean | undefined {
  const found = member(tree, key);
  return found?.kind === "scalar" && typeof found.value === "boolean" ? found.value : undefined;
}

/** A list of texts, also where one stands alone. */
export function textsOf(tree: Tree | undefined, key: string): readonly string[] {
  const found = member(tree, key);
  const items = found?.kind === "list" ? found.items : found === undefined ? [] : [found];
  return items.flatMap((item) => scalarText(item) ?? []);
}

/** A sentence of the source in one line, fit to stand in an estate; undefined when nothing is left, or when it looks like a secret. */
export function sentenceOf(tree: Tree | undefined, key: string): string | undefined {
  const found = member(tree, key);
  const text = (scalarText(found) ?? "")
    .replaceAll(/[\p{C}\s]+/gu, " ")
    .trim()
    .slice(0, 200)
    .trim();
  if (found === undefined || text === "") return undefined;
  const asWritten: Tree = { kind: "scalar", at: found.at, value: text, source: text, plain: false, comment: null };
  return findClearSecrets(asWritten).length > 0 ? undefined : text;
}

/** Where a key stands, else where its map begins. */
export function placeOfKey(tree: Tree, key: string): Place {
  const entry = tree.kind === "map" ? tree.entries.get(key) : undefined;
  return entry?.keyAt ?? tree.at;
}
