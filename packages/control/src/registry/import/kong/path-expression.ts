// Promises the path of a simple regular expression as a literal prefix and an exact path with parameters, or why there is none. Pure.
// Trusts words.ts. Source: Kong 3 "Path expressions": anchored at the beginning, matched as a prefix unless it ends in `$`.
import { match, publicPath } from "../../config/words.ts";

export type ExpressionPath =
  | { readonly prefix: string; readonly path: string; readonly isPrefix: boolean; readonly changed: string | null }
  | { readonly refused: string; readonly fix: string };

const byHand = "declare its operations by hand, each with method and path";
/** What matches inside one segment: a class, a digit, a literal, each perhaps repeated. A `.` or a class with `/` could match several. */
const oneSegment =
  /^(?:(?:\\[dw]|\\[.-]|\[\^\/[^\]]*\]|\[[^\]/^][^\]/]*\]|[A-Za-z0-9_~-])(?:[*+?]|\{\d+(?:,\d*)?\})?)+$/;
const oneOfWords = /^[A-Za-z0-9_-]+(?:\|[A-Za-z0-9_-]+)+$/;

export function expressionPath(written: string, strip: boolean): ExpressionPath {
  const isExact = /(?<!\\)\$$/.test(written);
  const body = written.replace(/^\^/, "").replace(/\$$/, "").replace(/\/\?$/, "");
  if (!body.startsWith("/")) return { refused: "the expression does not begin with `/`", fix: byHand };
  const literals: string[] = [];
  const rest: string[] = [];
  let hasParameter = false;
  for (const [index, segment] of splitSegments(body.slice(1)).entries()) {
    const part = literalOf(segment) ?? parameterOf(segment, index);
    if (part === null) return { refused: "an expression that is no list of segments", fix: byHand };
    hasParameter ||= part.startsWith("{");
    if (hasParameter) rest.push(part);
    else literals.push(part);
  }
  return placed({ literals, rest, isExact, strip });
}

function literalOf(segment: string): string | null {
  const isLiteral = !/[\\^$.|?*+()[\]{}]/.test(segment.replaceAll(/\\[^A-Za-z0-9]/g, ""));
  // Here `:name` would be a parameter somebody meant otherwise: a match that begins a segment so is refused.
  return isLiteral && !segment.startsWith(":") ? segment.replaceAll(/\\(.)/g, "$1") : null;
}

function parameterOf(segment: string, index: number): string | null {
  const [, name, inner = segment] = /^\((?:\?P?<([A-Za-z_]\w{0,50})>|\?:)?(.*)\)$/.exec(segment) ?? [];
  return oneSegment.test(inner) || oneOfWords.test(inner) ? `{${name ?? `p${index + 1}`}}` : null;
}

function placed(on: { literals: string[]; rest: readonly string[]; isExact: boolean; strip: boolean }): ExpressionPath {
  const { literals, rest, isExact, strip } = on;
  if (strip && rest.length > 0)
    return {
      refused: "`strip_path` would take a parameter off the path, and only a literal prefix is stripped here",
      fix: "set `strip_path: false` at Kong and the path at the provider, or declare it by hand",
    };
  const prefix = `/${literals.join("/")}`;
  const path = `/${rest.join("/")}`;
  if (!publicPath().safeParse(prefix).success || !match().safeParse(`GET ${path}`).success)
    return { refused: "not a path that is served", fix: byHand };
  const loose = rest.length > 0 ? "what a parameter may be is not checked: any one segment passes" : null;
  return { prefix, path, isPrefix: !isExact, changed: loose };
}

/** At each `/` that is not inside brackets. */
function splitSegments(text: string): readonly string[] {
  const segments: string[] = [""];
  let depth = 0;
  for (let at = 0; at < text.length; at += 1) {
    const character = text[at] ?? "";
    const isEscaped = at > 0 && text[at - 1] === "\\";
    if (!isEscaped && (character === "(" || character === "[")) depth += 1;
    if (!isEscaped && (character === ")" || character === "]")) depth -= 1;
    if (character === "/" && depth <= 0) segments.push("");
    else segments[segments.length - 1] += character;
  }
  return segments;
}
