// Promises that a regular expression it accepts cannot stop a gateway: at most choicesMax ways are tried over a text of at most
// patternTextMax characters. Trusts that the text is bounded before it is matched. It refuses more than it must: repeats in repeats,
// references back, looking around, and anything it cannot read. The grammar is ECMA-262 §22.2.1 with the flag `u`.

/** Characters of a pattern, and of the text it may be put to. */
export const patternCharactersMax = 512;
export const patternTextMax = 256;
/** Ways to match that may be tried for one text, before the text of each is walked once. */
export const choicesMax = 512;
const piecesMax = 2_000;
const depthMax = 16;
const lastCodePoint = 0x10ffff;

type Ranges = readonly (readonly [number, number])[];
const any: Ranges = [[0, lastCodePoint]];
/** Where the text ends: no character. */
const end: Ranges = [[-1, -1]];

type Piece =
  | { readonly kind: "one"; readonly set: Ranges }
  | { readonly kind: "nothing" }
  | { readonly kind: "end" }
  | { readonly kind: "row"; readonly pieces: readonly Piece[] }
  | { readonly kind: "either"; readonly pieces: readonly Piece[] }
  | { readonly kind: "repeat"; readonly piece: Piece; readonly min: number; readonly max: number };

class Refused extends Error {
  readonly code = "pattern-refused";
}

/** Answers by pattern: an estate puts the same few to hundreds of members, and weighing one is no small work. */
const weighed = new Map<string, string | null>();
const weighedMax = 512;

/** Null when the pattern is safe; else why it is not, for a finding. */
export function refusePattern(pattern: string): string | null {
  if (pattern.length > patternCharactersMax) return `it is longer than ${patternCharactersMax} characters`;
  const known = weighed.get(pattern);
  if (known !== undefined) return known;
  if (weighed.size >= weighedMax) weighed.clear();
  const refused = weighPattern(pattern);
  weighed.set(pattern, refused);
  return refused;
}

function weighPattern(pattern: string): string | null {
  try {
    new RegExp(pattern, "u");
  } catch {
    return "it is not a regular expression of ECMAScript with the flag `u`";
  }
  try {
    const reader: Reader = { text: [...pattern], at: 0, depth: 0 };
    const piece = readEither(reader);
    const started = startsAtStart(piece, pattern) ? 1 : patternTextMax + 1;
    const cost = { choices: started, pieces: 0 };
    weigh(piece, [], { cost, repeated: false });
    return cost.choices > choicesMax ? "too many ways to match the same text would be tried" : null;
  } catch (cause) {
    if (cause instanceof Refused) return cause.message;
    throw cause;
  }
}

function startsAtStart(piece: Piece, pattern: string): boolean {
  return pattern.startsWith("^") && piece.kind === "row";
}

interface Reader {
  readonly text: readonly string[];
  at: number;
  depth: number;
}

function readEither(reader: Reader): Piece {
  if (++reader.depth > depthMax) throw new Refused(`its groups are nested deeper than ${depthMax}`);
  const pieces: Piece[] = [];
  do pieces.push(readRow(reader));
  while (take(reader, "|"));
  reader.depth--;
  const [only] = pieces;
  return pieces.length === 1 && only !== undefined ? only : { kind: "either", pieces };
}

function readRow(reader: Reader): Piece {
  const pieces: Piece[] = [];
  while (reader.at < reader.text.length && !["|", ")"].includes(peek(reader))) pieces.push(readRepeat(reader));
  return { kind: "row", pieces };
}

function readRepeat(reader: Reader): Piece {
  const piece = readAtom(reader);
  const counts = /^(?:([*+?])|\{(\d+)(?:(,)(\d*))?\})/.exec(reader.text.slice(reader.at, reader.at + 24).join(""));
  if (counts === null) return piece;
  reader.at += counts[0].length;
  take(reader, "?");
  const [, sign, low, comma, high] = counts;
  const min = sign === undefined ? Number(low) : sign === "+" ? 1 : 0;
  const open = sign === "*" || sign === "+" || (comma !== undefined && high === "");
  const max = open ? Number.POSITIVE_INFINITY : sign === "?" ? 1 : Number(comma === undefined ? low : high);
  return { kind: "repeat", piece, min, max };
}

function readAtom(reader: Reader): Piece {
  const char = next(reader);
  if (char === "^") return { kind: "nothing" };
  if (char === "$") return { kind: "end" };
  if (char === ".") return { kind: "one", set: any };
  if (char === "[") return { kind: "one", set: readClass(reader) };
  if (char === "(") return readGroup(reader);
  if (char !== "\\") return { kind: "one", set: single(char) };
  if (["b", "B"].includes(peek(reader))) {
    next(reader);
    return { kind: "nothing" };
  }
  if (/[1-9k]/.test(peek(reader))) throw new Refused("it refers back to what a group matched");
  return { kind: "one", set: readEscape(reader) };
}

function readGroup(reader: Reader): Piece {
  if (take(reader, "?") && !take(reader, ":")) {
    if (!take(reader, "<") || ["=", "!"].includes(peek(reader)))
      throw new Refused("it looks around or sets flags inside");
    while (next(reader) !== ">");
  }
  const piece = readEither(reader);
  next(reader);
  return piece;
}

