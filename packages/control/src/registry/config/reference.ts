// Promises the reference and the JSON Schemas of every configuration file, generated from the types that check it.
// Trusts the sentences written beside each key. docs/configuration.md holds the output between two markers; a test keeps it in step.
import { z } from "zod";
import { estateFileSchema, teamFileSchema, trustFileSchema } from "./estate-schema.ts";
import { integrationFileSchema } from "./integration-schema.ts";
import { issuerFileSchema } from "./issuer-schema.ts";
import { systemFileSchema } from "./system-schema.ts";

const files = [
  ["sallyport.yaml", estateFileSchema],
  ["systems/<id>.yaml", systemFileSchema],
  ["integrations/<id>.yaml", integrationFileSchema],
  ["teams/<id>.yaml", teamFileSchema],
  ["trust/<name>.yaml", trustFileSchema],
  ["issuers/<id>.yaml", issuerFileSchema],
] as const;

export type FileKind = "estate" | "system" | "integration" | "team" | "trust" | "issuer";

/** The word for each kind of file (`sallyport schema system`), by its pattern. */
const kinds: Readonly<Record<(typeof files)[number][0], FileKind>> = {
  "sallyport.yaml": "estate",
  "systems/<id>.yaml": "system",
  "integrations/<id>.yaml": "integration",
  "teams/<id>.yaml": "team",
  "trust/<name>.yaml": "trust",
  "issuers/<id>.yaml": "issuer",
};

/** The members of a JSON Schema that the reference reads. */
interface Node {
  readonly type?: string;
  readonly const?: unknown;
  readonly enum?: readonly unknown[];
  readonly default?: unknown;
  readonly description?: string;
  readonly properties?: Readonly<Record<string, Node>>;
  readonly required?: readonly string[];
  readonly additionalProperties?: Node | boolean;
  readonly items?: Node;
  readonly anyOf?: readonly Node[];
}

/** JSON Schema 2020-12 of each file, by its pattern, for editors. */
export function jsonSchemas(): ReadonlyMap<string, unknown> {
  return new Map(files.map(([name, schema]) => [name, z.toJSONSchema(schema, { io: "input" })]));
}

export interface EditorSchema {
  readonly kind: FileKind;
  /** Files of an estate it is for, as editors write patterns: `systems/*.yaml`. */
  readonly glob: string;
  /** Name of the schema file: `system.schema.json`. */
  readonly file: string;
  readonly schema: Readonly<Record<string, unknown>>;
}

/** What editors complete and check with, one schema for each kind of file. */
export function editorSchemas(): readonly EditorSchema[] {
  return files.map(([pattern, type]) => {
    const kind = kinds[pattern];
    const { $schema, ...rest } = z.toJSONSchema(type, { io: "input" });
    const title = `Sallyport: ${pattern}`;
    return {
      kind,
      glob: pattern.replace(/<\w+>/, "*"),
      file: `${kind}.schema.json`,
      schema: { $schema, title, ...rest },
    };
  });
}

export interface ReferenceRow {
  readonly file: string;
  /** `operations.<name>.body.size` */
  readonly key: string;
  readonly form: string;
  /** JSON of the default, `required`, or empty. */
  readonly fallback: string;
  readonly sentence: string;
}

/** Every key of every file, in the order of the types. Overrides under `environments` repeat the keys above and are left out. */
export function referenceRows(): ReferenceRow[] {
  // zod types its export as a wide JSON Schema; Node names the few members read here.
  return files.flatMap(([file, schema]) => rowsOf(file, "", z.toJSONSchema(schema, { io: "input" }) as Node));
}

function rowsOf(file: string, prefix: string, node: Node): ReferenceRow[] {
  const rows: ReferenceRow[] = [];
  for (const [name, member] of Object.entries(node.properties ?? {})) {
    const key = prefix === "" ? name : `${prefix}.${name}`;
    const isRequired = node.required?.includes(name) === true;
    const fallback = member.default === undefined ? (isRequired ? "required" : "") : JSON.stringify(member.default);
    rows.push({ file, key, form: formOf(member), fallback, sentence: member.description ?? "" });
    if (key === "environments" && file !== "sallyport.yaml") continue;
    rows.push(...innerRows(file, key, member));
  }
  return rows;
}

function innerRows(file: string, key: string, node: Node): ReferenceRow[] {
  return [
    ...rowsOf(file, key, {
      ...(node.properties === undefined ? {} : { properties: node.properties }),
      required: node.required ?? [],
    }),
    ...(typeof node.additionalProperties === "object"
      ? innerRows(file, `${key}.<name>`, node.additionalProperties)
      : []),
    // A list of the same map that may also stand alone has the same keys: they are said once.
    ...(node.items === undefined ? [] : innerRows(file, `${key}[]`, node.items)),
    ...alternativeRows(file, key, node.anyOf ?? []),
  ];
}

function alternativeRows(file: string, key: string, nodes: readonly Node[]): ReferenceRow[] {
  const maps = nodes.filter((node) => node.properties !== undefined || typeof node.additionalProperties === "object");
  return (maps.length > 0 ? maps : nodes).flatMap((node) => innerRows(file, key, node));
}

function formOf(node: Node): string {
  if (node.const !== undefined) return `\`${String(node.const)}\``;
  if (node.enum !== undefined) return node.enum.map((value) => `\`${String(value)}\``).join(", ");
  if (node.anyOf !== undefined) return [...new Set(node.anyOf.map(formOf))].join(" or ");
  if (node.type === "array") return `list of ${node.items === undefined ? "values" : formOf(node.items)}`;
  const words: Readonly<Record<string, string>> = {
    string: "text",
    object: "map",
    integer: "whole number",
    boolean: "true or false",
    null: "nothing",
  };
  return words[node.type ?? ""] ?? "any";
}

export const referenceStart = "<!-- reference: generated from packages/control/src/registry/config; do not edit -->";
export const referenceEnd = "<!-- end of reference -->";

/** The reference as Markdown, one table per file. */
export function referenceMarkdown(): string {
  const rows = referenceRows();
  const sections = files.map(([file]) => {
    const lines = rows
      .filter((row) => row.file === file)
      .map(({ key, form, fallback, sentence }) => {
        const shown = fallback === "" || fallback === "required" ? fallback : `\`${fallback}\``;
        return `| \`${key}\` | ${form} | ${shown} | ${sentence} |`;
      });
    return [`### \`${file}\``, "", "| key | form | default | meaning |", "|---|---|---|---|", ...lines, ""].join("\n");
  });
  return `${referenceStart}\n\n${sections.join("\n")}\n${referenceEnd}`;
}

/** The page with its reference replaced by the generated one. Throws when the page lost its markers. */
export function withReference(page: string): string {
  const start = page.indexOf(referenceStart);
  const end = page.indexOf(referenceEnd);
  if (start === -1 || end < start) throw new Error("docs/configuration.md has lost the markers of its reference");
  return page.slice(0, start) + referenceMarkdown() + page.slice(end + referenceEnd.length);
}
