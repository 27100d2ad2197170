// Promises a sentence and a fix for every way a file can fail to be YAML. Trusts the error codes of the `yaml` package.
// Its own messages are not shown: they quote the source, and the source may hold a secret.
import type { ErrorCode } from "yaml";

export interface SyntaxExplanation {
  readonly message: string;
  readonly fix: string;
  readonly offset: number;
}

/** Message and fix. */
export const duplicateKey = ["the key occurs twice in one map", "keep one of them"] as const;

const sentences: Readonly<Partial<Record<ErrorCode, readonly [message: string, fix: string]>>> = {
  TAB_AS_INDENT: ["a tab is used to indent", "use spaces: YAML does not allow tabs here"],
  DUPLICATE_KEY: duplicateKey,
  MULTIPLE_DOCS: ["the file holds more than one YAML document (`---`)", "put each object into a file of its own"],
  BAD_INDENT: ["the indentation does not fit the lines above", "align the key with its neighbours"],
  MULTILINE_IMPLICIT_KEY: [
    "a key is not followed by `: `, or a text goes on over several lines",
    "check the colon and the indentation of this line and the one above",
  ],
  MISSING_CHAR: [
    "a `:`, a `-`, a quote or a bracket is missing",
    "check this line and the one above, also how far they are indented",
  ],
  BLOCK_AS_IMPLICIT_KEY: ["a `: ` inside a text without quotes", "put the text in double quotes"],
  BAD_DQ_ESCAPE: [
    "an escape that YAML does not know, in a text in double quotes",
    "write the backslash twice, or use single quotes",
  ],
  TAG_RESOLVE_FAILED: ["YAML tags (`!name`) are not accepted", "remove the tag"],
  BAD_DIRECTIVE: ["YAML directives (`%`) are not accepted", "remove the line"],
  RESOURCE_EXHAUSTION: ["the file is nested too deeply", "make it flatter"],
  NON_STRING_KEY: ["a key is not a plain word", "quote it if it is text"],
  KEY_OVER_1024_CHARS: ["a key is longer than 1024 characters", "choose a shorter name"],
};

const aliasCodes = new Set<ErrorCode>(["BAD_ALIAS", "ALIAS_PROPS", "MULTIPLE_ANCHORS"]);

/** What says most about a line that is wrong; the others on it are what the parser made of the rest. */
const causes: readonly ErrorCode[] = ["RESOURCE_EXHAUSTION", "TAB_AS_INDENT", "BAD_INDENT", "MULTILINE_IMPLICIT_KEY"];

interface ParserError {
  readonly code: ErrorCode;
  readonly pos: readonly [number, number];
}

/** One explanation for each line with errors, from the top down, of `linesMax` lines. */
export function explainErrors(
  errors: readonly ParserError[],
  text: string,
  linesMax: number,
): readonly SyntaxExplanation[] {
  const rank = ({ code }: ParserError): number => {
    const at = causes.indexOf(code);
    return at === -1 ? causes.length : at;
  };
  const said: ParserError[] = [];
  let lineEnd = -1;
  for (const error of [...errors].sort((a, b) => a.pos[0] - b.pos[0])) {
    const last = said.at(-1);
    if (last === undefined || error.pos[0] > lineEnd) {
      if (said.length === linesMax) break;
      said.push(error);
      const end = text.indexOf("\n", error.pos[0]);
      lineEnd = end === -1 ? text.length : end;
    } else if (rank(error) < rank(last)) said[said.length - 1] = error;
  }
  return said.map(({ code, pos }) => explainSyntax(code, text, pos[0]));
}

/** Explains one parser error at `offset` of `text`; the offset of the answer is where the reader should look. */
export function explainSyntax(code: ErrorCode, text: string, offset: number): SyntaxExplanation {
  const lineStart = text.lastIndexOf("\n", Math.max(0, offset - 1)) + 1;
  const lineEnd = text.indexOf("\n", offset);
  const line = text.slice(lineStart, lineEnd === -1 ? text.length : lineEnd);
  if (aliasCodes.has(code) && /(^|[\s[{,:-])\*/.test(line)) {
    const at = lineStart + line.search(/\*/);
    const message = "`*` begins an alias in YAML, and aliases are not accepted";
    return { message, fix: 'quote it if it is text ("*"); there are no wildcards: name each operation', offset: at };
  }
  const template = /\{[^{}]*?[:,\s/]\S*?(\{[A-Za-z_]\w*\})/.exec(line);
  if (template?.[1] !== undefined) {
    const at = lineStart + template.index + template[0].length - template[1].length;
    const message = "`{` begins a map inside `{ … }`, so this path template is cut";
    return { message, fix: 'put the path in double quotes, for example "GET /v1/invoices/{id}"', offset: at };
  }
  const [message, fix] = sentences[code] ?? [
    `not valid YAML (${code})`,
    "check quotes, brackets and colons on this line",
  ];
  return { message, fix, offset };
}
