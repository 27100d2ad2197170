// Promises a path of OpenAPI as a path that an operation can match, with what that changes, or why there is none. Pure.
// Trusts words.ts for the grammar of a match. Source: OpenAPI 3.1.1 "Paths Object", RFC 3986 §3.3.
import { match } from "../../config/words.ts";

export type OperationPath =
  | { readonly path: string; readonly changed: string | null }
  | { readonly refused: string; readonly fix: string };

export function operationPath(written: string): OperationPath {
  if (!written.startsWith("/"))
    return { refused: "the path does not begin with `/`", fix: "correct the source and import again" };
  // The canonical request refuses such a path for everybody: some servers read it as the path without the `/`.
  if (written.length > 1 && written.endsWith("/"))
    return {
      refused: "a path that ends in `/` is refused at the door, as it can be read in two ways",
      fix: "have the provider serve it without the `/` (frameworks have a setting for that), and declare that",
    };
  if (/[?#]/.test(written))
    return { refused: "the path holds a query or a fragment", fix: "declare the path without it, as one operation" };
  const given = new Set<string>();
  const changes = new Set<string>();
  const segments: string[] = [];
  for (const segment of written.slice(1).split("/")) {
    if (/\{[^}]*[*+][^}]*\}/.test(segment))
      return {
        refused: "a parameter that spans several segments",
        fix: "declare one operation for each number of segments that your API has",
      };
    if (!segment.includes("{")) {
      segments.push(literal(segment));
      continue;
    }
    const names = [...segment.matchAll(/\{([^{}]*)\}/g)].map(([, name = ""]) => name);
    if (!/^\{[^{}]*\}$/.test(segment))
      changes.add("a parameter is a whole segment here, so text around it is not looked at");
    segments.push(`{${parameterName(names.join("_"), given)}}`);
  }
  const path = `/${segments.join("/")}`;
  const judged = match().safeParse(`GET ${path}`);
  if (!judged.success)
    return { refused: judged.error.issues[0]?.message ?? "not a path", fix: "declare it by hand in another form" };
  return { path, changed: changes.size === 0 ? null : [...changes].join("; ") };
}

/** Escapes of what needs none are written out: requests are matched decoded. */
function literal(segment: string): string {
  try {
    return decodeURIComponent(segment);
  } catch {
    return segment;
  }
}

function parameterName(written: string, given: Set<string>): string {
  const word = written
    .replace(/:.*$/, "")
    .replaceAll(/[^A-Za-z0-9_]+/g, "_")
    .slice(0, 56);
  const wanted = /^[A-Za-z_]/.test(word) ? word : `p_${word}`;
  let name = wanted;
  for (let number = 2; given.has(name); number += 1) name = `${wanted}_${number}`;
  given.add(name);
  return name;
}

/** What requests it takes, whatever its parameters are called. */
export function requestShape(method: string, path: string): string {
  return `${method} ${path.replaceAll(/\{\w+\}/g, "{}")}`;
}
