// Promises that what a zod type refuses becomes findings with place and fix. Trusts the types for what is right (system-schema.ts and friends).
import { z } from "zod";
import { isSecretKey } from "./clear-secrets.ts";
import { errorAt, type Finding } from "./finding.ts";
import { laterKeys } from "./later-keys.ts";
import { suggest } from "./nearest.ts";
import { plainOf, spotOf, type Tree, treeAt } from "./yaml-tree.ts";

type Path = readonly (string | number)[];
type Issue = z.core.$ZodIssue;

export type Shaped<T> =
  | { readonly value: T; readonly findings: readonly [] }
  | { readonly value: null; readonly findings: readonly Finding[] };

/** Checks a tree against a type. Every finding carries the place of the value it is about. */
export function shape<S extends z.ZodType>(schema: S, tree: Tree): Shaped<z.output<S>> {
  const result = schema.safeParse(plainOf(tree));
  if (result.success) return { value: result.data, findings: [] };
  return { value: null, findings: result.error.issues.flatMap((issue) => explain(issue, [], { schema, tree })) };
}

interface Context {
  readonly schema: z.ZodType;
  readonly tree: Tree;
}

function explain(issue: Issue, prefix: Path, context: Context): Finding[] {
  const path = [...prefix, ...issue.path.map((part) => (typeof part === "symbol" ? String(part) : part))];
  const spot = spotOf(context.tree, path);
  switch (issue.code) {
    case "unrecognized_keys":
      return issue.keys.flatMap((key) => explainUnknownKey(key, path, context));
    case "invalid_union":
      return explainUnion(issue, path, context);
    case "invalid_type":
      return [explainType(String(issue.expected), path, context)];
    case "invalid_value": {
      const allowed = issue.values.map(String);
      if (treeAt(context.tree, path) === undefined) return [explainType("text", path, context)];
      return [
        errorAt(
          spot,
          `not one of ${allowed.map((value) => `\`${value}\``).join(", ")}`,
          suggest(shownText(context.tree, path), allowed),
        ),
      ];
    }
    case "invalid_key":
    case "invalid_element": {
      const inner = issue.issues[0];
      const said = inner === undefined ? null : customText(inner);
      return [
        errorAt(
          spotOf(context.tree, path, "key"),
          said?.message ?? "the key is not accepted",
          said?.fix ?? "see docs/configuration.md",
        ),
      ];
    }
    case "too_small":
      return [
        errorAt(
          spot,
          issue.origin === "array" ? "the list is empty" : `smaller than ${issue.minimum}`,
          issue.origin === "array" ? "name at least one" : `write ${issue.minimum} or more`,
        ),
      ];
    case "too_big":
      return [
        errorAt(
          spot,
          issue.origin === "array" ? `more than ${issue.maximum} items` : `larger than ${issue.maximum}`,
          `use at most ${issue.maximum}`,
        ),
      ];
    default: {
      const said = customText(issue);
      return [
        errorAt(spot, said?.message ?? "not in the form this key needs", said?.fix ?? "see docs/configuration.md"),
      ];
    }
  }
}

function customText(issue: Issue): { message: string; fix: string } | null {
  if (issue.code !== "custom") return null;
  const fix: unknown = issue.params?.["fix"];
  return { message: issue.message, fix: typeof fix === "string" ? fix : "see docs/configuration.md" };
}

function explainUnknownKey(key: string, path: Path, context: Context): Finding[] {
  const spot = spotOf(context.tree, [...path, key], "key");
  // clear-secrets.ts has the better words for such a key.
  if (isSecretKey(key))
    return [
      errorAt(spot, `the key \`${key}\` does not exist, and secrets never stand in configuration`, "remove the key"),
    ];
  const later = laterKeys.get(key);
  if (later !== undefined) return [errorAt(spot, `\`${key}\` is not in this version`, later)];
  return [errorAt(spot, `unknown key \`${key.slice(0, 64)}\``, suggest(key, keysAt(context.schema, path)))];
}

