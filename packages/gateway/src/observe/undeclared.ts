// Promises that `passthrough` opens what a system does not declare and nothing else: a request that its provider could take for a declared
// operation (another case, an extension, an overridden method) is not undeclared. Trusts the canonical request. Specified in docs/observe.md.

import { guessTemplate } from "@sallyport/protocol/canonical/path-template.ts";
import type { CanonicalRequest } from "@sallyport/protocol/canonical/request.ts";
import type { Exchange } from "../exchange.ts";
import { buildRouter, type Router } from "../route/router.ts";
import type { CompiledOperation, CompiledSystem } from "../snapshot/estate.ts";

/** A provider may take this long to answer what passes without a declaration: the longest that an operation may declare. */
export const passedTimeoutMs = 300_000;
/** Most bytes of a body that passes without a declaration; it streams and is never held. */
export const passedBodyBytesMax = 1024 * 1024 * 1024;

export interface Undeclared {
  readonly untilMs: number;
  readonly read: CompiledOperation;
  readonly effect: CompiledOperation;
  /** Could the provider take it for an operation that is declared? `segments`: after the public prefix. */
  comesNear(request: CanonicalRequest, segments: readonly string[]): boolean;
}

/** `GET /v1/things/{id}`: what might be declared for it. For operators' eyes only: it holds what a caller wrote. */
export function shapeOf({ request, prefixSegments, system }: Exchange): string {
  if (request === null) return "";
  const cut = system?.public.strip === false ? 0 : prefixSegments;
  return `${request.method} ${guessTemplate(request.segments.slice(cut))}`;
}

interface Folded {
  readonly method: string;
  readonly path: string;
}

export function compileUndeclared(system: CompiledSystem): Undeclared | null {
  const { passthrough } = system.object;
  if (passthrough === undefined) return null;
  const folded = system.operations.map(({ method, path }): Folded => ({ method, path: foldPath(path) }));
  const router: Router<object, Folded> = buildRouter([{ public: { path: "/", strip: true }, operations: folded }]);
  const methods = [...new Set(folded.map(({ method }) => method))];
  const matches = (method: string, segments: readonly string[]): boolean =>
    router.find("", method, segments).operation !== null;
  return {
    untilMs: passthrough.untilMs,
    read: undeclaredOperation(system, false),
    effect: undeclaredOperation(system, true),
    comesNear(request, segments) {
      const readings = readingsOf(segments);
      if (readings.some((reading) => matches(request.method, reading))) return true;
      if (!mayOverride(request)) return false;
      return readings.some((reading) => methods.some((method) => matches(method, reading)));
    },
  };
}

function undeclaredOperation(system: CompiledSystem, effect: boolean): CompiledOperation {
  const name = "(undeclared)";
  return {
    object: {
      name,
      method: "*",
      path: "*",
      effect,
      // Nobody has said what crosses.
      classification: "confidential",
      authorize: "policy",
      attributes: {},
      body: { content: "opaque", contentType: "*/*" },
      bodyBytesMax: passedBodyBytesMax,
      timeoutMs: passedTimeoutMs,
      businessErrors: [],
      offline: "bound",
    },
    method: "*",
    path: "*",
    fullName: `${system.id}:${name}`,
    system,
    grants: new Map(),
    forPages: null,
    undeclared: true,
    bodyDecides: false,
    responseDecides: false,
    policy: () => null,
  };
}

function foldPath(path: string): string {
  return path
    .split("/")
    .map((segment) => (segment.startsWith("{") ? segment : foldSegment(segment)))
    .join("/");
}

const decodesMax = 3;

/** What is one name to a server that ignores case (of lower or of upper letters), width, trailing dots and blanks, or decodes more than once. */
function foldSegment(segment: string): string {
  let text = segment;
  for (let i = 0; i < decodesMax && text.includes("%"); i++) {
    try {
      text = decodeURIComponent(text);
    } catch {
      break;
    }
  }
  return text
    .normalize("NFKC")
    .toUpperCase()
    .toLowerCase()
    .replace(/[. ]+$/, "");
}

/** Declared names have few dots; of a name with more the first so many count. */
const dotsMax = 8;

/** As it stands folded, and without what follows a dot: some frameworks read a format there, whatever its letters and however many dots it has. */
function readingsOf(segments: readonly string[]): string[][] {
  const folded = segments.map(foldSegment);
  const last = folded.at(-1) ?? "";
  const readings = [folded];
  for (let dot = last.indexOf(".", 1); dot > 0 && readings.length <= dotsMax; dot = last.indexOf(".", dot + 1))
    readings.push([...folded.slice(0, -1), foldSegment(last.slice(0, dot))]);
  return readings;
}

const overrideNames: ReadonlySet<string> = new Set([
  "_method",
  "_http_method",
  "_httpmethod",
  "$httpmethod",
  "httpmethod",
  "x-http-method",
  "x-http-method-override",
  "x-method-override",
]);

/** Can a framework read another method out of it than its own? The header fields of that kind never reach a provider. */
function mayOverride(request: CanonicalRequest): boolean {
  if (Object.keys(request.queryParameters).some((name) => overrideNames.has(name.toLowerCase()))) return true;
  if (request.method !== "POST") return false;
  const type = request.headers["content-type"]?.[0]?.toLowerCase() ?? "";
  return type.startsWith("application/x-www-form-urlencoded") || type.startsWith("multipart/");
}
