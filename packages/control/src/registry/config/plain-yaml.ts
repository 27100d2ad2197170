// Promises, for the plainest of YAML, the very tree that yaml-tree.ts would build with the `yaml` package, or nothing at all: in a fraction of the time.
// Trusts nothing: whatever could be read in two ways, or is a mistake, is left to the package, which then has the word about it.
// Specified by YAML 1.2.2 with the core schema; plain-yaml.test.ts holds both readers against each other.
import { depthMax, nodesMax } from "./bounds.ts";
import { pathInto, type Spot } from "./finding.ts";
import type { ListTree, MapEntry, MapTree, ScalarTree, Tree } from "./yaml-tree.ts";

/** Printable ASCII and Latin letters in lines that end in LF. No tab, no CR, no other space. */
const readable = /^[\n\x20-\x7E\u00C0-\u024F]*$/;
/** yaml-tree.ts looks for written tags in what stands before a value. */
const maybeTag = /(?:^|\s)!/;
const blockKey = /[A-Za-z_][\w./-]{0,200}(?=:(?: |$))/my;
const flowKey = /[A-Za-z_][\w./-]{0,200}(?=: )/y;
/** A text that begins like nothing else in YAML. */
const plainStart = /[\w/]|\.{1,2}\//y;
const flowPlain = /[^\n,[\]{}]*/y;
const quoted = /"([^"\\\n]*)"|'([^'\n]*)'(?!')/y;
const lineEnd = / *(?: #.*)?$/my;
/** Words that are no text, in whatever case: as keys they could be equal to each other. */
const notText = /^(?:null|true|false)$/i;
const wholeNumber = /^(?:0|[1-9][0-9]{0,14})$/;
const otherNumber = /^(?:[0-9]+(?:\.[0-9]*)?(?:[eE][-+]?[0-9]+)?|0o[0-7]+|0x[0-9a-fA-F]+)$/;

/** The root map of a file of block maps and lists with one-line values; null: ask the package. Never throws. */
export function parsePlainYaml(file: string, text: string): MapTree | null {
  if (!readable.test(text) || maybeTag.test(text)) return null;
  return new PlainReader(file, text).read();
}

/** Where a value stands: its path, and how deep. */
interface Site {
  readonly path: string;
  readonly depth: number;
}

class PlainReader {
  readonly #file: string;
  readonly #text: string;
  /** What is read next, the line it is on (from 1), and where that line starts. */
  #at = 0;
  #line = 1;
  #lineStart = 0;
  /** Column, from 0, of the first thing on the line, or of the map that begins after `- `; -1 after the last line. */
  #column = 0;
  #nodes = 0;

  constructor(file: string, text: string) {
    this.#file = file;
    this.#text = text;
  }

  read(): MapTree | null {
    this.#toContent();
    if (this.#column !== 0) return null;
    const root = this.#blockMap({ path: "$", depth: 0 });
    return this.#isAtEnd() ? root : null;
  }

  #isAtEnd(): boolean {
    return this.#column === -1;
  }

  /** From the start of a line to the next thing that is no comment. */
  #toContent(): void {
    const text = this.#text;
    for (;;) {
      let at = this.#lineStart;
      while (text[at] === " ") at += 1;
      if (at >= text.length) {
        this.#column = -1;
        return;
      }
      if (text[at] !== "\n" && text[at] !== "#") {
        this.#at = at;
        this.#column = at - this.#lineStart;
        return;
      }
      this.#toNextLine(at);
    }
  }

  #toNextLine(from: number): void {
    const end = this.#text.indexOf("\n", from);
    this.#lineStart = end === -1 ? this.#text.length : end + 1;
    this.#line += 1;
  }

  /** True when nothing but a comment was left on the line; then the next thing is on another one. */
  #endsLine(): boolean {
    if (this.#match(lineEnd) === null) return false;
    this.#toNextLine(this.#at);
    this.#toContent();
    return true;
  }

  #match(form: RegExp): RegExpExecArray | null {
    form.lastIndex = this.#at;
    return form.exec(this.#text);
  }

  #skipSpaces(): void {
    while (this.#text[this.#at] === " ") this.#at += 1;
  }

  #spot(path: string): Spot {
    return { file: this.#file, line: this.#line, column: this.#at - this.#lineStart + 1, path };
  }

  #isAllowed(depth: number): boolean {
    this.#nodes += 1;
    return this.#nodes <= nodesMax && depth <= depthMax;
  }

  #blockMap({ path, depth }: Site): MapTree | null {
    if (!this.#isAllowed(depth)) return null;
    const column = this.#column;
    const at = this.#spot(path);
    const entries = new Map<string, MapEntry>();
    while (this.#column === column) {
      const name = this.#key(blockKey, entries);
      if (name === null) return null;
      const keyAt = this.#spot(pathInto(path, name));
      this.#at += name.length + 1;
      const value = this.#blockValue({ path: keyAt.path, depth: depth + 1 }, column);
      if (value === null) return null;
      entries.set(name, { keyAt, plainKey: true, value });
    }
    return this.#column > column ? null : { kind: "map", at, entries };
  }

  #key(form: RegExp, entries: ReadonlyMap<string, MapEntry>): string | null {
    const name = this.#match(form)?.[0];
    return name === undefined || entries.has(name) || notText.test(name) || name === "__proto__" ? null : name;
  }

  /** What follows `key:`, on its line or below it. A list may stand in the column of its key. A key without a value is left to the package. */
  #blockValue(site: Site, column: number): Tree | null {
    const next = this.#at;
    if (!this.#endsLine()) {
      this.#at = next;
      return this.#lineValue(site);
    }
    const isList = this.#text.startsWith("- ", this.#at);
    if (this.#column < column || (this.#column === column && !isList)) return null;
    return isList ? this.#blockList(site) : this.#blockMap(site);
  }

  #blockList({ path, depth }: Site): ListTree | null {
    if (!this.#isAllowed(depth)) return null;
    const column = this.#column;
    const at = this.#spot(path);
    const items: Tree[] = [];
    while (this.#column === column && this.#text.startsWith("- ", this.#at)) {
      const site = { path: pathInto(path, items.length), depth: depth + 1 };
      this.#at += 1;
      this.#skipSpaces();
      const isMap = this.#match(blockKey) !== null;
      if (isMap) this.#column = this.#at - this.#lineStart;
      const item = isMap ? this.#blockMap(site) : this.#lineValue(site);
      if (item === null) return null;
      items.push(item);
    }
    return this.#column > column ? null : { kind: "list", at, items };
  }

  /** A value that ends on its line. */
  #lineValue(site: Site): Tree | null {
    this.#skipSpaces();
    const value = this.#inlineValue(site, false);
    return value !== null && this.#endsLine() ? value : null;
  }

  #inlineValue(site: Site, inFlow: boolean): Tree | null {
    const first = this.#text[this.#at];
    if (first === "{") return this.#flowMap(site);
    if (first === "[") return this.#flowList(site);
    if (!this.#isAllowed(site.depth)) return null;
    if (first === '"' || first === "'") return this.#quoted(site);
    return this.#match(plainStart) === null ? null : this.#plain(site, inFlow);
  }

  #quoted({ path }: Site): ScalarTree | null {
    const found = this.#match(quoted);
    if (found === null) return null;
    const at = this.#spot(path);
    const value = found[1] ?? found[2] ?? "";
    this.#at += found[0].length;
    return { kind: "scalar", at, value, source: value, plain: false, comment: null };
  }

  #plain({ path }: Site, inFlow: boolean): ScalarTree | null {
    const rest = inFlow ? (this.#match(flowPlain)?.[0] ?? "") : this.#restOfLine();
    const cut = rest.indexOf(" #");
    if (inFlow && cut !== -1) return null;
    const source = (cut === -1 ? rest : rest.slice(0, cut)).trimEnd();
    if (source.includes(": ") || source.endsWith(":")) return null;
    const value = scalarOf(source);
    if (value === undefined) return null;
    const at = this.#spot(path);
    this.#at += source.length;
    return { kind: "scalar", at, value, source, plain: true, comment: cut === -1 ? null : rest.slice(cut + 1) };
  }

  #restOfLine(): string {
    const end = this.#text.indexOf("\n", this.#at);
    return this.#text.slice(this.#at, end === -1 ? undefined : end);
  }

  #flowMap({ path, depth }: Site): MapTree | null {
    if (!this.#isAllowed(depth)) return null;
    const at = this.#spot(path);
    const entries = new Map<string, MapEntry>();
    const isRead = this.#flowMembers("}", () => {
      const name = this.#key(flowKey, entries);
      if (name === null) return false;
      const keyAt = this.#spot(pathInto(path, name));
      this.#at += name.length + 1;
      this.#skipSpaces();
      const value = this.#inlineValue({ path: keyAt.path, depth: depth + 1 }, true);
      if (value !== null) entries.set(name, { keyAt, plainKey: true, value });
      return value !== null;
    });
    return isRead ? { kind: "map", at, entries } : null;
  }

  #flowList({ path, depth }: Site): ListTree | null {
    if (!this.#isAllowed(depth)) return null;
    const at = this.#spot(path);
    const items: Tree[] = [];
    const isRead = this.#flowMembers("]", () => {
      const item = this.#inlineValue({ path: pathInto(path, items.length), depth: depth + 1 }, true);
      if (item !== null) items.push(item);
      return item !== null;
    });
    return isRead ? { kind: "list", at, items } : null;
  }

  /** From the opening bracket past the closing one, with a `,` between two members and none after the last. */
  #flowMembers(close: "]" | "}", readMember: () => boolean): boolean {
    this.#at += 1;
    this.#skipSpaces();
    for (let isFirst = true; !isFirst || this.#text[this.#at] !== close; isFirst = false) {
      if (!readMember()) return false;
      this.#skipSpaces();
      if (this.#text[this.#at] === close) break;
      if (this.#text[this.#at] !== ",") return false;
      this.#at += 1;
      this.#skipSpaces();
    }
    this.#at += 1;
    return true;
  }
}

/** The core schema for texts that begin as `plainStart` says; undefined: not decided here. */
function scalarOf(source: string): ScalarTree["value"] | undefined {
  if (source === "true" || source === "false") return source === "true";
  if (wholeNumber.test(source)) return Number(source);
  return notText.test(source) || otherNumber.test(source) ? undefined : source;
}
