// Promises that a path and a query have one reading for router, policy and upstream, or are refused with the reason.
// Trusts nothing. Specified in docs/formats/canonical-request.md (RFC 3986 §3.3-3.4; CVE-2019-9901, CVE-2021-31920, CVE-2026-40912).
import { normalizeEscapes } from "../token/htu.ts";
import type { CanonicalPath } from "./request.ts";

export interface Ambiguous {
  readonly kind: "ambiguous";
  readonly why: string;
}

const ambiguous = (why: string): Ambiguous => ({ kind: "ambiguous", why });

// Most paths: nothing encoded and no segment that begins with a dot. They are canonical as they stand.
const plainPath = /^(?:\/[A-Za-z0-9_~!$&'()*+,=:@-][A-Za-z0-9._~!$&'()*+,=:@-]*)+$/;
const brokenEscape = /%(?![0-9A-Fa-f]{2})/;
// pchar of RFC 3986 without ";": some servers cut a segment there, others do not.
const outsidePchar = /[^A-Za-z0-9._~!$&'()*+,=:@%-]/;
const encodedStructure = /%(?:2[fFeE]|5[cC]|00)/;
const controlCharacter = /[\u0000-\u001f\u007f-\u009f]/;
// What a server that decodes twice, or more often, would take for structure, or for the end of a line.
const encodedTwice = /%(?:25)*(?:2[fe]|5c|[01][0-9a-f]|7f)/i;

/** Canonical form of the path part of an origin-form target. */
export function canonicalPath(path: string, segmentsMax: number): CanonicalPath | Ambiguous {
  if (path === "/") return { path, segments: [] };
  const raw = path.split("/", segmentsMax + 2).slice(1);
  if (raw.length > segmentsMax) return ambiguous(`more than ${segmentsMax} segments`);
  if (plainPath.test(path)) return { path, segments: raw };
  const segments: string[] = [];
  for (const segment of raw) {
    const decoded = decodeSegment(segment);
    if (typeof decoded !== "string") return decoded;
    segments.push(decoded);
  }
  return { path: normalizeEscapes(path), segments };
}

function decodeSegment(segment: string): string | Ambiguous {
  if (segment === "") return ambiguous("an empty segment or a trailing slash");
  if (segment === "." || segment === "..") return ambiguous("a dot segment");
  if (segment.includes("\\")) return ambiguous("a backslash");
  if (segment.includes(";")) return ambiguous("a semicolon, which some servers read as the end of the segment");
  if (outsidePchar.test(segment)) return ambiguous("a character that a path cannot hold unencoded");
  if (!segment.includes("%")) return segment;
  if (brokenEscape.test(segment)) return ambiguous("a broken percent escape");
  if (encodedStructure.test(segment)) return ambiguous("an encoded slash, backslash, dot or NUL");
  const decoded = decodeUtf8(segment);
  if (decoded === null) return ambiguous("escapes that are not UTF-8");
  if (controlCharacter.test(decoded)) return ambiguous("an encoded control character");
  if (encodedTwice.test(decoded))
    return ambiguous("a slash, backslash, dot or control character that is encoded twice");
  return decoded;
}

/** decodeURIComponent refuses overlong forms, surrogates and truncated sequences (RFC 3629); null for those. */
function decodeUtf8(text: string): string | null {
  try {
    return decodeURIComponent(text);
  } catch {
    return null;
  }
}

// What browsers leave unencoded in a query is let through; quotes, angle brackets, backslash and backtick are not.
// Nor is ";", which some servers read as "&" (CVE-2021-23336): it must come as %3B.
const outsideQuery = /[^A-Za-z0-9._~!$&'()*+,=:@/?%[\]{}|^-]/;

export interface CanonicalQuery {
  readonly kind: "query";
  readonly parameters: Readonly<Record<string, readonly string[]>>;
}

/** Frozen, so that every request without a query can hold the same. */
const noQuery: CanonicalQuery = Object.freeze({ kind: "query", parameters: Object.freeze(Object.create(null)) });

/** Decodes a query; `+` is a space, `&` alone separates, a name without `=` has the empty value. */
export function canonicalQuery(query: string, parametersMax: number): CanonicalQuery | Ambiguous {
  if (query === "") return noQuery;
  // Object.create(null) is typed any; an empty object without prototype has exactly this type.
  const parameters = Object.create(null) as Record<string, string[]>;
  if (outsideQuery.test(query)) return ambiguous("a character that a query cannot hold unencoded");
  if (brokenEscape.test(query)) return ambiguous("a broken percent escape");
  const pairs = query.split("&", parametersMax + 1);
  if (pairs.length > parametersMax) return ambiguous(`more than ${parametersMax} query parameters`);
  for (const pair of pairs) {
    if (pair === "") continue;
    const equals = pair.indexOf("=");
    const name = decodeParameter(equals === -1 ? pair : pair.slice(0, equals));
    const value = decodeParameter(equals === -1 ? "" : pair.slice(equals + 1));
    if (name === null || value === null) return ambiguous("escapes that are not UTF-8, or NUL, in the query");
    const values = parameters[name];
    if (values === undefined) parameters[name] = [value];
    else values.push(value);
  }
  for (const values of Object.values(parameters)) Object.freeze(values);
  return { kind: "query", parameters: Object.freeze(parameters) };
}

function decodeParameter(text: string): string | null {
  const spaced = text.includes("+") ? text.replaceAll("+", " ") : text;
  const decoded = spaced.includes("%") ? decodeUtf8(spaced) : spaced;
  return decoded === null || decoded.includes("\u0000") ? null : decoded;
}

/**
 * Takes `prefix` (decoded segments) off a path; null when the path does not begin with it. It cuts whole segments of the encoded
 * path, so the length of an escape can never shift the cut.
 */
export function stripPrefix(from: CanonicalPath, prefix: readonly string[]): CanonicalPath | null {
  if (prefix.length > from.segments.length) return null;
  if (!prefix.every((segment, index) => segment === from.segments[index])) return null;
  if (prefix.length === 0) return { path: from.path, segments: from.segments };
  const rest = from.path.split("/").slice(1 + prefix.length);
  return { path: `/${rest.join("/")}`, segments: from.segments.slice(prefix.length) };
}
