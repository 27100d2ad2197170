// Promises the request body that a description declares, as `body` of an operation. Trusts take-schema.ts. Specified in docs/openapi.md.
import type { Spot } from "../config/finding.ts";
import { errorAt } from "../config/finding.ts";
import type { MapTree, Tree } from "../config/yaml-tree.ts";
import { flagOf, mapOf, placeOfKey } from "../import/tree-members.ts";
import { partsOf } from "./take-parts.ts";
import { takeSchema } from "./take-schema.ts";
import type { Filling } from "./taken.ts";
import { entryOf, mapTree, treeOf } from "./tree-of.ts";

const bodied = ["POST", "PUT", "PATCH"];
export const jsonType = /^application\/(json|[a-z0-9.+-]+\+json)$/;
export const plainType = /^[a-z0-9!#$&^_.+-]+\/[a-z0-9!#$&^_.+-]+$/;

/** What stands for `body`; null: what is written, or the default of the method, holds. */
export function takeBody(filling: Filling, method: string, written: Tree | undefined): Tree | null {
  const { described, description } = filling;
  if (written?.kind === "scalar" || ["GET", "HEAD", "OPTIONS"].includes(method)) return null;
  const requestBody = described.tree.entries.get("requestBody")?.value;
  if (requestBody === undefined)
    return written === undefined && bodied.includes(method) ? treeOf("none", described.at) : null;
  const body = description.references.map(requestBody);
  if ("unresolved" in body) {
    filling.findings.push(
      errorAt(
        requestBody.at,
        `the request body of \`${filling.name}\` is not known: ${body.unresolved}`,
        "correct the reference, or write `body`",
      ),
    );
    return null;
  }
  const content = mapOf(body, "content");
  const chosen = content === undefined ? undefined : chooseType(filling, content, written);
  if (content === undefined || chosen === undefined) return null;
  if (flagOf(body, "required") !== true && jsonType.test(bareType(chosen)))
    filling.notes.push({
      at: body.at,
      message: `the request body of \`${filling.name}\` may be left out there and must be sent here`,
    });
  return declared(filling, { content, chosen, written });
}

export const bareType = (type: string): string => (type.split(";")[0] ?? "").trim().toLowerCase();

/** What is written decides; else JSON comes first, then the order of the description. */
function chooseType(filling: Filling, content: MapTree, written: Tree | undefined): string | undefined {
  const types = [...content.entries.keys()];
  const said = written?.kind === "map" ? written.entries.get("contentType")?.value : undefined;
  const wanted = said?.kind === "scalar" ? String(said.value) : undefined;
  const rank = (type: string): number =>
    bareType(type) === wanted
      ? 0
      : wanted !== undefined
        ? 4
        : jsonType.test(bareType(type))
          ? bareType(type) === "application/json"
            ? 1
            : 2
          : 3;
  const [chosen, ...others] = types.sort((a, b) => rank(a) - rank(b));
  if (wanted !== undefined && chosen !== undefined && bareType(chosen) !== wanted) return undefined;
  for (const other of wanted === undefined ? others : [])
    filling.notes.push({
      at: spotOfKey(content, other),
      message: `\`${filling.name}\` takes one media type, and not ${other.slice(0, 80)}`,
    });
  return chosen;
}

export function spotOfKey(tree: MapTree, key: string): Spot {
  return { ...tree.at, ...placeOfKey(tree, key) };
}

function declared(
  filling: Filling,
  from: { readonly content: MapTree; readonly chosen: string; readonly written: Tree | undefined },
): Tree | null {
  const { content, chosen, written } = from;
  const at = spotOfKey(content, chosen);
  const contentType = bareType(chosen);
  const own = written?.kind === "map" ? written : mapTree(at, []);
  if (!plainType.test(contentType) || contentType.includes("*")) {
    filling.findings.push(
      errorAt(
        at,
        `the media type ${contentType.slice(0, 80)} is not one type`,
        `write \`body: { contentType: … }\` for \`${filling.name}\``,
      ),
    );
    return null;
  }
  const entries = new Map(own.entries);
  if (!entries.has("contentType") && contentType !== "application/json")
    entries.set("contentType", entryOf(treeOf(contentType, at)));
  if (contentType === "multipart/form-data" && !entries.has("parts")) {
    const parts = partsOf(filling, mapOf(content, chosen));
    if (parts !== null) entries.set("parts", entryOf(parts));
  }
  const schema =
    entries.has("schema") || !(jsonType.test(contentType) || contentType === "application/x-www-form-urlencoded")
      ? null
      : takeSchema(filling, mapOf(content, chosen)?.entries.get("schema")?.value, {
          of: "request",
          what: "the request body",
          fix: "write `body: { schema: … }` for the operation, or correct the description",
        });
  if (schema !== null) entries.set("schema", entryOf(schema));
  return { ...own, entries };
}