/** Of a union the branch whose kind fits what was written speaks; if none fits, the kinds are listed. */
function explainUnion(issue: Issue & { code: "invalid_union" }, path: Path, context: Context): Finding[] {
  const fitting = issue.errors.find((branch) =>
    branch.some((inner) => !(inner.path.length === 0 && isKindIssue(inner))),
  );
  if (fitting !== undefined) return fitting.flatMap((inner) => explain(inner, path, context));
  if (treeAt(context.tree, path) === undefined) return [explainType("text", path, context)];
  const kinds = new Set(issue.errors.flatMap((branch) => branch.map((inner) => expectedKind(inner))));
  const spot = spotOf(context.tree, path);
  return [
    errorAt(
      spot,
      `expected ${[...kinds].join(" or ")}, found ${foundKind(treeAt(context.tree, path))}`,
      "see docs/configuration.md",
    ),
  ];
}

function isKindIssue(issue: Issue): boolean {
  return issue.code === "invalid_type" || issue.code === "invalid_value";
}

function expectedKind(issue: Issue): string {
  if (issue.code === "invalid_type") return kindWords.get(String(issue.expected)) ?? String(issue.expected);
  if (issue.code === "invalid_value") return issue.values.map((value) => `\`${String(value)}\``).join(" or ");
  return "another form";
}

const kindWords: ReadonlyMap<string, string> = new Map([
  ["string", "text"],
  ["text", "text"],
  ["object", "a map"],
  ["record", "a map"],
  ["array", "a list"],
  ["boolean", "true or false"],
  ["number", "a number"],
  ["int", "a whole number"],
]);

function explainType(expected: string, path: Path, context: Context): Finding {
  const found = treeAt(context.tree, path);
  const wanted = kindWords.get(expected) ?? expected;
  const last = path.at(-1);
  if (found === undefined) {
    const sentence = describe(context.schema, path);
    return errorAt(spotOf(context.tree, path), `\`${last ?? "value"}\` is missing`, `add it: ${sentence ?? wanted}`);
  }
  const spot = spotOf(context.tree, path);
  if (found.kind === "scalar" && found.value === null)
    return errorAt(spot, "no value", `write ${wanted}, or remove the key`);
  if (expected === "boolean" && found.kind === "scalar")
    return errorAt(spot, "expected true or false, found text", "write true or false without quotes");
  if (wanted === "text" && found.kind === "scalar")
    return errorAt(spot, `expected text, found ${foundKind(found)}`, "put it in double quotes");
  return errorAt(spot, `expected ${wanted}, found ${foundKind(found)}`, `write ${wanted}`);
}

function foundKind(tree: Tree | undefined): string {
  if (tree === undefined) return "nothing";
  if (tree.kind === "map") return "a map";
  if (tree.kind === "list") return "a list";
  if (tree.value === null) return "nothing";
  return typeof tree.value === "string"
    ? "text"
    : typeof tree.value === "number"
      ? `the number ${tree.value}`
      : String(tree.value);
}

function shownText(tree: Tree, path: Path): string {
  const found = treeAt(tree, path);
  return found?.kind === "scalar" ? String(found.value) : "";
}

interface JsonSchemaNode {
  readonly properties?: Readonly<Record<string, JsonSchemaNode>>;
  readonly additionalProperties?: JsonSchemaNode | boolean;
  readonly items?: JsonSchemaNode;
  readonly anyOf?: readonly JsonSchemaNode[];
  readonly description?: string;
}

/** The nodes of the type's JSON Schema that a path can lead to. */
function nodesAt(schema: z.ZodType, path: Path): JsonSchemaNode[] {
  // zod types its export as a wide JSON Schema; JsonSchemaNode names the few members read here.
  const root = z.toJSONSchema(schema, { io: "input", unrepresentable: "any" }) as JsonSchemaNode;
  let nodes = alternatives(root);
  for (const part of path) {
    nodes = nodes.flatMap((node) => {
      if (typeof part === "number") return node.items === undefined ? [] : alternatives(node.items);
      const next = Object.hasOwn(node.properties ?? {}, part) ? node.properties?.[part] : node.additionalProperties;
      return typeof next === "object" ? alternatives(next) : [];
    });
  }
  return nodes;
}

function alternatives(node: JsonSchemaNode): JsonSchemaNode[] {
  return [node, ...(node.anyOf ?? []).flatMap(alternatives)];
}

function keysAt(schema: z.ZodType, path: Path): string[] {
  return [...new Set(nodesAt(schema, path).flatMap((node) => Object.keys(node.properties ?? {})))];
}

function describe(schema: z.ZodType, path: Path): string | undefined {
  return nodesAt(schema, path).find((node) => node.description !== undefined)?.description;
}
