// Promises attributes that an operation declares as places of the request that can have a value. Trusts the types (words.ts).
// Specified in docs/configuration.md "systems/<id>.yaml" and docs/gateway.md (attributes).
import { reachesProvider } from "@sallyport/protocol/canonical/hop-headers.ts";
import type { AttributeSource } from "@sallyport/protocol/snapshot/objects.ts";
import { compareText, errorAt, type Finding, type Spot } from "./finding.ts";
import type { SourcePlace } from "./words.ts";
import { type MapTree, spotOf } from "./yaml-tree.ts";

/** What a request of the operation carries. */
export interface Carried {
  /** Of `match`. */
  readonly path: string;
  readonly takesJson: boolean;
  /** What keeps attributes from coming from the answer; null: nothing. */
  readonly unanswered: string | null;
  /** Names of what is looked up for attributes; absent: nothing is. */
  readonly lookups?: readonly string[];
}

export interface AttributeReader {
  readonly tree: MapTree;
  readonly findings: Finding[];
}

export interface Taken {
  readonly from: SourcePlace;
  readonly name: string;
}

type Declared = Readonly<Record<string, { readonly from: Taken; readonly type: AttributeSource["type"] }>>;

export function readAttributes(
  { tree, findings }: AttributeReader,
  at: readonly string[],
  declared: Declared,
  carried: Carried,
): Readonly<Record<string, AttributeSource>> {
  const result: Record<string, AttributeSource> = {};
  for (const [name, { from, type }] of Object.entries(declared).sort(([a], [b]) => compareText(a, b))) {
    findings.push(...refuseSource(spotOf(tree, [...at, name]), from, carried));
    result[name] = { ...from, type };
  }
  return result;
}

/** Why no request can have a value in this place. */
export function refuseSource(
  spot: Spot,
  { from, name }: Taken,
  { path, takesJson, unanswered, lookups = [] }: Carried,
): readonly Finding[] {
  if (from === "response" && unanswered !== null)
    return [errorAt(spot, `from the answer, but ${unanswered}`, "take it from the request")];
  if (from === "lookup" && !lookups.includes(name.split(":")[0] ?? ""))
    return [
      errorAt(
        spot,
        "nothing of this name is looked up here",
        "declare it under `lookups`, or take the value from the request",
      ),
    ];
  const parameters = [...path.matchAll(/\{(\w+)\}/g)].map(([, parameter]) => parameter);
  if (from === "path" && !parameters.includes(name)) {
    const known =
      parameters.length === 0
        ? "the path has no parameters"
        : `use one of ${parameters.map((parameter) => `\`path:${parameter}\``).join(", ")}`;
    return [errorAt(spot, "no such parameter in the path of `match`", known)];
  }
  if (from === "header" && !reachesProvider(name.toLowerCase()))
    return [
      errorAt(
        spot,
        "an attribute from a header that never reaches the provider as the caller sent it",
        "take it from a header of the application's own",
      ),
    ];
  if (from === "body" && !takesJson)
    return [
      errorAt(
        spot,
        "an attribute from the body of an operation that takes no JSON",
        "declare `body`, or take the attribute from elsewhere",
      ),
    ];
  return [];
}
