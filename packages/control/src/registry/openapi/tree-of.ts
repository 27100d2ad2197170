// Promises plain data as a tree whose values all stand at one place: what was made of something that was written there. Pure. Trusts its caller for plain JSON.
import { pathInto, type Spot } from "../config/finding.ts";
import type { MapEntry, MapTree, Tree } from "../config/yaml-tree.ts";

export function treeOf(value: unknown, at: Spot): Tree {
  if (Array.isArray(value))
    return {
      kind: "list",
      at,
      items: value.map((item, index) => treeOf(item, { ...at, path: pathInto(at.path, index) })),
    };
  if (typeof value === "object" && value !== null)
    return mapTree(
      at,
      Object.entries(value).map(([key, one]) => [key, treeOf(one, { ...at, path: pathInto(at.path, key) })]),
    );
  const scalar = typeof value === "string" || typeof value === "number" || typeof value === "boolean" ? value : null;
  return { kind: "scalar", at, value: scalar, source: String(value), plain: false, comment: null };
}

export function mapTree(at: Spot, members: readonly (readonly [string, Tree])[]): MapTree {
  return { kind: "map", at, entries: new Map(members.map(([key, value]) => [key, entryOf(value)])) };
}

export function entryOf(value: Tree): MapEntry {
  return { keyAt: value.at, plainKey: true, value };
}
