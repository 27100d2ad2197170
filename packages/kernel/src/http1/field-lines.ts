// Promises the field lines of one header or trailer section with one reading, octet by octet: how the octets were cut into reads changes nothing.
// No repair: no fold, no bare CR or LF, no NUL, no space before the colon. Trusts its caller to bound the octets it is shown.
// Specified in RFC 9112 §5 and RFC 9110 §5.5, §5.6.2.
import { internedName } from "./interned-names.ts";
import { framesMessage } from "./message-framing.ts";
import { colon, cr, lf, space, tab, tokenOctets, valueOctets } from "./octets.ts";

/** Why a section is refused. */
export type FieldFault =
  /** Empty, or an octet that is no `tchar`: also white space before the colon (§5.1), obs-fold (§5.2), a bare CR or LF. */
  | "field-name"
  /** A control character, a bare LF. */
  | "field-value"
  /** CR without LF. */
  | "field-end"
  | "too-many-fields";

type Phase = "line" | "name" | "value" | "line-feed" | "last-line-feed" | "over";

/** Marks of one field: where its name and its value begin and end. */
const marksPerField = 4;

/**
 * Reads one section after another. `begin(at)`, then `read` with all the octets so far each time there are more, then `raw` once it said "end".
 * Optional white space around a value is not part of it; obs-text in a value passes: serving it is the caller's to judge.
 */
export class FieldLines {
  readonly #fieldsMax: number;
  readonly #marks: number[] = [];
  #count = 0;
  #phase: Phase = "line";
  #at = 0;
  #begun = 0;
  #nameEnd = 0;

  constructor(bounds: { readonly fieldsMax: number }) {
    this.#fieldsMax = bounds.fieldsMax;
  }

  /** A new section begins at index `at`. */
  begin(at: number): void {
    this.#count = 0;
    this.#phase = "line";
    this.#at = at;
  }

  /** Fields read so far. */
  get count(): number {
    return this.#count;
  }

  /** Index of the first octet not read yet: after "end", the one behind the empty line. */
  get at(): number {
    return this.#at;
  }

  /** The octets read so far lie `by` further on from now (below 0: nearer to the start), in the same or in another buffer. */
  moved(by: number): void {
    this.#at += by;
    this.#begun += by;
    this.#nameEnd += by;
    for (let i = 0; i < this.#count * marksPerField; i++) this.#marks[i] = (this.#marks[i] ?? 0) + by;
  }

  /** Reads on, up to index `end` and never behind the empty line. "more": all was read and the section goes on. After a fault: `begin` again. */
  read(octets: Uint8Array, end: number): "end" | "more" | FieldFault {
    let at = this.#at;
    while (at < end) {
      if (this.#phase === "line") {
        if (octets[at] === cr) {
          at++;
          this.#phase = "last-line-feed";
        } else {
          if (this.#count === this.#fieldsMax) return "too-many-fields";
          this.#begun = at;
          this.#phase = "name";
        }
      } else if (this.#phase === "name") {
        at = behindToken(octets, at, end);
        if (at === end) break;
        if (octets[at] !== colon || at === this.#begun) return "field-name";
        this.#nameEnd = at++;
        this.#phase = "value";
      } else if (this.#phase === "value") {
        at = behindValue(octets, at, end);
        if (at === end) break;
        if (octets[at] !== cr) return "field-value";
        this.#mark(octets, at++);
        this.#phase = "line-feed";
      } else {
        if (octets[at] !== lf) return "field-end";
        this.#at = ++at;
        if (this.#phase === "last-line-feed") {
          this.#phase = "over";
          return "end";
        }
        this.#phase = "line";
      }
    }
    this.#at = at;
    return "more";
  }

  #mark(octets: Uint8Array, lineEnd: number): void {
    let start = this.#nameEnd + 1;
    let end = lineEnd;
    while (start < end && isWhite(octets[start])) start++;
    while (end > start && isWhite(octets[end - 1])) end--;
    const at = this.#count++ * marksPerField;
    this.#marks[at] = this.#begun;
    this.#marks[at + 1] = this.#nameEnd;
    this.#marks[at + 2] = start;
    this.#marks[at + 3] = end;
  }

  /**
   * Names and values alternating, as received. `octets` are those last read; `text` is their latin1 text from index `from` on, where the caller has
   * made it already: then no octet is copied twice.
   */
  raw(octets: Buffer, text = octets.toString("latin1", 0, this.#at), from = 0): string[] {
    const raw: string[] = [];
    const marks = this.#marks;
    const end = this.#count * marksPerField;
    for (let i = 0; i < end; i += marksPerField) {
      const begun = marks[i] ?? 0;
      const nameEnd = marks[i + 1] ?? 0;
      const name = internedName(octets, begun, nameEnd) ?? text.slice(begun - from, nameEnd - from);
      const valueEnd = marks[i + 3] ?? 0;
      // Behind most values the line ends at once.
      const isPlain = octets[valueEnd] === cr || !framesMessage(name);
      raw.push(name, text.slice((marks[i + 2] ?? 0) - from, (isPlain ? valueEnd : behindTab(octets, valueEnd)) - from));
    }
    return raw;
  }
}

/**
 * A tab behind a value that says how long a message is stays, and the value is none: llhttp takes no white space but spaces there, and what
 * decides where a message ends must have one reading for everyone.
 */
function behindTab(octets: Uint8Array, valueEnd: number): number {
  const lineEnd = octets.indexOf(cr, valueEnd);
  return octets.subarray(valueEnd, lineEnd).includes(tab) ? lineEnd : valueEnd;
}

function isWhite(octet: number | undefined): boolean {
  return octet === space || octet === tab;
}

function behindToken(octets: Uint8Array, from: number, end: number): number {
  let at = from;
  while (at < end && tokenOctets[octets[at] ?? 0] === 1) at++;
  return at;
}

function behindValue(octets: Uint8Array, from: number, end: number): number {
  let at = from;
  while (at < end && valueOctets[octets[at] ?? 0] === 1) at++;
  return at;
}
