// Promises the one text that a signature over an HTTP message signs, or that there is none: a component that is missing, unknown or could be read in two
// ways is never guessed. Trusts its message to be canonical. Specified by RFC 9421 §2; which components have to be there: message-signature.ts.
import type { CanonicalHeaders } from "../canonical/request.ts";
import { parseDictionary } from "../structured-fields/parse.ts";
import { printMember } from "../structured-fields/print.ts";
import type { InnerList, Item } from "../structured-fields/values.ts";

/** A request, or with `status` an answer. Every part in its normal form (RFC 9421 §2.2). */
export interface SignedMessage {
  readonly method: string;
  readonly scheme: "http" | "https";
  /** Lower case, without the port of the scheme. */
  readonly authority: string;
  /** Begins with a slash. */
  readonly path: string;
  /** Without the question mark; empty where there is none. */
  readonly query: string;
  readonly queryParameters: Readonly<Record<string, readonly string[]>>;
  readonly headers: CanonicalHeaders;
  readonly status?: number;
}

export interface NoBase {
  readonly kind: "none";
  readonly why: string;
}

const no = (why: string): NoBase => ({ kind: "none", why });

/** `input`: the covered components with the parameters of the signature, as they stand in Signature-Input. */
export function signatureBase(message: SignedMessage, input: InnerList): string | NoBase {
  const seen = new Set<string>();
  let base = "";
  for (const item of input.items) {
    const identifier = printMember(item);
    if (identifier === null || item.value.type !== "string") return no("a component that is no string");
    if (seen.has(identifier)) return no(`component ${identifier} is covered twice`);
    seen.add(identifier);
    const value = componentValue(message, item.value.value, item);
    if (value === null) return no(`component ${identifier} is not in the message, or in no one way`);
    base += `${identifier}: ${value}\n`;
  }
  const parameters = printMember(input);
  return parameters === null ? no("parameters that have no text") : `${base}"@signature-params": ${parameters}`;
}

function componentValue(message: SignedMessage, name: string, { parameters }: Item): string | null {
  if (name === "@query-param") return queryParameter(message, parameters);
  if (name.startsWith("@")) return parameters.size === 0 ? derivedValue(message, name) : null;
  return fieldValue(message.headers, name, parameters);
}

function derivedValue(message: SignedMessage, name: string): string | null {
  const { method, scheme, authority, path, query, status } = message;
  if (name === "@status") return status === undefined ? null : String(status).padStart(3, "0");
  if (status !== undefined) return null;
  const asked = query === "" ? "" : `?${query}`;
  switch (name) {
    case "@method":
      return method;
    case "@scheme":
      return scheme;
    case "@authority":
      return authority;
    case "@path":
      return path;
    case "@query":
      return `?${query}`;
    case "@request-target":
      return path + asked;
    case "@target-uri":
      return `${scheme}://${authority}${path}${asked}`;
    default:
      return null;
  }
}

/** §2.2.8: one that occurs once, by its decoded name and value encoded anew. */
function queryParameter({ queryParameters, status }: SignedMessage, parameters: Item["parameters"]): string | null {
  const wanted = parameters.get("name");
  if (status !== undefined || parameters.size !== 1 || wanted?.type !== "string") return null;
  const found = Object.keys(queryParameters).filter((name) => encodeForm(name) === wanted.value);
  const values = queryParameters[found[0] ?? ""];
  return found.length === 1 && values?.length === 1 ? encodeForm(values[0] ?? "") : null;
}

/** The percent-encoding of application/x-www-form-urlencoded, spaces as `%20`. */
function encodeForm(text: string): string {
  return encodeURIComponent(text).replace(
    /[!'()~]/g,
    (one) => `%${one.charCodeAt(0).toString(16).toUpperCase().padStart(2, "0")}`,
  );
}

/** §2.1: all lines of the field joined, or with `key` one member of a dictionary. Its other parameters say nothing to a verifier of requests. */
function fieldValue(headers: CanonicalHeaders, name: string, parameters: Item["parameters"]): string | null {
  const lines = headers[name];
  if (lines === undefined || lines.length === 0) return null;
  if (parameters.size === 0) return lines.join(", ");
  const key = parameters.get("key");
  if (parameters.size !== 1 || key?.type !== "string") return null;
  const dictionary = parseDictionary(lines);
  if (dictionary === null || dictionary.repeats) return null;
  const member = dictionary.value.get(key.value);
  return member === undefined ? null : printMember(member);
}
