// Promises that a member of a JSON body which decides has one reading: no twin in another case beside it, and integers as they stand in the text.
// Trusts inspect/json.ts to have read the text strictly. Specified in docs/gateway.md (attributes); RFC 8259 §6 for number literals.

import { foldCase } from "@sallyport/protocol/snapshot/fold-case.ts";
import type { AttributeSource } from "@sallyport/protocol/snapshot/objects.ts";
import type { ReadBody } from "../exchange.ts";

/** Paths remembered; there are as many as the estate declares, and when they are more, remembering begins anew. */
const pathsMax = 4_096;
const membersByPath = new Map<string, readonly string[]>();

/** Members along the path of a body attribute, `$.a.b` as `["a", "b"]`. */
export function membersOf(path: string): readonly string[] {
  const known = membersByPath.get(path);
  if (known !== undefined) return known;
  const members = path.slice(2).split(".");
  if (membersByPath.size >= pathsMax) membersByPath.clear();
  membersByPath.set(path, members);
  return members;
}

/** Does any object along a body attribute's path hold a name that readers without regard to case take for the attribute's? Pure. */
export function hasCaseTwin(
  declared: Readonly<Record<string, AttributeSource>>,
  value: unknown,
  from: "body" | "response" = "body",
): boolean {
  return Object.values(declared).some((source) => source.from === from && hasTwinAlong(membersOf(source.name), value));
}

function hasTwinAlong(members: readonly string[], value: unknown): boolean {
  let at = value;
  for (const member of members) {
    if (typeof at !== "object" || at === null || Array.isArray(at)) return false;
    const wanted = foldCase(member);
    if (Object.keys(at).some((name) => name !== member && foldCase(name) === wanted)) return true;
    if (!Object.hasOwn(at, member)) return false;
    at = (at as Record<string, unknown>)[member]; // an own member of a plain object, checked on the line above
  }
  return false;
}

const integerLiteral = /^(?:0|-?[1-9][0-9]*)$/;
const decoder = new TextDecoder("utf-8", { ignoreBOM: true });

/** The value of a body as readExactIntegers gives it: read again only where some number is not written as a plain integer. */
export function exactIntegersOf(body: ReadBody): unknown {
  return body.hasPlainNumbers ? body.value : readExactIntegers(body.bytes);
}

/**
 * The value of a JSON text already read strictly, in which every number that is not written as a plain integer is NaN, and so resolves to
 * no attribute: a double rounds `100.000000000000001` to 100, while the provider gets the text.
 */
export function readExactIntegers(bytes: Uint8Array): unknown {
  const exact = (_name: string, value: unknown, context?: { readonly source?: string }): unknown =>
    typeof value === "number" && !integerLiteral.test(context?.source ?? "") ? Number.NaN : value;
  return JSON.parse(decoder.decode(bytes), exact);
}