function readClass(reader: Reader): Ranges {
  const negated = take(reader, "^");
  const sets: Ranges[] = [];
  while (peek(reader) !== "]") {
    const from = readMember(reader);
    const isRange = peek(reader) === "-" && reader.text[reader.at + 1] !== "]" && width(from) === 1;
    if (!isRange) {
      sets.push(from);
      continue;
    }
    next(reader);
    const to = readMember(reader);
    sets.push([[from[0]?.[0] ?? 0, to.at(-1)?.[1] ?? lastCodePoint]]);
  }
  next(reader);
  const all = sets.flat();
  // A set that is only known to be large may leave anything over.
  return negated ? (all.some(([low, high]) => low === 0 && high === lastCodePoint) ? any : without(all)) : all;
}

function readMember(reader: Reader): Ranges {
  const char = next(reader);
  return char === "\\" ? readEscape(reader) : single(char);
}

const digit: Ranges = [[48, 57]];
const word: Ranges = [
  [48, 57],
  [65, 90],
  [95, 95],
  [97, 122],
];
const classes: Readonly<Record<string, Ranges>> = {
  d: digit,
  D: without(digit),
  w: word,
  W: without(word),
  s: any,
  S: any,
};
const controls: Readonly<Record<string, number>> = { n: 10, r: 13, t: 9, v: 11, f: 12, b: 8, "0": 0 };

/** What stands after a backslash. Where it is not worth telling, the set is taken as any character: more overlaps, never fewer. */
function readEscape(reader: Reader): Ranges {
  const char = next(reader);
  const known = Object.hasOwn(classes, char) ? classes[char] : undefined;
  if (known !== undefined) return known;
  const control = Object.hasOwn(controls, char) ? controls[char] : undefined;
  if (control !== undefined) return [[control, control]];
  if (["p", "P"].includes(char) || (char === "u" && peek(reader) === "{")) {
    while (next(reader) !== "}");
    return any;
  }
  const skipped = { x: 2, u: 4, c: 1 }[char];
  if (skipped === undefined) return single(char);
  reader.at += skipped;
  return any;
}

function single(char: string): Ranges {
  const code = char.codePointAt(0) ?? 0;
  return [[code, code]];
}

function width(ranges: Ranges): number {
  return ranges.reduce((sum, [low, high]) => sum + high - low + 1, 0);
}

function without(ranges: Ranges): Ranges {
  const left: [number, number][] = [];
  let from = 0;
  for (const [low, high] of [...ranges].sort((a, b) => a[0] - b[0])) {
    if (low > from) left.push([from, low - 1]);
    from = Math.max(from, high + 1);
  }
  if (from <= lastCodePoint) left.push([from, lastCodePoint]);
  return left;
}

function overlaps(a: Ranges, b: Ranges): boolean {
  return a.some(([low, high]) => b.some(([from, to]) => low <= to && from <= high));
}

function peek({ text, at }: Reader): string {
  return text[at] ?? "";
}

function next(reader: Reader): string {
  const char = reader.text[reader.at++];
  if (char === undefined) throw new Refused("it cannot be read");
  return char;
}

function take(reader: Reader, char: string): boolean {
  if (peek(reader) !== char) return false;
  reader.at++;
  return true;
}

interface Weighing {
  readonly cost: { choices: number; pieces: number };
  /** Inside of a repeat there may be one way only. */
  readonly repeated: boolean;
}

/** Characters a piece can begin with when `then` may follow it; what it adds to the choices is counted on the way. */
function weigh(piece: Piece, then: Ranges, weighing: Weighing): Ranges {
  if (++weighing.cost.pieces > piecesMax) throw new Refused(`its counts repeat more than ${piecesMax} pieces`);
  if (piece.kind === "one") return piece.set;
  if (piece.kind === "nothing") return then;
  if (piece.kind === "end") return end;
  if (piece.kind === "row") return piece.pieces.reduceRight((after, each) => weigh(each, after, weighing), then);
  if (piece.kind === "repeat") return weighRepeat(piece, then, weighing);
  const starts = piece.pieces.map((each) => weigh(each, then, weighing));
  if (starts.some((start, index) => starts.slice(index + 1).some((other) => overlaps(start, other)))) {
    if (weighing.repeated) throw new Refused("alternatives under a repeat begin alike");
    choose(weighing, starts.length);
  }
  return starts.flat();
}

function weighRepeat(piece: Extract<Piece, { kind: "repeat" }>, then: Ranges, weighing: Weighing): Ranges {
  const { min, max } = piece;
  if (min === max) {
    let start = then;
    for (let count = 0; count < max; count++) start = weigh(piece.piece, start, weighing);
    return start;
  }
  if (weighing.repeated) throw new Refused("it repeats what already repeats");
  if (isEmptyable(piece.piece)) throw new Refused("it repeats what may be empty");
  const isOptional = max === 1;
  const alone = weigh(piece.piece, then, { cost: { choices: 1, pieces: weighing.cost.pieces }, repeated: !isOptional });
  const start = weigh(piece.piece, isOptional ? then : [...alone, ...then], { ...weighing, repeated: !isOptional });
  if (overlaps(start, then)) choose(weighing, Math.min(max, patternTextMax) - Math.min(min, patternTextMax) + 1);
  weighing.cost.pieces += Math.min(max === Number.POSITIVE_INFINITY ? min : max, piecesMax);
  return [...start, ...then];
}

function choose({ cost }: Weighing, ways: number): void {
  cost.choices *= Math.max(ways, 2);
}

function isEmptyable(piece: Piece): boolean {
  if (piece.kind === "one") return false;
  if (piece.kind === "row") return piece.pieces.every(isEmptyable);
  if (piece.kind === "either") return piece.pieces.some(isEmptyable);
  return piece.kind === "repeat" ? piece.min === 0 || isEmptyable(piece.piece) : true;
}
