// Promises that every attribute an operation declares resolves to a value of its declared type, or the crossing is denied: a policy never
// runs on a guess. Trusts the canonical request and the parsed body. Specified in docs/gateway.md (attributes); RFC 9535 for `$.a.b`.
import { reachesProvider } from "@sallyport/protocol/canonical/hop-headers.ts";
import { foldCase } from "@sallyport/protocol/snapshot/fold-case.ts";
import type { AttributeSource, Scalar } from "@sallyport/protocol/snapshot/objects.ts";
import { type Deny, deny } from "@sallyport/protocol/verdict.ts";
import { membersOf } from "../inspect/deciding-members.ts";
import { foundMember, lookupOf } from "./lookups.ts";

export interface AttributeInputs {
  readonly parameters: Readonly<Record<string, string>>;
  /** Decoded, all values of a name; no prototype. */
  readonly query: Readonly<Record<string, readonly string[]>>;
  /** By lower-case name, all values; no prototype. */
  readonly headers: Readonly<Record<string, readonly string[]>>;
  /** The JSON body as readExactIntegers gives it; undefined when there is none. */
  readonly body: unknown;
  /** The same of the provider's answer; absent: there is none yet. */
  readonly response?: unknown;
  /** What was looked up, by name; absent: nothing was. */
  readonly found?: Readonly<Record<string, unknown>>;
}

export interface ResolvedAttributes {
  readonly kind: "resolved";
  readonly values: Readonly<Record<string, Scalar>>;
}

const nothing: ResolvedAttributes = Object.freeze({ kind: "resolved", values: Object.freeze({}) });
const decimal = /^(?:0|-?[1-9][0-9]{0,15})$/;
const memberPath = /^\$(?:\.[A-Za-z_][A-Za-z0-9_-]*)+$/;
const attributeCharactersMax = 1024;

/** Resolves all declared attributes strictly; the first that does not resolve is named in the denial. Pure. */
export function resolveAttributes(
  declared: Readonly<Record<string, AttributeSource>>,
  inputs: AttributeInputs,
): ResolvedAttributes | Deny {
  const names = Object.keys(declared);
  if (names.length === 0) return nothing;
  const values: Record<string, Scalar> = {};
  for (const name of names) {
    const source = declared[name];
    if (source === undefined) continue;
    const value = sourceValue(source, inputs);
    if (value === undefined) {
      return deny("authorize", "attribute-missing", {
        attribute: name,
        from: `${source.from} ${source.name}`,
        type: source.type,
      });
    }
    values[name] = value;
  }
  return { kind: "resolved", values };
}

function sourceValue(source: AttributeSource, inputs: AttributeInputs): Scalar | undefined {
  if (source.from === "body") return fromBody(source, inputs.body);
  if (source.from === "response") return fromBody(source, inputs.response);
  if (source.from === "lookup") {
    const { lookup, path } = lookupOf(source);
    const found = inputs.found ?? {};
    return typed(source, Object.hasOwn(found, lookup) ? foundMember(found[lookup], path) : undefined);
  }
  return fromText(source, textOf(source, inputs));
}

/** The one text value of a source; a name that occurs twice has no value, because two readers could pick different ones. */
function textOf(source: AttributeSource, inputs: AttributeInputs): string | undefined {
  if (source.from === "path") return inputs.parameters[source.name];
  if (source.from === "query") {
    const own = inputs.query[source.name];
    return own?.length === 1 && !hasAlias(source.name, inputs.query) ? own[0] : undefined;
  }
  const name = source.name.toLowerCase();
  // The provider would never see what decides here.
  if (!reachesProvider(name)) return undefined;
  const all = inputs.headers[name];
  return all?.length === 1 ? all[0] : undefined;
}

/** Is there another parameter that some server reads under this name, or that makes the name mean a list or a map? */
export function hasAlias(name: string, query: AttributeInputs["query"]): boolean {
  return aliasesIn(query)(name);
}

/** As `hasAlias`, for many names: what the caller sent is folded once for all of them. */
export function aliasesIn(query: AttributeInputs["query"]): (name: string) => boolean {
  const sent = Object.keys(query).map((other) => ({ other, folded: foldParameter(other) }));
  return (name) => {
    const wanted = foldParameter(name);
    return sent.some(
      ({ other, folded }) =>
        other !== name && (folded === wanted || folded.startsWith(`${wanted}[`) || wanted.startsWith(`${folded}[`)),
    );
  };
}

/** As ASP.NET (case) and PHP (space, dot and an unclosed bracket become "_") read names. */
function foldParameter(name: string): string {
  const folded = foldCase(name.trim()).replaceAll(/[ .]/g, "_");
  return folded.includes("]") ? folded : folded.replaceAll("[", "_");
}

function fromText(source: AttributeSource, text: string | undefined): Scalar | undefined {
  if (text === undefined || text.length > attributeCharactersMax) return undefined;
  if (source.type === "string") return text;
  if (source.type === "boolean") return text === "true" ? true : text === "false" ? false : undefined;
  if (!decimal.test(text)) return undefined;
  const value = Number(text);
  return Number.isSafeInteger(value) ? value : undefined;
}

function fromBody(source: AttributeSource, body: unknown): Scalar | undefined {
  if (!memberPath.test(source.name)) return undefined;
  let at: unknown = body;
  for (const member of membersOf(source.name)) {
    if (typeof at !== "object" || at === null || Array.isArray(at) || !Object.hasOwn(at, member)) return undefined;
    at = (at as Record<string, unknown>)[member]; // an own member of a plain object, checked on the line above
  }
  return typed(source, at);
}

function typed(source: AttributeSource, at: unknown): Scalar | undefined {
  if (source.type === "long") return typeof at === "number" && Number.isSafeInteger(at) ? at : undefined;
  if (source.type === "boolean") return typeof at === "boolean" ? at : undefined;
  return typeof at === "string" && at.length <= attributeCharactersMax ? at : undefined;
}
