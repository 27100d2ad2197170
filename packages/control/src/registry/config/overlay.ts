// Promises the file of one object as one environment sees it: its overrides merged in, every value still knowing its own place.
// Trusts the tree (yaml-tree.ts). Rules: docs/configuration.md "Environments": maps merge, everything else replaces.
import { environmentsMax } from "./bounds.ts";
import { errorAt, type Finding } from "./finding.ts";
import { suggest } from "./nearest.ts";
import type { MapEntry, MapTree, Tree } from "./yaml-tree.ts";

export interface Environments {
  /** Null: the file names none. */
  readonly names: readonly string[] | null;
  readonly overrides: ReadonlyMap<string, MapTree>;
  readonly findings: readonly Finding[];
}

/** Reads `environments`: a list of names, or a map from name to overrides (or nothing). */
export function readEnvironments(root: MapTree, declared: ReadonlySet<string>): Environments {
  const entry = root.entries.get("environments");
  if (entry === undefined) return { names: null, overrides: new Map(), findings: [] };
  const findings: Finding[] = [];
  const names: string[] = [];
  const overrides = new Map<string, MapTree>();
  const { value } = entry;
  const add = (name: unknown, at: Tree["at"]): boolean => {
    if (typeof name !== "string" || !declared.has(name)) {
      const near = suggest(typeof name === "string" ? name : "", declared);
      findings.push(errorAt(at, "no such environment", `environments are declared in sallyport.yaml: ${near}`));
      return false;
    }
    if (names.includes(name)) findings.push(errorAt(at, "the environment is named twice", "keep one"));
    else names.push(name);
    return true;
  };
  if (value.kind === "list") {
    for (const item of value.items.slice(0, environmentsMax)) add(item.kind === "scalar" ? item.value : null, item.at);
  } else if (value.kind === "map") {
    for (const [name, override] of [...value.entries].slice(0, environmentsMax)) {
      if (!add(name, override.keyAt)) continue;
      if (override.value.kind === "map") {
        const own = override.value;
        findings.push(...refuseFixedKeys(root, own));
        overrides.set(name, own);
      } else if (override.value.kind !== "scalar" || override.value.value !== null) {
        findings.push(
          errorAt(
            override.value.at,
            "expected a map of overrides, or nothing",
            "write the keys that differ here, indented",
          ),
        );
      }
    }
  } else {
    findings.push(errorAt(value.at, "expected a list or a map of environments", "write `environments: [production]`"));
  }
  if (names.length === 0 && findings.length === 0)
    findings.push(errorAt(value.at, "the list of environments is empty", "name one, or remove the key"));
  return { names, overrides, findings };
}

/** The identity of an object is the same everywhere. */
function refuseFixedKeys(root: MapTree, override: MapTree): Finding[] {
  const fixed = ["system", "integration", "trust", "issuer", "from", "to", "environments"].filter((key) =>
    override.entries.has(key),
  );
  return fixed
    .filter((key) => key === "environments" || root.entries.has(key))
    .map((key) =>
      errorAt(
        override.entries.get(key)?.keyAt ?? override.at,
        `\`${key}\` is the same in every environment`,
        "remove it here",
      ),
    );
}

/** The file without `environments`, with one environment's overrides merged in. */
export function overlay(root: MapTree, override: MapTree | undefined): MapTree {
  const entries = new Map([...root.entries].filter(([key]) => key !== "environments"));
  const base = expandShortForms({ ...root, entries });
  return override === undefined ? base : mergeMaps(base, expandShortForms(override));
}

function mergeMaps(base: MapTree, above: MapTree): MapTree {
  const entries = new Map(base.entries);
  for (const [key, entry] of above.entries) {
    const old = entries.get(key);
    const below = old?.value;
    // Two JSON Schemas merged would be a third that nobody wrote: `schema` is replaced whole.
    const value =
      key !== "schema" && below?.kind === "map" && entry.value.kind === "map"
        ? mergeMaps(below, entry.value)
        : entry.value;
    entries.set(key, { ...entry, value });
  }
  return { ...base, entries };
}

/** `invoice.read: GET /x` becomes `invoice.read: { match: GET /x }`, so that an override can add to it. Placed where the text stands. */
function expandShortForms(root: MapTree): MapTree {
  const operations = root.entries.get("operations");
  // Only systems have operations whose text is a match; an integration's values are maps or nothing.
  if (operations?.value.kind !== "map" || root.entries.has("integration")) return root;
  const expanded = new Map<string, MapEntry>();
  for (const [name, entry] of operations.value.entries)
    expanded.set(name, { ...entry, value: expandOperation(entry.value) });
  return {
    ...root,
    entries: new Map(root.entries).set("operations", {
      ...operations,
      value: { ...operations.value, entries: expanded },
    }),
  };
}

function expandOperation(value: Tree): Tree {
  if (value.kind !== "scalar" || typeof value.value !== "string") return value;
  return { kind: "map", at: value.at, entries: new Map([["match", { keyAt: value.at, plainKey: false, value }]]) };
}
