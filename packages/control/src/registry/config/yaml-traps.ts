// Promises that a value YAML reads otherwise than it looks is an error, not a surprise. Trusts the tree (yaml-tree.ts).
// Source: the YAML 1.2.2 core schema, and what YAML 1.1 tools (linters, editors, other languages) read differently.
import { textMax } from "./bounds.ts";
import { errorAt, type Finding } from "./finding.ts";
import type { MapEntry, ScalarTree, Tree } from "./yaml-tree.ts";

/** Keys whose value is prose; there any ` #` is taken for a cut, elsewhere a comment after a value is normal. */
const proseKeys = new Set(["purpose", "reason", "title", "description", "contact", "name"]);
const oldBooleans = /^(y|n|yes|no|on|off)$/i;

/** All traps of one file. Inline JSON Schemas are walked too: they are YAML like the rest. */
export function findTraps(tree: Tree, key = ""): Finding[] {
  if (tree.kind === "scalar") return scalarTraps(tree, key);
  if (tree.kind === "list") return tree.items.flatMap((item) => findTraps(item, key));
  const findings: Finding[] = [];
  for (const [name, entry] of tree.entries)
    findings.push(...keyTraps(name, entry), ...templateTrap(entry), ...findTraps(entry.value, name));
  return findings;
}

function keyTraps(name: string, entry: MapEntry): Finding[] {
  if (!entry.plainKey || !oldBooleans.test(name)) return [];
  return [errorAt(entry.keyAt, `the key \`${name}\` is a boolean to YAML 1.1 tools`, `quote it: "${name}"`)];
}

/** `path: {id}` is the map {id: null}. */
function templateTrap(entry: MapEntry): Finding[] {
  if (entry.value.kind !== "map" || entry.value.entries.size !== 1) return [];
  const [[name, only] = []] = entry.value.entries;
  if (name === undefined || only === undefined || only.value.kind !== "scalar") return [];
  const isBare = only.value.value === null && only.value.source === "" && only.keyAt.line === entry.value.at.line;
  if (!isBare || only.keyAt.column !== entry.value.at.column + 1) return [];
  const message = "`{…}` without quotes is a map, not a path template";
  return [errorAt({ ...entry.value.at, path: entry.keyAt.path }, message, `quote it: "{${name}}"`)];
}

function scalarTraps(tree: ScalarTree, key: string): Finding[] {
  const { value, source, at } = tree;
  if (typeof value === "string" && value.length > textMax) {
    return [errorAt(at, `the text is longer than ${textMax} characters`, "shorten it, or move it to a file")];
  }
  if (!tree.plain) return [];
  if (tree.comment !== null && isCut(tree, key)) {
    return [errorAt(at, "the text ends at ` #`: what follows is a comment", "put the whole text in double quotes")];
  }
  if (typeof value === "string" && oldBooleans.test(value)) {
    const meant = /^(y|yes|on)$/i.test(value) ? "true" : "false";
    return [
      errorAt(
        at,
        `\`${value}\` is text here and a boolean to YAML 1.1 tools`,
        `write ${meant}, or quote it: "${value}"`,
      ),
    ];
  }
  if (typeof value === "number" && String(value) !== source) {
    return [
      errorAt(
        at,
        `\`${source.slice(0, 40)}\` is read as the number ${value}`,
        `quote it if it is text: "${source.slice(0, 40)}"`,
      ),
    ];
  }
  return [];
}

function isCut(tree: ScalarTree, key: string): boolean {
  return typeof tree.value === "string" && (proseKeys.has(key) || !/^#+(\s|$)/.test(tree.comment ?? ""));
}
