// Promises the data classes (`x-data-class`) that an operation's parameters and answers are marked with, besides those of its body's own schema.
// Trusts references.ts; walks each place once. Specified in docs/configuration.md "Data classes".
import { dataClasses } from "../../config/data-classes.ts";
import type { MapTree, Tree } from "../../config/yaml-tree.ts";
import type { Reporter } from "../import-report.ts";
import { scalarText } from "../tree-members.ts";
import { type References, referenceOf } from "./references.ts";

/** Places of one operation's answers that are looked at. */
const placesMax = 20_000;

export interface ClassInput {
  readonly references: References;
  readonly report: Reporter;
  readonly name: string;
  /** The path item, for its parameters. */
  readonly shared: MapTree;
  /** The body's schema is not taken over, so its marks are looked at here. */
  readonly withBody: boolean;
}

export function dataClassesOf(operation: MapTree, input: ClassInput): readonly string[] {
  const found = new Set<string>();
  const seen = new Set<Tree>();
  const keys = ["responses", "parameters", ...(input.withBody ? ["requestBody"] : [])];
  const shared = input.shared.entries.get("parameters")?.value;
  const waiting: Tree[] = [...keys.map((key) => operation.entries.get(key)?.value), shared].filter(
    (tree) => tree !== undefined,
  );
  const own = operation.entries.get("x-data-class");
  if (own !== undefined) collect(own.value, found, input);
  for (let tree = waiting.pop(); tree !== undefined && seen.size < placesMax; tree = waiting.pop()) {
    if (seen.has(tree)) continue;
    seen.add(tree);
    const reference = referenceOf(tree);
    if (reference !== undefined) {
      const target = input.references.target(tree.at.file, reference);
      if (!("unresolved" in target)) waiting.push(target.tree);
    }
    if (tree.kind === "list") waiting.push(...tree.items);
    if (tree.kind !== "map") continue;
    for (const [key, entry] of tree.entries) {
      if (key === "x-data-class") collect(entry.value, found, input);
      else if (!["example", "examples", "default", "enum", "const"].includes(key)) waiting.push(entry.value);
    }
  }
  return dataClasses.filter((name) => found.has(name));
}

function collect(tree: Tree, found: Set<string>, { report, name }: ClassInput): void {
  for (const item of tree.kind === "list" ? tree.items : [tree]) {
    const text = scalarText(item) ?? "";
    const known = dataClasses.find((one) => one === text);
    if (known !== undefined) found.add(known);
    else
      report.lost(item.at, `x-data-class of ${name}`, {
        why: "not a data class",
        fix: `use one of ${dataClasses.join(", ")}`,
      });
  }
}
