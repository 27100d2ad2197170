// Promises one reading of the JSONPath that estates are written in: what control accepts, a gateway walks. Trusts nothing. Pure.
// A bounded subset of RFC 9535 §2: names, indexes, wildcards and descendants; no filters, slices, unions or negative indexes (docs/inspection.md).

/** What a segment selects: a member by name, an item by index, or (null) every member and item. */
export type PathSelector = string | number | null;

export interface PathSegment {
  readonly select: PathSelector;
  /** `..`: at any depth below. */
  readonly descendant: boolean;
}

/** Segments after the `$`; none: the whole value. */
export type JsonPath = readonly PathSegment[];

export interface PathRefusal {
  readonly refused: string;
  readonly fix: string;
}

export const pathSegmentsMax = 32;
export const pathCharactersMax = 512;
const indexMax = 1_000_000;

/** RFC 9535 §2.5.1.1 member-name-shorthand, up to the next segment. */
const shorthand = /[A-Za-z_\u{80}-\u{d7ff}\u{e000}-\u{10ffff}][A-Za-z0-9_\u{80}-\u{d7ff}\u{e000}-\u{10ffff}]*/uy;
const index = /(?:0|[1-9][0-9]{0,6})(?=\])/y;
const quoted = /'(?:[^'\\\p{Cc}]|\\.)*'|"(?:[^"\\\p{Cc}]|\\.)*"/uy;

const refuse = (refused: string, fix = "write for example `$.customer.taxId` or `$.lines[*].card`"): PathRefusal => ({
  refused,
  fix,
});

/** Reads one path, or says why not. `forbidden` names of prototypes are refused as everywhere. */
export function readJsonPath(text: string): JsonPath | PathRefusal {
  if (text.length > pathCharactersMax)
    return refuse(`a path has at most ${pathCharactersMax} characters`, "shorten it");
  if (!text.startsWith("$")) return refuse("not a JSONPath", "begin with `$`, for example `$.customer.taxId`");
  if (!text.isWellFormed()) return refuse("not well-formed text");
  const segments: PathSegment[] = [];
  let at = 1;
  while (at < text.length) {
    if (segments.length >= pathSegmentsMax)
      return refuse(`a path has at most ${pathSegmentsMax} segments`, "shorten it");
    const descendant = text.startsWith("..", at);
    if (descendant) at += 2;
    else if (text[at] === ".") at += 1;
    else if (text[at] !== "[") return refuse(`\`${text[at]}\` cannot begin a segment`);
    const isBracket = text[at] === "[";
    if (isBracket && !descendant && text[at - 1] === ".") return refuse("`.[` is no segment");
    const read = isBracket ? readBracket(text, at + 1) : readShorthand(text, at);
    if ("refused" in read) return read;
    segments.push({ select: read.select, descendant });
    at = read.end;
  }
  return segments;
}

type Read = { readonly select: PathSelector; readonly end: number };

/** Does the path select any value for which `holds`? RFC 9535 §2.1.2, without building the list. The value must not be deeper than what inspect/json.ts takes. */
export function selectsSome(path: JsonPath, value: unknown, holds: (selected: unknown) => boolean): boolean {
  const [segment, ...rest] = path;
  if (segment === undefined) return holds(value);
  if (typeof value !== "object" || value === null) return false;
  const { select, descendant } = segment;
  const children: readonly (readonly [string | number, unknown])[] = Array.isArray(value)
    ? value.map((item, at) => [at, item] as const)
    : Object.entries(value);
  return children.some(
    ([name, child]) =>
      ((select === null || select === name) && selectsSome(rest, child, holds)) ||
      (descendant && selectsSome(path, child, holds)),
  );
}

function readShorthand(text: string, at: number): Read | PathRefusal {
  if (text[at] === "*") return { select: null, end: at + 1 };
  const name = match(shorthand, text, at);
  if (name === null)
    return refuse("a dot is not followed by a name", "write names with other characters as `['tax-id']`");
  return refuseName(name) ?? { select: name, end: at + name.length };
}

function readBracket(text: string, at: number): Read | PathRefusal {
  if (text.startsWith("*]", at)) return { select: null, end: at + 2 };
  const number = match(index, text, at);
  if (number !== null) {
    const select = Number(number);
    return select > indexMax ? refuse("the index is too large") : { select, end: at + number.length + 1 };
  }
  const literal = match(quoted, text, at);
  if (literal === null || text[at + literal.length] !== "]")
    return refuse(
      "a selector that is not taken here",
      "use `['name']`, `[0]` or `[*]`; filters, slices and several selectors in one bracket are not in this version",
    );
  const name = unquote(literal);
  if (name === null) return refuse("a name with an escape that RFC 9535 does not have");
  return refuseName(name) ?? { select: name, end: at + literal.length + 1 };
}

function refuseName(name: string): PathRefusal | null {
  return name === "__proto__" ? refuse("`__proto__` is not the name of a field", "choose another") : null;
}

/** RFC 9535 §2.3.1.2: the escapes of JSON, and that of the quote itself. */
function unquote(literal: string): string | null {
  const inner = literal.slice(1, -1);
  const asJson = literal[0] === "'" ? inner.replaceAll(/\\'|"/g, (found) => (found === '"' ? '\\"' : "'")) : inner;
  // In double quotes an escaped single quote is no escape of JSON, so it is refused below.
  try {
    const name: unknown = JSON.parse(`"${asJson}"`);
    return typeof name === "string" && name.isWellFormed() ? name : null;
  } catch {
    return null;
  }
}

function match(form: RegExp, text: string, at: number): string | null {
  form.lastIndex = at;
  return form.exec(text)?.[0] ?? null;
}
