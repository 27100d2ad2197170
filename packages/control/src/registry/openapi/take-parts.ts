// Promises the parts of multipart/form-data that a description declares, as `parts` of a body: files where it says binary or names a type, else texts.
// Trusts references.ts. Specified in docs/openapi.md; OpenAPI 3.1.1 "Considerations for multipart Content" and "Encoding Object".
import type { MapTree, Tree } from "../config/yaml-tree.ts";
import { mapOf, numberOf, textOf, textsOf } from "../import/tree-members.ts";
import type { Filling } from "./taken.ts";
import { mapTree, treeOf } from "./tree-of.ts";

const mostMax = 64;

/** Null: no schema says which parts there are. */
export function partsOf(filling: Filling, media: MapTree | undefined): Tree | null {
  const written = media?.entries.get("schema")?.value;
  const schema = filling.description.references.map(written);
  const properties = "unresolved" in schema ? undefined : mapOf(schema, "properties");
  if (media === undefined || "unresolved" in schema || properties === undefined) return null;
  const required = textsOf(schema, "required");
  return mapTree(
    schema.at,
    [...properties.entries].map(([name, { value }]) => [
      name,
      treeOf(partOf(filling, value, { types: typesOf(media, name), required: required.includes(name) }), value.at),
    ]),
  );
}

/** `encoding` of a property names its media types between commas. */
function typesOf(media: MapTree, name: string): readonly string[] {
  const said = textOf(mapOf(mapOf(media, "encoding"), name), "contentType") ?? "";
  return said
    .split(",")
    .map((type) => type.trim().toLowerCase())
    .filter((type) => type !== "");
}

function partOf(
  filling: Filling,
  written: Tree,
  said: { readonly types: readonly string[]; readonly required: boolean },
): object {
  const whole = filling.description.references.map(written);
  const schema = "unresolved" in whole ? undefined : whole;
  const isList = textOf(schema, "type") === "array";
  const items = filling.description.references.map(isList ? schema?.entries.get("items")?.value : schema);
  const one = "unresolved" in items ? undefined : items;
  const isFile =
    textOf(one, "format") === "binary" ||
    textOf(one, "contentMediaType") !== undefined ||
    textOf(one, "type") === undefined;
  const media =
    textOf(one, "contentMediaType")?.toLowerCase() ??
    (textOf(one, "type") === "object" ? "application/json" : "application/octet-stream");
  const types = said.types.length > 0 ? said.types : isFile || media === "application/json" ? [media] : [];
  return {
    ...(types.length === 0 || (types.length === 1 && types[0] === "text/plain") ? {} : { type: types }),
    ...(said.required ? { required: true } : {}),
    ...(isList ? { most: Math.min(numberOf(schema, "maxItems") ?? mostMax, mostMax) } : {}),
  };
}
